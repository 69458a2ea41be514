"""How often a 95 % interval from a few seeds holds what it is for: the interquartile mean of all runs there could be.

python benchmarks/lab/coverage.py             measures and writes benchmarks/results/coverage.json (about six minutes)
python benchmarks/lab/coverage.py --show      prints what was measured
python benchmarks/lab/coverage.py --smoke     a few seconds, writes nothing

Seeds are drawn from made-up populations of final returns whose interquartile mean is known. Needs no JAX.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tables import table  # noqa: E402

from qtwin.measure.statistics import LEVEL, iqm, t_interval  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "coverage.json"
SEEDS = (3, 4, 5, 7, 9, 10, 20)
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
METHODS = {
    "percentile": "percentile bootstrap",
    "bca": "BCa bootstrap",
    "studentised": "studentised bootstrap",
    "trimmed t": "t of the trimmed mean",
    "t": "t",
}


def normal(rng: np.random.Generator, size) -> np.ndarray:
    return rng.normal(0.0, 1.0, size)


def skewed(rng: np.random.Generator, size) -> np.ndarray:
    return rng.lognormal(0.0, 1.0, size)


def some_fail(rng: np.random.Generator, size, share: float = 0.2) -> np.ndarray:
    """A run in five learns nothing."""
    return np.where(rng.random(size) < share, rng.normal(0.1, 0.05, size), rng.normal(1.0, 0.1, size))


def a_third_fails(rng: np.random.Generator, size) -> np.ndarray:
    return some_fail(rng, size, 0.35)


def bounded(rng: np.random.Generator, size) -> np.ndarray:
    """Returns near the greatest there can be, which a third of the runs reach."""
    return np.minimum(1.0, rng.normal(0.97, 0.08, size))


POPULATIONS = {
    "normal": normal,
    "skewed (log-normal)": skewed,
    "one in five fails": some_fail,
    "a third fails": a_third_fails,
    "bounded above": bounded,
}


def deviation(values: np.ndarray) -> np.ndarray:
    """The standard error of a 25 % trimmed mean, from the winsorised variance (Tukey & McLaughlin 1963). [..., n]"""
    ordered = np.sort(values, axis=-1)
    count = ordered.shape[-1]
    cut = count // 4
    limited = np.clip(ordered, ordered[..., cut, None], ordered[..., count - 1 - cut, None])
    return limited.std(axis=-1, ddof=1) / ((1 - 2 * cut / count) * np.sqrt(count))


def trimmed_t(values: np.ndarray) -> tuple[float, float]:
    """Student's t interval of the 25 % trimmed mean, with the degrees of freedom of what is left. [n]"""
    left = len(values) - 2 * (len(values) // 4)
    half = stdtrit(left - 1, TAILS[1]) * deviation(values)
    return iqm(values) - half, iqm(values) + half


def percentile(drawn: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap from resampled interquartile means [resamples]."""
    return tuple(np.quantile(drawn, TAILS))


def bca(values: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap (Efron 1987). values [n], their resampled means [resamples]"""
    point = iqm(values)
    below = (np.mean(drawn < point) + np.mean(drawn <= point)) / 2
    if not 0 < below < 1:
        return float(point), float(point)
    without = iqm(np.stack([np.delete(values, i) for i in range(len(values))]), axis=1)
    off = without.mean() - without
    speed = np.sum(off**3) / (6 * np.sum(off**2) ** 1.5) if np.any(off) else 0.0
    bias = ndtri(below)
    shifted = bias + ndtri(TAILS)
    return tuple(np.quantile(drawn, ndtr(bias + shifted / (1 - speed * shifted))))


def studentised(values: np.ndarray, resampled: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Bootstrap t: resampled means over their own standard errors. values [n], resampled [resamples, n]"""
    errors, point, error = deviation(resampled), iqm(values), deviation(values)
    known = errors > 0
    if not known.any():
        return float(point), float(point)
    low, high = np.quantile((drawn[known] - point) / errors[known], TAILS)
    return point - high * error, point - low * error


def intervals(values: np.ndarray, rng: np.random.Generator, resamples: int) -> dict[str, tuple[float, float]]:
    """Every method's interval from the same seeds. values [n]"""
    resampled = values[rng.integers(len(values), size=(resamples, len(values)))]
    drawn = iqm(resampled, axis=1)
    return {
        "percentile": percentile(drawn),
        "bca": bca(values, drawn),
        "studentised": studentised(values, resampled, drawn),
        "trimmed t": trimmed_t(values),
        "t": t_interval(values),
    }


def measure(trials: int, resamples: int, seeds: tuple[int, ...], population: int) -> list[dict]:
    """Coverage and median width for each population, number of seeds and method.

    Args:
      trials: samples of each size.
      resamples: of each bootstrap.
      seeds: sizes of the samples.
      population: values from which a population's own interquartile mean is taken.
    """
    rng, rows = np.random.default_rng(0), []
    for name, draw in POPULATIONS.items():
        true = iqm(draw(rng, population))
        for count in seeds:
            found = [intervals(draw(rng, count), rng, resamples) for _ in range(trials)]
            row = {"population": name, "seeds": count}
            for method in METHODS:
                low, high = np.array([each[method] for each in found]).T
                row[method] = {
                    "coverage": round(float(np.mean((low <= true) & (true <= high))), 4),
                    "width": float(f"{np.median(high - low):.3g}"),
                }
            rows.append(row)
            print(show([row]).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def show(rows: list[dict]) -> str:
    """Coverage in percent, and the median width in units of the population, as Markdown."""
    lines = [
        (
            row["population"],
            str(row["seeds"]),
            *(f"{100 * row[m]['coverage']:.1f} ({row[m]['width']:.3g})" for m in METHODS),
        )
        for row in rows
    ]
    return table(("population", "seeds", *METHODS.values()), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a few seconds, writes nothing")
    parser.add_argument("--show", action="store_true", help="print what was measured")
    args = parser.parse_args()
    if args.show:
        print(show(json.loads(RESULT.read_text(encoding="utf-8"))["rows"]))
    elif args.smoke:
        print(show(measure(20, 100, (3, 10), 10_000)))
    else:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, encoding="utf-8"
        ).stdout
        trials, resamples = 4000, 1000
        rows = measure(trials, resamples, SEEDS, 4_000_000)
        found = {
            "command": "python benchmarks/lab/coverage.py",
            "commit": commit.strip(),
            "trials": trials,
            "resamples": resamples,
            "methods": METHODS,
            "rows": rows,
        }
        RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(show(rows))


if __name__ == "__main__":
    main()
