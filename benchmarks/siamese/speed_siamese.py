"""qtwin's SimSiam beside a plain PyTorch SimSiam: the same network and batch, images a second.

    python benchmarks/siamese/speed_siamese.py [--rounds N] [--sb3-python PATH]

As ``benchmarks/speed.py``: each contender in a process of its own, one after another in rounds; medians, and of each
ratio the least and the greatest of one round. The views are there already on both sides; qtwin's own speed with views
made in the step stands beside. Settled in PyTorch's favour: its own number of threads and 1 thread, its usual memory
layout and channels last, the fastest counts. PyTorch is that of Stable-Baselines3's environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from contest import Contender, contest
from script import RESULTS

QTWIN, TORCH = "qtwin_siamese.py", "torch_siamese.py"
CONTENDERS = (
    Contender("qtwin", "given", "qtwin", QTWIN, (), 50_000),
    Contender("qtwin, XLA's default flags", "given", "qtwin", QTWIN, ("--threads",), 50_000),
    Contender("qtwin, views made in the step", "made", "qtwin", QTWIN, ("--augment",), 50_000),
    Contender("PyTorch", "torch", "sb3", TORCH, (), 50_000),
    Contender("PyTorch, 1 thread", "torch", "sb3", TORCH, ("--threads", "1"), 50_000),
    Contender("PyTorch, channels last", "torch", "sb3", TORCH, ("--channels-last",), 50_000),
    Contender("PyTorch, channels last, 1 thread", "torch", "sb3", TORCH, ("--channels-last", "--threads", "1"), 50_000),
)
RATIOS = (
    ("qtwin / PyTorch, views given to both", "given", "torch", None),
    ("qtwin making its views / PyTorch with views given", "made", "torch", None),
)

if __name__ == "__main__":
    contest(CONTENDERS, RATIOS, __doc__, RESULTS / "speed_siamese.json", "images a second")
