"""qtwin beside Stable-Baselines3, rejax and the matrix products alone: the same network, batch and rates.

    python benchmarks/speed.py

makes an environment of its own for each peer (under .venv-bench/, once), runs the contenders one after another for
several rounds, and prints the medians and their ratios. What is held equal and what differs: benchmarks/README.md.
"""

from __future__ import annotations

from contest import Contender, Ratio, contest
from script import RESULTS

BREAKOUT = ("--env", "minatar:Breakout")
CONTENDERS = (
    Contender("qtwin fused, 1 seed", "one", "qtwin", "qtwin_fused.py", (), 200_000),
    Contender("qtwin fused, 2 seeds", "two", "qtwin", "qtwin_fused.py", ("--seeds", "2"), 200_000),
    Contender("rejax, single-threaded Eigen", "rejax", "rejax", "rejax_dqn.py", ("--flags", "single"), 120_000),
    Contender("rejax, XLA's default flags", "rejax", "rejax", "rejax_dqn.py", ("--flags", "default"), 120_000),
    Contender("the matrix products alone", "floor", "qtwin", "floor.py", (), 300_000),
    Contender("qtwin hosted", "hosted", "qtwin", "qtwin_hosted.py", (), 50_000),
    Contender("qtwin hosted, overlapped", "hosted", "qtwin", "qtwin_hosted.py", ("--overlap",), 50_000),
    Contender("Stable-Baselines3, 10 envs, torch's threads", "sb3-10", "sb3", "sb3.py", ("--envs", "10"), 20_000),
    Contender(
        "Stable-Baselines3, 10 envs, 1 thread", "sb3-10", "sb3", "sb3.py", ("--envs", "10", "--threads", "1"), 20_000
    ),
    Contender("Stable-Baselines3, 1 env, torch's threads", "sb3-1", "sb3", "sb3.py", ("--envs", "1"), 10_000),
    Contender(
        "Stable-Baselines3, 1 env, 1 thread", "sb3-1", "sb3", "sb3.py", ("--envs", "1", "--threads", "1"), 10_000
    ),
    Contender("qtwin fused, MinAtar Breakout", "breakout", "qtwin", "qtwin_fused.py", BREAKOUT, 6_000),
    Contender("its matrix products alone", "breakout-floor", "qtwin", "floor.py", BREAKOUT, 8_000),
)
RATIOS: tuple[Ratio, ...] = (
    ("qtwin, 1 seed / Stable-Baselines3, 10 envs", "one", "sb3-10", 9.0),
    ("qtwin, 1 seed / Stable-Baselines3, 1 env", "one", "sb3-1", None),
    ("qtwin, 1 seed / rejax", "one", "rejax", 1.3),
    ("qtwin, 2 seeds / 1 seed", "two", "one", 1.8),
    ("qtwin, 1 seed / the matrix products alone", "one", "floor", 0.65),
    ("qtwin hosted / Stable-Baselines3, 10 envs", "hosted", "sb3-10", 2.5),
    ("qtwin hosted / Stable-Baselines3, 1 env", "hosted", "sb3-1", None),
    ("qtwin, MinAtar Breakout, frames a second", "breakout", None, 1300.0),
    ("qtwin, MinAtar Breakout / its matrix products alone", "breakout", "breakout-floor", None),
)

if __name__ == "__main__":
    contest(CONTENDERS, RATIOS, __doc__, RESULTS / "speed.json")
