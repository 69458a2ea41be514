"""qtwin's PQN beside purejaxql's on MinAtar's Breakout: transitions a second with the published recipe.

    python benchmarks/values/speed_pqn.py [--rounds N] [--only GROUP ...] [--purejaxql-python PATH]

As ``benchmarks/speed.py``: each contender in a process of its own, one after another in rounds; medians, and of each
ratio the least and the greatest of one round. Compilation, evaluation and logs are outside the timing. Settled in
purejaxql's favour: XLA's default flags and single-threaded Eigen, the faster counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from contest import Contender, Ratio, contest
from script import RESULTS

CHUNK = 4_096  # transitions between regressions, of 64 gradient steps each
CONTENDERS = (
    Contender("qtwin", "qtwin", "qtwin", "qtwin_pqn.py", (), 80 * CHUNK),
    Contender(
        "purejaxql, single-threaded Eigen", "purejaxql", "purejaxql", "purejaxql_pqn.py", ("--flags", "single"),
        20 * CHUNK,
    ),
    Contender(
        "purejaxql, XLA's default flags", "purejaxql", "purejaxql", "purejaxql_pqn.py", ("--flags", "default"),
        20 * CHUNK,
    ),
)  # fmt: skip
RATIOS: tuple[Ratio, ...] = (("qtwin / purejaxql", "qtwin", "purejaxql", None),)

if __name__ == "__main__":
    contest(
        CONTENDERS,
        RATIOS,
        __doc__,
        RESULTS / "speed_pqn.json",
        measured="transitions a second",
    )
