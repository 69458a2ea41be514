"""What a few seeds can tell: Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice".

Scores are arrays [seeds], or [seeds, tasks] where several tasks are summed up in one number. From ten seeds on, an
interval is a 95 % percentile bootstrap over seeds, drawn anew in each task (stratified), and agrees with rliable, its
authors' library. With fewer the bootstrap is too narrow, and the interval of one task is Student's t interval, which
of those measured comes nearest to 95 % there (docs/statistics.md). Read without importing JAX.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
ENOUGH = 10  # seeds from which on the percentile bootstrap covers about what it says
LEAST = 3  # seeds from which on there is an interval


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


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval for the interquartile mean of all runs, from those of a few seeds; `method` names it.

    Args:
      values: [seeds], or [seeds, tasks] all together, which is always the bootstrap.

    Returns:
      its ends; NaN for fewer than ``LEAST`` seeds of one task.
    """
    values = np.asarray(values, float)
    if values.ndim > 1 or len(values) >= ENOUGH:
        return bootstrap_interval(values)
    if len(values) < LEAST:
        return float("nan"), float("nan")
    low, high = t_interval(values)
    return float(low), float(high)


def method(seeds: int) -> str:
    """The name of the interval that so many seeds of one task get; "" where there is none."""
    if seeds < LEAST:
        return ""
    return "bootstrap interval" if seeds >= ENOUGH else "t interval"


def note(seeds: int) -> str:
    """What a reader must know about intervals from so many seeds, in one or two sentences."""
    if seeds < LEAST:
        return f"From {'one seed' if seeds == 1 else f'{seeds} seeds'} there is no interval, and no ranking."
    if seeds >= ENOUGH:
        return "Intervals are 95 % percentile bootstrap intervals over seeds."
    return (
        f"With {seeds} seeds, intervals are 95 % t intervals: the usual bootstrap would be too narrow below {ENOUGH}"
        " seeds. Run ten or more before you rely on a ranking."
    )


def described(values: np.ndarray, decimals: int = 1) -> str:
    """The interquartile mean of [seeds] with its interval and the interval's name, on one line."""
    values = np.asarray(values, float)
    middle = f"{iqm(values):.{decimals}f}"
    if not (name := method(len(values))):
        return f"{middle} ({'one seed' if len(values) == 1 else f'{len(values)} seeds'}, no interval)"
    low, high = interval(values)
    return f"{middle} [{low:.{decimals}f}, {high:.{decimals}f}] ({LEVEL:.0%} {name}, {len(values)} seeds)"


def bootstrap_interval(values: np.ndarray, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Percentile bootstrap of the interquartile mean. values [seeds], or [seeds, tasks] all together"""
    drawn = resampled(values, resamples)
    low, high = _ends(iqm(drawn.reshape(resamples, -1), axis=1))
    return float(low), float(high)


def t_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval: mean +- t s / sqrt(n). [seeds, ...] -> low, high [...]"""
    from scipy.special import stdtrit

    values = np.asarray(values, float)
    count = len(values)
    half = stdtrit(count - 1, (1 + LEVEL) / 2) * values.std(axis=0, ddof=1) / np.sqrt(count)
    middle = values.mean(axis=0)
    return middle - half, middle + half


def band(curves: np.ndarray, resamples: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """`interval` at each point of a curve. [seeds, points] -> low, high [points]"""
    curves = np.asarray(curves, float)
    if len(curves) < LEAST:
        nothing = np.full(curves.shape[1], np.nan)
        return nothing, nothing
    if len(curves) < ENOUGH:
        return t_interval(curves)
    drawn = resampled(curves[:, None], resamples)[:, :, 0]
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
