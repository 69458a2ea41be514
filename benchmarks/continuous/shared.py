"""What the measurements with continuous actions share: rows that are trained one at a time and kept in one file."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

from tables import table
from training import ROOT, keep, train

RUNS = ROOT / "runs"


def rows_of(
    description: str,
    requests: dict[str, list[str]],
    steps: dict[str, int],
    seeds: int,
    path: Path,
    more: dict[str, dict] | None = None,
    curves: bool = False,
    eval_episodes: int = 100,
) -> tuple[dict[str, dict], Path]:
    """Reads the options, trains the rows that they name through the command line, and merges each into the results.

    The runs lie under ``runs/``, by the name of the results and of the row: one that was stopped goes on.

    Args:
      description: what ``--help`` says first.
      requests: by row, the options of ``qtwin train``.
      steps: by row, the budget. [transitions]
      seeds: how many, unless ``--seeds`` says otherwise.
      path: the file of results, unless ``--results`` says otherwise.
      more: by row, what else its result holds.
      curves: keep the log points in the result as well.
      eval_episodes: greedy episodes at the end, for each seed.

    Returns:
      all results that there are, by row, and where they lie.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=list(requests), default=list(requests))
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--steps", type=int, help="another budget for every row, to try the script out")
    parser.add_argument("--results", type=Path, default=path)
    args = parser.parse_args()
    results = json.loads(args.results.read_text(encoding="utf-8")) if args.results.is_file() else {}
    for name in args.only:
        budget = args.steps or steps[name]
        options = [*requests[name], "--steps", str(budget), "--seeds", str(args.seeds)]
        options += ["--eval-episodes", str(eval_episodes)]
        out = _place(re.sub(r"[^\w.-]+", "-", f"{args.results.stem}-{name}-{budget}-{args.seeds}"))
        result = train(options, out, resume=(out / "config.json").is_file()) | (more or {}).get(name, {})
        if curves:
            points = (json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
            result["curve"] = [{k: p[k] for k in ("transitions", "eval_return", "train_return")} for p in points]
        results = keep(args.results, name, result)
    return results, args.results


def report(head: tuple[str, ...], rows: list[tuple[str, ...]], path: Path) -> None:
    """Prints a table in Markdown and where its numbers lie."""
    print(("\n" + table(head, rows) if rows else "nothing measured yet") + f"\n\nresults: {path}; runs: {RUNS.name}/")


def _place(stem: str) -> Path:
    """The run to go on with, or a directory for a new one: the first of ``stem-1``, ``stem-2``, ... not finished."""
    RUNS.mkdir(exist_ok=True)
    count = 1
    while (RUNS / f"{stem}-{count}" / "summary.json").is_file():
        count += 1
    out = RUNS / f"{stem}-{count}"
    if out.is_dir() and not any((out / "checkpoints").glob("*")):
        shutil.rmtree(out)  # stopped before its first checkpoint: there is nothing to go on with
    return out
