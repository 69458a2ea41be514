"""DDPG, TD3 and SAC on Pendulum-v1, 20,000 transitions, ten seeds: each agent's own settings with a small network.

python benchmarks/continuous/pendulum.py [--only NAME ...] [--seeds K]

``--show`` prints the results that are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import report, rows_of
from script import RESULTS
from training import every_seed, extremes, interval

# 64 units learn this task as well as the zoo's 256 or 400 and 300, at a tenth of the cost; the rate is the zoo's.
SMALL = ("--net", "mlp:64,64", "--lr", "1e-3")
# By name: more options, and what rl-baselines3-zoo publishes for one run with its own, larger recipe.
CLAIMS = {
    "ddpg": (("--actor-lr", "1e-3", "--target", "soft:0.005", "--batch", "256"), "-152.1 (one run)"),
    "td3": ((), "-151.9 (one run)"),
    "sac": ((), "-157.0 (one run)"),
}
STEPS, SEEDS, LEAST = 20_000, 10, -160.0


def main() -> None:
    results, path = rows_of(
        __doc__,
        {name: ["Pendulum-v1", "--agent", name, *SMALL, *more] for name, (more, _) in CLAIMS.items()},
        dict.fromkeys(CLAIMS, STEPS),
        SEEDS,
        RESULTS / "pendulum.json",
        {name: {"published": published, "wanted": LEAST} for name, (_, published) in CLAIMS.items()},
    )
    head = (
        "agent", "transitions", "seeds", "greedy return, IQM [95 %]", "worst ... best", "every seed", "wanted",
        "published",
    )  # fmt: skip
    rows = []
    for name, (_, published) in CLAIMS.items():
        if name in results:
            r = results[name]
            counts = (f"{r['transitions']:,}", str(len(r["seeds"])))
            told = (interval(r), extremes(r), every_seed(r["eval_return"]))
            rows.append((name, *counts, *told, f"{LEAST:.0f} or better", published))
    report(head, rows, path)


if __name__ == "__main__":
    main()
