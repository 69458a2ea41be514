"""InvertedPendulum, HalfCheetah and Hopper with TD3, SAC and CrossQ, three seeds each, beside what is published.

python benchmarks/continuous/mujoco.py [--only NAME ...] [--seeds K]

Rows that run at different times are merged into results/mujoco.json; a row that was stopped goes on where it was
when it is asked for again. Each environment's curves are drawn to mujoco-NAME.png beside the results. ``--show`` prints
the results that are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import report, rows_of
from script import RESULTS
from training import every_seed, interval_of

# CrossQ's own critics are 2048 wide, which two cores cannot train in a day; here they are as wide as SAC's. A pole on a
# cart needs no more than 64 units.
NARROW = {
    "half-cheetah-crossq": ["--net", "mlp:256,256+batchrenorm"],
    "inverted-pendulum-td3": ["--net", "mlp:64,64"],
}
# By name: the environment, the preset, the budget, the least that is wanted, what is published at that budget.
CLAIMS = {
    "inverted-pendulum-td3": ("InvertedPendulum-v5", "td3", 50_000, 1000.0, "1000 (TD3's authors, 10 seeds)"),
    "half-cheetah-td3": ("HalfCheetah-v5", "td3", 100_000, 5500.0, "5514 (TD3's authors, 10 seeds)"),
    "half-cheetah-sac": ("HalfCheetah-v5", "sb3-zoo-sac", 100_000, 5400.0, "5470 (Dopamine)"),
    "half-cheetah-crossq": ("HalfCheetah-v5", "crossq", 100_000, None, ""),
    "hopper-td3": ("Hopper-v5", "td3", 100_000, 660.0, "660 (TD3's authors, 10 seeds)"),
}
SEEDS = 3


def draw(env: str, rows: dict[str, dict], file: Path) -> None:
    """The curves of one environment: each agent's mean over seeds, and its seeds thin behind it.

    Args:
      env: stands above.
      rows: results by name, each with its ``curve``.
      file: a PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, row), colour in zip(rows.items(), ("#4477aa", "#ee6677", "#228833", "#ccbb44"), strict=False):
        at = [point["transitions"] for point in row["curve"]]
        returns = np.array([point["eval_return"] for point in row["curve"]], float)
        axes.plot(at, returns, color=colour, alpha=0.25, linewidth=0.8)
        label = f"{name}: mean of {returns.shape[1]} seeds, {np.mean(row['eval_return']):.0f} at the end"
        axes.plot(at, returns.mean(axis=1), color=colour, linewidth=2.2, label=label)
    axes.set_xlabel("transitions")
    axes.set_ylabel("undiscounted return of greedy episodes")
    axes.set_title(env, loc="left")
    axes.legend(loc="best", frameon=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def drawn(results: dict[str, dict], path: Path) -> None:
    """Draws every environment that there are results of, beside them."""
    for env in dict.fromkeys(env for env, *_ in CLAIMS.values()):
        there = {CLAIMS[name][1]: r for name, r in results.items() if CLAIMS[name][0] == env and r.get("curve")}
        if there:
            draw(env, there, path.parent / f"mujoco-{env.partition('-')[0]}.png")


def main() -> None:
    results, path = rows_of(
        __doc__,
        {name: [env, "--preset", preset, *NARROW.get(name, [])] for name, (env, preset, *_) in CLAIMS.items()},
        {name: steps for name, (_, _, steps, *_) in CLAIMS.items()},
        SEEDS,
        RESULTS / "mujoco.json",
        {name: {"wanted": wanted, "published": published} for name, (*_, wanted, published) in CLAIMS.items()},
        curves=True,
        eval_episodes=10,
        then=drawn,
    )
    # Of fewer than four seeds the interquartile mean is the plain mean.
    head = ("recipe", "transitions", "seeds", "greedy return, IQM [95 %]", "every seed", "wanted", "published")
    rows = []
    for name, (env, preset, _, wanted, published) in CLAIMS.items():
        if name in results:
            r = results[name]
            returns = r["eval_return"]
            told = (f"{r['transitions']:,}", str(len(returns)), interval_of(returns, 0), every_seed(returns))
            rows.append((f"{env}, {preset}", *told, f"{wanted:,.0f}" if wanted else "", published))
    report(head, rows, path)


if __name__ == "__main__":
    main()
