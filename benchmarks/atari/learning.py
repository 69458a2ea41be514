"""Atari on two cores with the preset atari-quick: Freeway and Boxing at 200,000 agent steps, Pong at 1,000,000.

Freeway twice: with random actions of one step each, as the preset has them, and with those that last.

    python benchmarks/atari/learning.py [--only NAME ...] [--seeds K]

``--show`` prints the results that are there; a row that was stopped goes on where it was. The random score beside each
is Mnih et al. (2015), extended data table 2. Evaluated as the preset's preprocessing
is (protocol nature: 30 episodes with no-op starts, epsilon 0.05, at most five minutes).
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import report, rows_of
from script import RESULTS
from tables import table as rows_in_markdown
from training import every_seed, interval

ROWS = {
    "Freeway": (("ale:Freeway",), 200_000),
    "Freeway, actions that last": (("ale:Freeway", "--zeta", "2"), 200_000),
    "Boxing": (("ale:Boxing",), 200_000),
    "Pong": (("ale:Pong",), 1_000_000),
}
SEEDS, POINTS = 3, 8
SHARED = ("--preset", "atari-quick", "--log-points", str(POINTS), "--overlap")


def main() -> None:
    results, path = rows_of(
        __doc__,
        {name: [*options, *SHARED] for name, (options, _) in ROWS.items()},
        {name: steps for name, (_, steps) in ROWS.items()},
        SEEDS,
        RESULTS / "learning_atari.json",
        curves=True,
        eval_episodes=30,
    )
    from qtwin.measure.atari_scores import NATURE, key, table

    head = ("row", "agent steps", "seeds", "return, IQM [95 %]", "every seed", "random", "a second")
    rows, curves = [], []
    for name, ((game, *_), _) in ROWS.items():
        if name in results:
            r, known = results[name], table(NATURE)[key(game.removeprefix("ale:"))]
            told = (f"{r['transitions']:,}", str(len(r["seeds"])), interval(r), every_seed(r["eval_return"], 1))
            rows.append((name, *told, f"{known['random']:g}", f"{r['transitions_per_second']:,.0f}"))
            curves.append((name, *[f"{statistics.mean(point['eval_return']):.1f}" for point in r["curve"]]))
    report(head, rows, path)
    if curves:
        shares = [f"{100 * (i + 1) / POINTS:g} %" for i in range(POINTS)]
        print("\n" + rows_in_markdown(("while it trained, mean of the seeds", *shares), curves))


if __name__ == "__main__":
    main()
