"""DDPG, TD3 and SAC on Pendulum-v1, 20,000 transitions, ten seeds, with rl-baselines3-zoo's recipes.

python benchmarks/continuous/pendulum.py [--only NAME ...] [--seeds K]

``--only`` without a name trains nothing and prints the results that are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from shared import report, rows_of
from training import HERE, extremes, interval

# By name: the preset, and what the zoo publishes for one run of its own.
CLAIMS = {
    "ddpg": ("sb3-zoo-ddpg", "-152.1 (one run)"),
    "td3": ("sb3-zoo-td3", "-151.9 (one run)"),
    "sac": ("sb3-zoo-sac", "-157.0 (one run)"),
}
STEPS, SEEDS, LEAST = 20_000, 10, -160.0


def main() -> None:
    results, path = rows_of(
        __doc__.splitlines()[0],
        {name: ["Pendulum-v1", "--preset", preset] for name, (preset, _) in CLAIMS.items()},
        dict.fromkeys(CLAIMS, STEPS),
        SEEDS,
        HERE / "results" / "pendulum.json",
        {name: {"published": published, "wanted": LEAST} for name, (_, published) in CLAIMS.items()},
    )
    head = ("recipe", "transitions", "seeds", "greedy return, IQM [95 %]", "worst ... best", "wanted", "published")
    rows = []
    for name, (preset, published) in CLAIMS.items():
        if name in results:
            r = results[name]
            counts = (f"{r['transitions']:,}", str(len(r["seeds"])))
            rows.append((preset, *counts, interval(r), extremes(r), f"{LEAST:.0f} or better", published))
    report(head, rows, path)


if __name__ == "__main__":
    main()
