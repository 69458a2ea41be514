"""Siamese networks on scattered digits: the methods, why SimSiam does not collapse, and DQN's C in vision.

    python benchmarks/siamese/studies.py [--only STUDY ...] [--seeds K]

Each row is a run of ``qtwin siamese`` with five seeds, kept in ``results/siamese.json`` as soon as it is done; rows
that are there already with as many seeds are not run again. Accuracies are interquartile means over seeds
with a 95 % bootstrap interval, spread and loss plain means. Published figures are those of the papers on ImageNet
(linear, 100 epochs; BYOL 300): the order can be compared, the numbers cannot.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from script import RESULTS, ROOT, keep_row, options, parse, read_rows, scratch, where_from
from tables import table
from training import every_seed, interval_of, run_here

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
HEAD = (
    "in %", "nearest neighbours, IQM [95 %]", "every seed", "linear probe, IQM [95 %]", "every seed", "spread, mean",
    "loss, mean", "published",
)  # fmt: skip


def measured(asked: list[str], seeds: int) -> dict:
    """Runs ``qtwin siamese ASKED`` and returns its summary with the command."""
    command = ["siamese", *asked, "--seeds", str(seeds)]
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


def tried_out(asked: list[str]) -> dict:
    """Holds a row's request against the command line; its result is that of one tiny run on random images."""
    from qtwin.cli.siamese import siamese_options
    from qtwin.request.parser import Parser
    from qtwin.request.siamese import SETTINGS, build

    parser = Parser(prog="qtwin siamese", allow_abbrev=False)
    siamese_options(parser)
    given = vars(parser.parse_args(asked))
    build(given["method"], settings={name: given[name] for name in SETTINGS if given[name] is not None})
    return {"command": f"qtwin siamese {' '.join(asked)}", **json.loads((tiny_run() / "summary.json").read_text())}


@functools.cache
def tiny_run() -> Path:
    """A run of SimSiam on 80 random images with random labels, two seeds; made once in a process."""
    import numpy as np

    file, draws = scratch() / "pictures.npz", np.random.default_rng(0)
    np.savez(file, images=draws.random((80, 16, 16, 1), np.float32), labels=draws.integers(0, 4, 80))
    words = ["simsiam", "--data", str(file), "--encoder", "conv:4", "--projector", "8,8", "--batch", "16"]
    words += ["--augment", "shift:1", "--epochs", "2", "--log-points", "1", "--seeds", "2", "--quiet"]
    return run_here(["siamese", *words])


def main() -> None:
    parser = options(__doc__, RESULTS / "siamese.json")
    parser.add_argument("--only", nargs="*", metavar="STUDY", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--seeds", type=int, default=5)
    args = parse(parser)
    results = read_rows(args.out)
    for study in () if args.show else args.only:
        for asked, _ in STUDIES[study].values():
            name = " ".join(asked)
            if len(results.get(name, {}).get("seeds", ())) != args.seeds:
                result = tried_out(asked) if args.smoke else measured(asked, args.seeds)
                results = keep_row(args.out, name, result)
    for study, rows in STUDIES.items():
        lines = [
            (row, *told(results[name]), published)
            for row, (asked, published) in rows.items()
            if (name := " ".join(asked)) in results
        ]
        if lines:
            print(f"\n{study}\n\n{table(HEAD, lines)}")
    if results:
        row = next(iter(results.values()))
        bare = f"bare pixels {row['raw_pixels_knn']:.1%} by nearest neighbours"
        untrained = ("the network untrained", *percent(row["untrained_knn"]), *percent(row["untrained_linear"]))
        print(f"\n{table(HEAD[:5], [untrained])}\n\n{bare}")
    print(f"\n{where_from(args.out)}")


def told(found: dict) -> tuple[str, ...]:
    """A row of a table: the probes over seeds, the plain means of spread and loss."""
    means = (f"{sum(found[name]) / len(found[name]):.2f}" for name in ("spread", "loss"))
    return *percent(found["knn"]), *percent(found["linear"]), *means


def percent(values: list[float]) -> tuple[str, str]:
    """``74.4 [71.9, 75.3]`` and every seed, in per cent."""
    shares = [100 * value for value in values]
    return interval_of(shares), every_seed(shares, 1)


if __name__ == "__main__":
    main()
