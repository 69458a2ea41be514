"""What the measurements of learning share: a run through the command line, its numbers, how they stand in a table."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

from script import ROOT, scratch, skipped

sys.path.insert(0, str(ROOT))
# What a smoke test trains in place of everything: two seeds, 800 transitions, a net of 8 units.
TINY = (
    "CartPole-v1", "--net", "mlp:8", "--steps", "800", "--warmup", "80", "--batch", "8", "--replay", "200", "--envs",
    "1", "--log-points", "8", "--checkpoints", "1", "--eval-episodes", "1", "--seeds", "2", "--quiet",
)  # fmt: skip


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
    return result_of(options, out)


def result_of(options: list[str], out: Path) -> dict:
    """What a run in ``out`` came to: its summary, the command, the interquartile mean with its interval."""
    summary = json.loads((out / "summary.json").read_text())
    low, high = summary["eval_return_interval"]
    command = f"qtwin train {' '.join(options)}"
    return {"command": command, "iqm": summary["eval_return_iqm"], "low": low, "high": high, **summary}


def can_be_run(options: list[str]) -> bool:
    """Holds a request against the command line as it is now, without running it.

    Returns:
      False where a package is missing, which has been said.

    Raises:
      SystemExit: the command line refuses it.
    """
    from qtwin.errors import Refusal
    from qtwin.request.command_line import request_of, train_options
    from qtwin.request.parser import Parser

    parser = Parser(prog="qtwin train", allow_abbrev=False)
    train_options(parser)
    try:
        request_of(parser.parse_args(options))
    except Refusal as refusal:
        if "pip install" in str(refusal):
            skipped(str(refusal))
            return False
        raise SystemExit(f"qtwin train {' '.join(options)}: {refusal}") from None
    return True


@functools.cache
def tiny_run(words: tuple[str, ...] = TINY) -> Path:
    """The run directory of a tiny training, made once in a process."""
    return run_here(["train", *words])


def run_here(words: list[str], out: Path | None = None) -> Path:
    """``qtwin WORDS --out DIR`` in this process; returns the directory, by default one that goes with the process."""
    from qtwin.cli import main

    out = out or scratch() / "run"
    if code := main([*words, "--out", str(out)]):
        raise SystemExit(f"qtwin {' '.join(words)} ended with exit code {code}")
    return out


def interval(result: dict) -> str:
    """The interquartile mean with its interval, as it stands in a table; one or two seeds have none.

    Both are computed from the seeds here and now, by `qtwin.measure.statistics`, whatever the result's own say.
    """
    return interval_of(result["eval_return"])


def interval_of(values: list[float], digits: int = 1) -> str:
    """``12.3 [11.2, 13.0]`` of the values of some seeds; whole numbers have commas."""
    import numpy as np

    from qtwin.measure import statistics

    seeds = np.array(values, float)
    between = ""
    if statistics.method(len(seeds)):
        low, high = statistics.interval(seeds)
        between = f" [{told(low, digits)}, {told(high, digits)}]"
    return f"{told(float(statistics.iqm(seeds)), digits)}{between}"


def told(value: float, digits: int = 1) -> str:
    """A number of a table: 1234.5, or 1,234 without digits behind the point."""
    return f"{value:.{digits}f}" if digits else f"{value:,.0f}"


def extremes(result: dict) -> str:
    """The worst and the best seed."""
    return f"{min(result['eval_return']):.1f} ... {max(result['eval_return']):.1f}"


def every_seed(values: list[float], digits: int = 0) -> str:
    """All seeds, from the worst to the best."""
    return ", ".join(told(value, digits) for value in sorted(values))
