"""PQN over seeds: CartPole for 500,000 transitions and MinAtar's Breakout for 10,000,000.

    python benchmarks/values/pqn.py [--only NAME ...] [--seeds K] [--steps N]

Both are purejaxql's published recipes (the presets pqn-cartpole and pqn-minatar); ``speed_pqn.py`` has the two
libraries side by side.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import report, rows_of
from script import RESULTS
from training import every_seed, extremes, interval

ROWS = {
    "CartPole-v1": (["CartPole-v1", "--preset", "pqn-cartpole"], 500_000),
    "MinAtar Breakout": (["minatar:Breakout", "--preset", "pqn-minatar"], 10_000_000),
}
WANTED = {"CartPole-v1": "490"}


def main() -> None:
    results, path = rows_of(
        __doc__,
        {name: options for name, (options, _) in ROWS.items()},
        {name: steps for name, (_, steps) in ROWS.items()},
        5,
        RESULTS / "pqn.json",
        curves=True,
    )
    head = (
        "environment", "transitions", "seeds", "greedy return, IQM [95 %]", "worst ... best", "every seed", "wanted",
        "a second", "a second, with compilation",
    )  # fmt: skip
    rows = []
    for name, r in results.items():
        returns = (interval(r), extremes(r), every_seed(r["eval_return"]))
        told = (f"{r['transitions']:,}", str(len(r["seeds"])), *returns, WANTED.get(name, ""))
        whole = r["transitions"] * len(r["seeds"]) / r["wall_seconds"]
        rows.append((name, *told, f"{r['transitions_per_second']:,.0f}", f"{whole:,.0f}"))
    report(head, rows, path)


if __name__ == "__main__":
    main()
