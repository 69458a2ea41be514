"""Tables of runs: rows that are trained one at a time through the command line and kept in one file of results."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from script import ROOT, keep_row, options, parse, read_rows, where_from
from tables import table
from training import can_be_run, result_of, tiny_run, train

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
    then: Callable[[dict[str, dict], Path], None] | None = None,
) -> tuple[dict[str, dict], Path]:
    """Reads the options, trains the rows that they name through the command line, and merges each into the results.

    The runs lie under ``runs/``, by the name of the results and of the row: one that was stopped goes on. ``--show``,
    and ``--only`` without a name, train nothing. ``--smoke`` holds every request against the command line and gives
    each row the result of one tiny run.

    Args:
      description: what ``--help`` says first.
      requests: by row, the options of ``qtwin train``.
      steps: by row, the budget. [transitions]
      seeds: how many, unless ``--seeds`` says otherwise.
      path: the file of results, unless ``--out`` says otherwise.
      more: by row, what else its result holds.
      curves: keep the log points in the result as well.
      eval_episodes: greedy episodes at the end, for each seed.
      then: called with all results and their file after rows were trained.

    Returns:
      all results that there are, by row, and where they lie.
    """
    parser = options(description, path)
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=list(requests), default=list(requests))
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--steps", type=int, help="another budget for every row, to try the script out")
    args = parse(parser)
    for name in () if args.show else args.only:
        budget = args.steps or steps[name]
        words = [*requests[name], "--steps", str(budget), "--seeds", str(args.seeds)]
        words += ["--eval-episodes", str(eval_episodes)]
        if args.smoke:
            if not can_be_run(words):
                continue
            out = tiny_run()
            result = result_of(words, out)
        else:
            out = _place(re.sub(r"[^\w.-]+", "-", f"{args.out.stem}-{name}-{budget}-{args.seeds}"))
            result = train(words, out, resume=(out / "config.json").is_file())
        result |= (more or {}).get(name, {})
        if curves:
            points = (json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
            result["curve"] = [{k: p[k] for k in ("transitions", "eval_return", "train_return")} for p in points]
        keep_row(args.out, name, result)
    results = read_rows(args.out)
    if then and not args.show:
        then(results, args.out)
    return results, args.out


def report(head: tuple[str, ...], rows: list[tuple[str, ...]], path: Path) -> None:
    """Prints a table in Markdown and where its numbers come from."""
    if rows:
        print("\n" + table(head, rows) + "\n")
    print(where_from(path))


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
