"""Siamese networks on scattered digits: the methods, why SimSiam does not collapse, and DQN's C in vision.

    python benchmarks/siamese/studies.py [--only STUDY ...] [--seeds K]

Each row is a run of ``qtwin siamese`` with five seeds, kept in ``results/siamese.json`` as soon as it is done; rows
that are there already with as many seeds are not run again. Accuracies are interquartile means over seeds
with a 95 % bootstrap interval. Published figures are those of the papers on ImageNet (linear, 100 epochs; BYOL 300):
the order can be compared, the numbers cannot.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tables import table
from training import HERE, ROOT, keep

from qtwin.lab.statistics import interval, iqm

RESULTS = HERE / "results" / "siamese.json"
SHORT = ("--epochs", "40")  # a sixth of the recipe's: the ablations are compared with one another, not with the best
# By study and by row: the options of ``qtwin siamese``, and what is published.
STUDIES = {
    "methods": {
        "SimSiam": (["simsiam"], ""),
        "BYOL": (["byol"], ""),
        "MoCo v2": (["moco"], ""),
        "SimCLR": (["simclr"], ""),
    },
    "collapse": {
        "SimSiam": (["simsiam", *SHORT], "68.1"),
        "no stop-gradient": (["simsiam", *SHORT, "--stop-gradient", "no"], "0.1"),
        "no predictor": (["simsiam", *SHORT, "--predictor", "none"], "0.1"),
        "a fixed, random predictor": (["simsiam", *SHORT, "--predictor", "fixed"], "1.5"),
        "a predictor whose rate falls": (["simsiam", *SHORT, "--predictor", "scheduled"], "67.7"),
        "no batch norm in the heads": (["simsiam", *SHORT, "--batch-norm", "none"], "34.6"),
        "batch norm on hidden layers only": (["simsiam", *SHORT, "--batch-norm", "hidden"], "67.4"),
        "batch norm on every layer": (["simsiam", *SHORT, "--batch-norm", "all"], "unstable"),
        "asymmetric": (["simsiam", *SHORT, "--symmetric", "no"], "64.8"),
    },
    "period": {
        "every step (tied)": (["simsiam", *SHORT], "68.1"),
        "every 10 steps": (["simsiam", *SHORT, "--target", "hard:10"], "68.7"),
        "every 100 steps": (["simsiam", *SHORT, "--target", "hard:100"], "68.9"),
        "every epoch (11 steps here)": (["simsiam", *SHORT, "--target", "hard:11"], "67.0"),
    },
    "decay": {
        "never (kept 1)": (["byol", *SHORT, "--target", "frozen"], "18.8"),
        "kept 0.999": (["byol", *SHORT, "--target", "soft:0.001"], "69.8"),
        "kept 0.99": (["byol", *SHORT, "--target", "soft:0.01"], "72.5"),
        "kept 0.9": (["byol", *SHORT, "--target", "soft:0.1"], "68.4"),
        "every step (kept 0)": (["byol", *SHORT, "--target", "soft:1"], "0.3"),
        "cosine from 0.05": (["byol", *SHORT], ""),
        "no predictor, kept 0.99": (["byol", *SHORT, "--target", "soft:0.01", "--predictor", "none"], "0.2"),
    },
}


def measured(options: list[str], seeds: int) -> dict:
    """Runs ``qtwin siamese OPTIONS`` and returns its summary with the command."""
    command = ["siamese", *options, "--seeds", str(seeds)]
    print(f"qtwin {' '.join(command)}", file=sys.stderr, flush=True)
    out = ROOT / "runs" / "siamese-study"
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", "qtwin", *command, "--quiet", "--log-points", "5", "--out", str(out)]
    done = subprocess.run(words, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"qtwin {' '.join(command)} ended with exit code {done.returncode}")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    shutil.rmtree(out)
    return {"command": f"qtwin {' '.join(command)}", **summary}


def told(values: list[float], digits: int = 3) -> str:
    """The interquartile mean with its interval."""
    low, high = interval(np.array(values))
    return f"{iqm(np.array(values)):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="STUDY", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    results = json.loads(args.results.read_text(encoding="utf-8")) if args.results.is_file() else {}
    for study in args.only:
        for options, _ in STUDIES[study].values():
            name = " ".join(options)
            if len(results.get(name, {}).get("seeds", ())) != args.seeds:
                results = keep(args.results, name, measured(options, args.seeds))
    head = ("", "nearest neighbours", "linear probe", "spread", "loss", "published")
    for study, rows in STUDIES.items():
        lines = []
        for row, (options, published) in rows.items():
            if found := results.get(" ".join(options)):
                numbers = (told(found["knn"]), told(found["linear"]), f"{np.mean(found['spread']):.2f}")
                lines.append((row, *numbers, f"{np.mean(found['loss']):.2f}", published))
        if lines:
            print(f"\n{study}\n\n{table(head, lines)}")
    if results:
        any_row = next(iter(results.values()))
        bare = f"nearest neighbours {told(any_row['untrained_knn'])}, linear {told(any_row['untrained_linear'])}"
        print(f"\nuntrained: {bare}; raw pixels {any_row['raw_pixels_knn']:.3f}\nresults: {args.results}")


if __name__ == "__main__":
    main()
