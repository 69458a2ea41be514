"""How the programs of others are told: what `minatar_own.py` and `stream_own.py` share. It wants nothing of qtwin's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training import keep

WINDOW = 50_000  # [frames]


def tell(results: Path, name: str, returns: list[float], ended: list[int], frames: int, seconds: float) -> None:
    """Prints and keeps the mean return of the episodes that ended in each window.

    Args:
      results: the file to keep it in.
      name: which run it was.
      returns: of each episode.
      ended: the frame that each ended with.
      frames: of the whole run.
      seconds: that it took.
    """
    returns, ended = np.array(returns), np.array(ended)
    ends = range(WINDOW, frames + 1, WINDOW)
    curve = [[end, float(returns[(ended > end - WINDOW) & (ended <= end)].mean())] for end in ends]
    for end, mean in curve:
        print(f"{end:9,d} frames  {mean:.2f}")
    print(f"{frames / seconds:.0f} frames a second")
    keep(results, name, {"frames": frames, "curve": curve, "torch": torch.__version__, "seconds": seconds})
