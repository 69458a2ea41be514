"""What a few seeds can tell: Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice".

Scores are arrays [seeds], or [seeds, tasks] where several tasks are summed up in one number; every interval is a 95 %
percentile bootstrap over seeds, drawn anew in each task (stratified). Agrees with rliable, its authors' library. Read
without importing JAX.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


def iqm(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Interquartile mean: the mean of what is left when a quarter of the values is cut off at either end.

    Agarwal et al. (2021), section 4.3; a quarter that is no whole number is rounded down, as rliable does, so fewer
    than four values give the plain mean.

    Args:
      values: at least one along ``axis``.
      axis: the axis of the seeds.
    """
    ordered = np.sort(np.asarray(values, float), axis=axis)
    cut = ordered.shape[axis] // 4
    return np.mean(np.take(ordered, range(cut, ordered.shape[axis] - cut), axis=axis), axis=axis)


def iqm_of_all(scores: np.ndarray) -> float:
    """The interquartile mean over all seeds of all tasks together. [seeds, tasks] -> []"""
    return float(iqm(np.ravel(scores)))


def resampled(scores: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Seeds drawn with replacement, in each task by itself. [seeds, ...] -> [resamples, seeds, ...]

    A curve's points belong to one run and are drawn together: give [seeds, points] here as [seeds, 1, points], a
    second axis of tasks being the one that is drawn apart.
    """
    scores = np.asarray(scores, float)
    chance = np.random.default_rng(seed)
    if scores.ndim == 1:
        return scores[chance.integers(len(scores), size=(resamples, len(scores)))]
    seeds, tasks = scores.shape[:2]
    drawn = chance.integers(seeds, size=(resamples, seeds, tasks))
    return scores[drawn, np.arange(tasks)]


def interval(values: np.ndarray, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % interval of the interquartile mean. values [seeds], or [seeds, tasks] all together"""
    drawn = resampled(values, resamples)
    low, high = _ends(iqm(drawn.reshape(resamples, -1), axis=1))
    return float(low), float(high)


def band(curves: np.ndarray, resamples: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the interquartile mean at each point of a curve. [seeds, points] -> low, high [points]"""
    drawn = resampled(np.asarray(curves, float)[:, None], resamples)[:, :, 0]
    return _ends(iqm(drawn, axis=1))


def profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Performance profile: the share of runs that end above each threshold. [seeds] or [seeds, tasks] -> [thresholds]

    With several tasks the mean over tasks (Agarwal et al. 2021, equation 1).
    """
    scores = np.asarray(scores, float)
    return np.array([np.mean(scores > threshold) for threshold in np.asarray(thresholds, float)])


def profile_band(scores: np.ndarray, thresholds: np.ndarray, resamples: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of `profile` at each threshold: low, high [thresholds]"""
    drawn = resampled(scores, resamples).reshape(resamples, -1)
    return _ends(np.stack([np.mean(drawn > threshold, axis=1) for threshold in thresholds], axis=1))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> float:
    """How likely a run of X ends above a run of Y, ties counted half, averaged over tasks (Mann & Whitney 1947).

    Args:
      x: [seeds] or [seeds, tasks]
      y: [seeds] or [seeds, tasks], perhaps of another number of seeds.
    """
    return float(np.mean(_above(_columns(x)[None], _columns(y)[None])))


def improvement_interval(x: np.ndarray, y: np.ndarray, resamples: int = 2_000) -> tuple[float, float]:
    """95 % interval of `probability_of_improvement`; X and Y are drawn apart."""
    drawn = resampled(_columns(x), resamples), resampled(_columns(y), resamples, seed=1)
    low, high = _ends(np.mean(_above(*drawn), axis=1))
    return float(low), float(high)


def area(at: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Area under a learning curve by trapezia, as a mean height. at [points], curve [..., points] -> [...]

    A single point is its own height.
    """
    at, curve = np.asarray(at, float), np.asarray(curve, float)
    if len(at) < 2:
        return curve[..., -1]
    return np.trapezoid(curve, at, axis=-1) / (at[-1] - at[0])


def _columns(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, float)
    return scores[:, None] if scores.ndim == 1 else scores


def _above(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[R, n, tasks], [R, m, tasks] -> [R, tasks]"""
    gap = x[:, :, None] - y[:, None]
    return np.mean((gap > 0) + 0.5 * (gap == 0), axis=(1, 2))


def _ends(values: np.ndarray, of: Callable = np.percentile) -> tuple[np.ndarray, np.ndarray]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = of(values, [tail, 100 - tail], axis=0)
    return low, high
