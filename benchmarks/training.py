"""What the measurements of learning share: a run through the command line, its numbers, a file of results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def train(options: list[str], out: Path, resume: bool = False) -> dict:
    """Runs ``qtwin train OPTIONS --out OUT`` and returns what ``summary.json`` says, with the interquartile mean.

    Args:
      options: the environment and all options but ``--out``.
      out: a directory that holds nothing yet, or with ``resume`` the run to go on with.
      resume: go on with the run in ``out``.

    Raises:
      SystemExit: the command failed; it has said why itself.
    """
    command = ["train", *options]
    print(f"qtwin {' '.join(command)}", file=sys.stderr, flush=True)
    place = ["--out", str(out), *(["--resume"] if resume else [])]
    done = subprocess.run([sys.executable, "-m", "qtwin", *command, *place], cwd=ROOT, stdout=sys.stderr)
    if done.returncode:
        raise SystemExit(f"qtwin {' '.join(command)} ended with exit code {done.returncode}")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    low, high = summary["eval_return_interval"]
    return {
        "command": f"qtwin {' '.join(command)}",
        "iqm": summary["eval_return_iqm"],
        "low": low,
        "high": high,
        **summary,
    }


def interval(result: dict) -> str:
    """The interquartile mean with its 95 % interval, as it stands in a table; one or two seeds have none."""
    known = len(result["eval_return"]) > 1 and result["low"] is not None
    between = f" [{result['low']:.1f}, {result['high']:.1f}]" if known else ""
    return f"{result['iqm']:.1f}{between}"


def extremes(result: dict) -> str:
    """The worst and the best seed."""
    return f"{min(result['eval_return']):.1f} ... {max(result['eval_return']):.1f}"


def keep(path: Path, name: str, result: dict) -> dict:
    """Writes a result into a file of results by name, beside those that are there; returns them all."""
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    results[name] = result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results
