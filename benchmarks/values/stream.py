"""Streaming Q(lambda) over seeds, with its authors' recipe (the preset stream-q): CartPole, Acrobot and MountainCar.

    python benchmarks/values/stream.py [--only NAME ...] [--seeds K] [--steps N]

500,000 transitions each, as their program has it. MinAtar with their recipe is the row stream_q of ``minatar.py``;
``stream_own.py`` is their own program there.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import report, rows_of
from script import RESULTS
from training import every_seed, extremes, interval

ENVS, STEPS, SEEDS = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"), 500_000, 10


def main() -> None:
    results, path = rows_of(
        __doc__,
        {env: [env, "--preset", "stream-q"] for env in ENVS},
        dict.fromkeys(ENVS, STEPS),
        SEEDS,
        RESULTS / "stream.json",
        curves=True,
    )
    head = ("environment", "transitions", "seeds", "greedy return, IQM [95 %]", "worst ... best", "every seed")
    rows = []
    for env, r in results.items():
        told = (interval(r), extremes(r), every_seed(r["eval_return"]))
        rows.append((env, f"{r['transitions']:,}", str(len(r["seeds"])), *told))
    report(head, rows, path)


if __name__ == "__main__":
    main()
