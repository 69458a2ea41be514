"""Does it learn what others publish? Ten seeds of each recipe through the command line, beside the published figure.

    python benchmarks/learning.py [--only NAME ...] [--seeds K]

``--show`` prints the results that are there; a row that was stopped goes on where it was. Beside them stands what
Stable-Baselines3 itself gives for a recipe, where results/sb3_zoo.json holds seeds of contenders/sb3_zoo.py.
"""

from __future__ import annotations

from rows import report, rows_of
from script import RESULTS, read_rows
from training import every_seed, interval

# By name: the environment, the preset, the budget, and what is published for it.
CLAIMS = {
    "cartpole-cleanrl": ("CartPole-v1", "cleanrl", 500_000, "488.7 +- 16.1 (torch), 498.4 +- 2.3 (JAX), 3 seeds"),
    "acrobot-cleanrl": ("Acrobot-v1", "cleanrl", 500_000, "-91.5 (torch), -88.9 (JAX), 3 seeds"),
    "cartpole-zoo": ("CartPole-v1", "sb3-zoo", 50_000, "500 (one run)"),
    "mountaincar-zoo": ("MountainCar-v0", "sb3-zoo", 120_000, "-100.8 (one run)"),
}
SEEDS = 10


def main() -> None:
    results, path = rows_of(
        __doc__,
        {name: [env, "--preset", preset] for name, (env, preset, *_) in CLAIMS.items()},
        {name: steps for name, (_, _, steps, _) in CLAIMS.items()},
        SEEDS,
        RESULTS / "learning.json",
        {name: {"published": published} for name, (*_, published) in CLAIMS.items()},
    )
    peers, rows = read_rows(RESULTS / "sb3_zoo.json"), []
    for name, (env, preset, *_) in CLAIMS.items():
        if name in results:
            rows.append((f"{env}, {preset}", *told(results[name])))
        if preset == "sb3-zoo" and env in peers:
            rows.append((f"{env}, the same by Stable-Baselines3 itself", *told(peers[env])))
    report(("recipe", "transitions", "seeds", "greedy return, IQM [95 %]", "every seed", "published"), rows, path)


def told(result: dict) -> tuple[str, ...]:
    """A row of the table, behind its name."""
    returns = result["eval_return"]
    counts = (f"{result['transitions']:,}", str(len(returns)))
    return *counts, interval(result), every_seed(returns), result.get("published", "")


if __name__ == "__main__":
    main()
