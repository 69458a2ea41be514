"""What a call from Python gives back when its run has ended. Read without importing JAX."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from qtwin.types import Variables


class Run(NamedTuple):
    """A finished run.

    Attributes:
      path: the run directory; hand it to `qtwin.load`. None where nothing was written (``out=None``).
      summary: what ``summary.json`` holds.
      points: the log points of ``metrics.jsonl``.
    """

    path: Path | None
    summary: dict
    points: list[dict]

    @property
    def eval_return(self) -> np.ndarray:
        """Each seed's mean greedy return at the end. [K]"""
        return np.array(self.summary["eval_return"])

    def __repr__(self) -> str:
        what, returns = self.summary, self.summary.get("eval_return")
        judged = f", eval_return {[round(each, 1) for each in returns]}" if returns else ""
        about = " ".join(str(what[name]) for name in ("agent", "method", "env") if name in what)
        return f"Run({about}{judged}, {'in memory' if self.path is None else str(self.path)!r})"


class Learned(NamedTuple):
    """What `learn` gives back.

    Attributes:
      variables: each seed's online network, to be handed to ``net.apply``.
      eval_return: each seed's mean greedy return at the end. [K]
      points: the log points on the way; lists in them hold one number per seed.
    """

    variables: list[Variables]
    eval_return: np.ndarray
    points: list[dict]

    def __repr__(self) -> str:
        returns = [round(float(each), 1) for each in self.eval_return]
        return f"Learned(eval_return {returns}, {len(self.points)} log points)"
