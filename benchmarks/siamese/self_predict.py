"""MinAtar with and without self-prediction beside the Q loss: two games, 50,000 transitions, five seeds.

    python benchmarks/siamese/self_predict.py [--only NAME ...] [--seeds K]

The preset minatar with its budget of 5,000,000 cut to 50,000: warm-up 2,000 in place of 5,000, epsilon falls over the
first fifth in place of 100,000 transitions, all else as it is. SPR looks one step ahead in place of five, for the sake
of two cores, and its views are not augmented; CURL's are shifts of one pixel, seen by its own loss alone. ``--show``
prints the results that are there; a row that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import report, rows_of
from script import RESULTS
from training import every_seed, extremes, interval, interval_of

GAMES = ("Breakout", "SpaceInvaders")
VARIANTS = {
    "none": (),
    "simsiam": ("--self-predict", "simsiam", "--self-predict-steps", "1"),
    "byol": ("--self-predict", "byol", "--self-predict-target", "soft:0.01", "--self-predict-steps", "1"),
    "curl": ("--self-predict", "curl", "--augment", "shift:1"),
}
SHARED = ("--preset", "minatar", "--warmup", "2000", "--explore", "1:0.1:20%")
STEPS, SEEDS = 50_000, 5


def on_the_way(result: dict) -> tuple[str, str]:
    """The greedy return over the whole of training, of each seed the mean of its log points: in all, and every seed."""
    import numpy as np

    means = np.mean([point["eval_return"] for point in result["curve"]], axis=0)
    return interval_of(means), every_seed(means, 1)


def main() -> None:
    cells = {f"{game} {variant}": (game, variant) for game in GAMES for variant in VARIANTS}
    results, path = rows_of(
        __doc__,
        {name: [f"minatar:{game}", *SHARED, *VARIANTS[variant]] for name, (game, variant) in cells.items()},
        dict.fromkeys(cells, STEPS),
        SEEDS,
        RESULTS / "self_predict.json",
        curves=True,
    )
    head = (
        "game, loss beside the Q loss",
        "its target",
        "seeds",
        "greedy return, IQM [95 %]",
        "worst ... best",
        "every seed",
        "mean of the log points, IQM [95 %]",
        "every seed",
        "a second",
    )
    rows = []
    for name in cells:
        if name in results:
            r = results[name]
            told = (r.get("self_predict_target", ""), str(len(r["seeds"])), interval(r), extremes(r))
            seeds = every_seed(r["eval_return"], 1)
            rows.append((name.replace(" ", ", "), *told, seeds, *on_the_way(r), f"{r['transitions_per_second']:,.0f}"))
    report(head, rows, path)


if __name__ == "__main__":
    main()
