"""What the studies share: rows of ``qtwin compare``, each resumable, a small file of results, tables in Markdown."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EPSILON = ("--explore", "1:0.1:100000")  # MinAtar's rows were measured with it: from the first frame, warm-up included
sys.path.insert(0, str(ROOT / "benchmarks"))

from tables import table  # noqa: E402


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
    parser = argparse.ArgumentParser(description=study.question)
    names = [row.name for row in study.rows]
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="rows; with none, print what there is")
    parser.add_argument("--list", action="store_true", help="print the commands and what they take")
    args = parser.parse_args()
    results = ROOT / "benchmarks" / "results" / f"lab-{study.name}.json"
    print(f"{study.question}\nPublished: {study.published}\n")
    for row in study.rows:
        folder = Path("runs") / "studies" / study.name / row.name
        command = ["compare", *row.words, "--out", str(folder)]
        if args.list:
            print(f"# {row.name}: about {row.minutes} minutes on two cores\nqtwin {' '.join(command)}")
        elif row.name in args.only:
            done = subprocess.run([sys.executable, "-m", "qtwin", *command], cwd=ROOT)
            if done.returncode:
                raise SystemExit(
                    f"qtwin {' '.join(command)} ended with exit code {done.returncode}; the same words go on"
                )
            keep(results, row, ROOT / folder)
    if not args.list and results.is_file():
        show(json.loads(results.read_text(encoding="utf-8")))
        print(f"\nwritten to {results.relative_to(ROOT)}; reports: runs/studies/{study.name}/*/report.html")


def keep(results: Path, row: Row, folder: Path) -> None:
    """Puts what a row came to into the study's file of results, and its report beside that."""
    found = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    kept = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    kept[row.name] = {
        "command": f"qtwin compare {' '.join(row.words)}",
        "env": found["env"],
        "seeds": found["seeds"],
        "versions": found["versions"],
        "cells": [small(cell) for cell in found["cells"]],
        "findings": found["findings"],
    }
    results.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    shutil.copy(folder / "report.html", results.with_name(f"{results.stem}-{row.name}.html"))


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
    head = ("", "final greedy return", "worst ... best", "area under the curve", "over-estimation", "churn")
    for name, row in kept.items():
        lines = []
        for cell in sorted(row["cells"], key=lambda cell: -cell["final"]["iqm"]):
            final, area, over = cell["final"], cell["area"], cell["over_estimation"]["mean"]
            lines.append(
                (
                    f"`{cell['label']}`",
                    f"{final['iqm']:.1f} [{final['low']:.1f}, {final['high']:.1f}]",
                    f"{min(final['seeds']):.1f} ... {max(final['seeds']):.1f}",
                    f"{area[0]:.1f} [{area[1]:.1f}, {area[2]:.1f}]",
                    "" if over is None else f"{over:+.2f}",
                    "" if cell["churn"] is None else f"{cell['churn']:.2%}",
                )
            )
        print(f"\n{name}: {row['env']}, {len(row['seeds'])} seeds\n\n{table(head, lines)}")
        for sentence in row["findings"]:
            print(f"* {sentence}")
