"""The end of a Siamese run: its pictures, and ``summary.json``. Read without importing JAX."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qtwin.config.siamese import SiameseConfig
from qtwin.storage.console import console, safe

if TYPE_CHECKING:
    from qtwin.engine.fleet import Fleet
    from qtwin.run.kind import Took
    from qtwin.types import Variables


class Finished(NamedTuple):
    """What a run has come to.

    Attributes:
      learned: each seed's online network.
      linear: the accuracy of a linear probe on each one's features; nan where there are no labels.
    """

    learned: dict[int, Variables]
    linear: list[float]


def summarise(
    c: SiameseConfig, images: int, fleet: Fleet, judged: dict, linear: list[float], baseline: dict, took: Took
) -> dict:
    """What ``summary.json`` holds; counts are for each seed, the speed is of all of them together.

    Args:
      c: the run's.
      images: how many were learned from.
      fleet: the seeds.
      judged: what the last log point says of their features.
      linear: of `Finished`.
      baseline: what untrained features and raw pixels are worth.
      took: the seconds.
    """
    from qtwin.run.log_point import moves

    clocks, seconds = fleet.clocks(), took.train_seconds
    steps = clocks[0].gradient_steps
    return {
        "method": c.method,
        "data": c.data,
        "target": c.target,
        "seeds": list(fleet.seeds),
        "images": images,
        "gradient_steps": steps,
        "target_updates": moves(clocks),
        **judged,
        "linear": _finite(linear),
        **{name: _finite(value) for name, value in baseline.items()},
        "compile_seconds": round(took.compile_seconds, 3),
        "train_seconds": round(seconds, 3),
        "images_per_second": round(steps * c.batch * len(fleet.seeds) / max(seconds, 1e-9), 1),
        "wall_seconds": round(time.perf_counter() - took.began, 3),
    }


def _finite(value):
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if np.isnan(value) else value


def report(summary: dict, shown: str) -> None:
    """What is shown of a run that has ended.

    Args:
      summary: what ``summary.json`` holds.
      shown: the run directory, as it is to be shown.
    """
    from qtwin.measure.statistics import LEAST, described

    say, out = console().print, Path(shown)

    def told(values: list) -> str:
        each = ", ".join(f"{value:.3f}" for value in values)
        return f"{each}  interquartile mean {described(values, 3)}" if len(values) >= LEAST else each

    if summary["knn"][0] is not None:
        say(
            f"nearest neighbours  {told(summary['knn'])}  (untrained {told(summary['untrained_knn'])};"
            f" raw pixels {summary['raw_pixels_knn']:.3f})"
        )
        say(f"linear probe        {told(summary['linear'])}  (untrained {told(summary['untrained_linear'])})")
    say(f"spread              {told(summary['spread'])}  (1 is spread out, 0 collapsed)")
    say(
        f"{summary['gradient_steps']:,} gradient steps, {summary['target_updates']:,} target updates for each seed;"
        f" {summary['images_per_second']:,.0f} images a second, {summary['wall_seconds']:.1f} s in all"
    )
    files = f"curve     {out / 'curve.png'}\nfeatures  {out / 'features.png'}\nencoder   {out / 'encoder'}"
    say(safe(files), soft_wrap=True)
