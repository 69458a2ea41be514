"""What the studies share: rows of ``qtwin compare``, each resumable, a small file of results, tables in Markdown."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EPSILON = ("--explore", "1:0.1:100000")  # MinAtar's rows were measured with it: from the first frame, warm-up included
sys.path.insert(0, str(ROOT / "benchmarks"))

from script import RESULTS, keep_row, options, parse, read_rows, scratch, where_from  # noqa: E402
from tables import table  # noqa: E402
from training import TINY, every_seed, interval_of, tiny_run  # noqa: E402


class Row(NamedTuple):
    """One comparison.

    Attributes:
      name: of the row.
      words: of ``qtwin compare``, without the directory.
      minutes: that it takes on two cores with nothing beside it, estimated from the speeds in benchmarks/results.
    """

    name: str
    words: tuple[str, ...]
    minutes: int


class Study(NamedTuple):
    """A question, the comparisons that answer it, and what was published.

    Attributes:
      name: of its files, ``benchmarks/results/lab-NAME.json`` and ``runs/studies/NAME/``.
      question: that it asks.
      published: what others found, with the source.
      rows: the comparisons.
    """

    name: str
    question: str
    published: str
    rows: tuple[Row, ...]


def main(study: Study) -> None:
    """Runs a study's rows, or those named; a row that was stopped goes on, one that is done is not run again."""
    parser = options(study.question, RESULTS / f"lab-{study.name}.json")
    names = [row.name for row in study.rows]
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="rows; with none, print what there is")
    parser.add_argument("--list", action="store_true", help="print the commands and what they take")
    args = parse(parser)
    print(f"{study.question}\nPublished: {study.published}\n")
    for row in () if args.show else study.rows:
        folder = Path("runs") / "studies" / study.name / row.name
        command = ["compare", *row.words, "--out", str(folder)]
        if args.list:
            print(f"# {row.name}: about {row.minutes} minutes on two cores\nqtwin {' '.join(command)}")
        elif args.smoke:
            cells(row)
            keep(args.out, row, tiny_comparison())
        elif row.name in args.only:
            done = subprocess.run([sys.executable, "-m", "qtwin", *command], cwd=ROOT)
            if done.returncode:
                raise SystemExit(
                    f"qtwin {' '.join(command)} ended with exit code {done.returncode}; the same words go on"
                )
            keep(args.out, row, ROOT / folder)
    if not args.list:
        show(read_rows(args.out))
        print(f"\n{where_from(args.out)}; reports: runs/studies/{study.name}/*/report.html")


def keep(results: Path, row: Row, folder: Path) -> None:
    """Puts what a row came to into the study's file of results, and its report beside that."""
    found = json.loads((folder / "compare.json").read_text())
    kept = {
        "command": f"qtwin compare {' '.join(row.words)}",
        "env": found["env"],
        "seeds": found["seeds"],
        "cells": [small(cell) for cell in found["cells"]],
        "findings": found["findings"],
    }
    keep_row(results, row.name, kept)
    shutil.copy(folder / "report.html", results.with_name(f"{results.stem}-{row.name}.html"))


def cells(row: Row):
    """The protocol and the cells that ``qtwin compare`` makes of a row's words; a wrong word is refused."""
    from qtwin.cli.compare import compare_options
    from qtwin.config.options import SETTINGS
    from qtwin.lab.grid import Protocol, cells_of
    from qtwin.request.parser import Parser

    parser = Parser(prog="qtwin compare", allow_abbrev=False)
    compare_options(parser)
    asked = parser.parse_args(row.words)
    said = {name: getattr(asked, name) for name in ("agent", "preset", *SETTINGS)}
    protocol = Protocol(asked.env, int(asked.seeds), 0, int(asked.eval_episodes), int(asked.log_points))
    return protocol, cells_of(protocol, {name: values for name, values in said.items() if values})


@functools.cache
def tiny_comparison() -> Path:
    """A comparison of two targets whose cells are tiny trainings in this process, made once in it."""
    from qtwin.lab.grid import write_plan
    from qtwin.lab.report import conclude

    words = " ".join(TINY).replace(" --quiet", "").replace(" --checkpoints 1", "").split()
    protocol, found = cells(Row("tiny", (*words, "--target", "hard:5", "tied"), 0))
    folder = scratch() / "compared"
    write_plan(folder, protocol, found, "qtwin compare, tiny")
    for cell in found:
        run = tiny_run((*cell.words, "--diagnose", "0", "--quiet"))  # which cost.py tries out
        shutil.copytree(run, folder / "cells" / cell.folder)
    conclude(folder, lambda line: None)
    return folder


def small(cell: dict) -> dict:
    """A cell without its curves: what stands in a table."""

    def last(name: str) -> float | None:
        values = [v for v in cell["measures"].get(name, {}).get("iqm", []) if v is not None]
        return values[-1] if values else None

    def mean(name: str) -> float | None:
        values = [v for v in cell["measures"].get(name, {}).get("iqm", []) if v is not None]
        return sum(values) / len(values) if values else None

    return {
        "label": cell["label"],
        "final": cell["final"],
        "area": [cell["area_iqm"], cell["area_low"], cell["area_high"]],
        "area_of_seeds": cell["area"],
        "target_updates": cell["summary"]["target_updates"],
        "wall_seconds": cell["summary"]["wall_seconds"],
        "over_estimation": {"last": last("over_estimation"), "mean": mean("over_estimation")},
        "largest_divergence": max(
            (v for v in cell["measures"].get("divergence", {}).get("high", []) if v), default=None
        ),
        "churn": mean("churn"),
        "effective_rank": last("effective_rank"),
        "dormant": last("dormant"),
        "alarms": cell["alarms"],
    }


def show(kept: dict) -> None:
    """Prints every row's table in Markdown."""
    head = (
        "", "final greedy return", "worst ... best", "area under the curve", "over-estimation, mean of the run",
        "over-estimation, last", "largest abs(Q) over r_max / (1 - gamma)", "churn", "target updates", "every seed",
    )  # fmt: skip
    for name, row in kept.items():
        lines = []
        for cell in sorted(row["cells"], key=lambda cell: -cell["final"]["iqm"]):
            final, area, over = cell["final"], cell["area"], cell["over_estimation"]
            lines.append(
                (
                    f"`{cell['label']}`",
                    interval_of(final["seeds"]),
                    f"{min(final['seeds']):.1f} ... {max(final['seeds']):.1f}",
                    f"{area[0]:.1f}" + ("" if area[1] is None else f" [{area[1]:.1f}, {area[2]:.1f}]"),
                    "" if over["mean"] is None else f"{over['mean']:+.1f}",
                    "" if over["last"] is None else f"{over['last']:+.1f}",
                    "" if cell["largest_divergence"] is None else f"{cell['largest_divergence']:.2f}",
                    "" if cell["churn"] is None else f"{cell['churn']:.2%}",
                    f"{cell['target_updates']:,}",
                    every_seed(final["seeds"], 1),
                )
            )
        print(f"\n{name}: {row['env']}, {len(row['seeds'])} seeds\n\n{table(head, lines)}")
        for sentence in row["findings"]:
            print(f"* {sentence}")
