"""The interquartile mean over seeds and its bootstrap interval (Agarwal et al. 2021), in numpy."""

from __future__ import annotations

import numpy as np

RESAMPLES = 10_000


def iqm(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half along the last axis, as ``scipy.stats.trim_mean(scores, 0.25)`` cuts it.

    Args:
      scores: [..., K]; a quarter of the K, rounded down, is left out at either end.
    """
    cut = int(0.25 * scores.shape[-1])
    return np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut].mean(axis=-1)


def with_interval(scores: list[float], seed: int = 0) -> tuple[float, float, float]:
    """The interquartile mean of one environment's seeds, and the two ends of its 95 % bootstrap interval.

    The bootstrap is stratified by environment: seeds are drawn again within an environment, never across; with one
    environment that is the plain percentile bootstrap over its seeds.

    Args:
      scores: one number per seed. [K]
      seed: of the draws, so that the same scores always give the same interval.
    """
    values = np.asarray(scores, float)
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(iqm(values[drawn]), [2.5, 97.5])
    return float(iqm(values)), float(low), float(high)
