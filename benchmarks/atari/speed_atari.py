"""qtwin's DQN beside Stable-Baselines3's on Atari, and collection alone beside the bare AtariVectorEnv.

    python benchmarks/atari/speed_atari.py [--rounds N] [--only GROUP ...] [--sb3-python PATH]

As ``benchmarks/speed.py``: each contender in a process of its own, one after another in rounds; medians, and of each
ratio the least and the greatest of one round. Held equal: Pong, 8 environments, Nature's network, batch 32, Adam 1e-4,
a gradient step for every 4 agent steps, a replay of 20,000. Settled in Stable-Baselines3's favour: torch's own number
of threads and 1 thread, the faster counts. Collection acts at random and stores every frame; the bare environment is
stepped with the same number of random actions and nothing is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from contest import Contender, Ratio, contest
from script import RESULTS

CONTENDERS = (
    Contender("qtwin hosted", "qtwin", "qtwin", "qtwin_atari.py", (), 3_200),
    Contender("qtwin hosted, overlapped", "qtwin", "qtwin", "qtwin_atari.py", ("--overlap",), 3_200),
    Contender("Stable-Baselines3, torch's threads", "sb3", "sb3", "sb3_atari.py", (), 3_200),
    Contender("Stable-Baselines3, 1 thread", "sb3", "sb3", "sb3_atari.py", ("--threads", "1"), 3_200),
    Contender("qtwin, collecting at random", "collect", "qtwin", "collect_atari.py", (), 40_000),
    Contender("the bare AtariVectorEnv", "bare", "qtwin", "collect_atari.py", ("--bare",), 40_000),
)
RATIOS: tuple[Ratio, ...] = (
    ("qtwin / Stable-Baselines3", "qtwin", "sb3", 1.3),
    ("collecting / the bare environment", "collect", "bare", 0.95),
)

if __name__ == "__main__":
    contest(
        CONTENDERS,
        RATIOS,
        __doc__,
        RESULTS / "speed_atari.json",
        measured="agent steps a second",
    )
