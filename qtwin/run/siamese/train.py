"""A Siamese run: what it builds, measures, exports and sums up; the engine of the agents, with nothing collected.

Read without importing JAX.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtwin.config.siamese import SiameseConfig
from qtwin.records import imported
from qtwin.request.run_config import description_of
from qtwin.run import lifecycle
from qtwin.run.devices import prepare
from qtwin.run.kind import Score, Took
from qtwin.run.siamese.finish import Finished, report, summarise
from qtwin.siamese.catalog import METHODS

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.engine.fleet import Fleet
    from qtwin.engine.played import Played
    from qtwin.envs.base import JaxEnv
    from qtwin.interrupts import Interrupts
    from qtwin.rates import Plan
    from qtwin.request.siamese import SiameseRequest
    from qtwin.run.log_point import Pace
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Observer
    from qtwin.run.pauses import Marks
    from qtwin.siamese.features import Judgement
    from qtwin.state import TrainState
    from qtwin.types import Array, Variables

JUDGED = ("knn", "spread", "effective_rank", "loss", "agreement")  # what a log point says of the features of each seed
SCORE = Score("knn", "kNN", decimals=3)


def method_of(images: Array, c: SiameseConfig) -> Algorithm:
    """The method that ``c.method`` names, on images [M, H, W, C]."""
    return imported(METHODS[c.method].build)(images, c)


def run(request: SiameseRequest) -> int:
    """Learns as asked, writes the run directory, tells the terminal; returns the exit code."""
    return lifecycle.run(request, lambda: execute(request), report)


def execute(request: SiameseRequest) -> dict:
    """Learns as asked and writes the run directory; returns what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      qtwin.interrupts.Stopped: a signal came; where learning had begun, the checkpoint is written.
    """
    return lifecycle.execute(request, lambda out, interrupts: build(request, interrupts))


@dataclasses.dataclass(frozen=True)
class Learning:
    """What self-supervised learning hands in to a run (`qtwin.run.kind.Kind`).

    Attributes:
      request: what is asked for.
      judge_features: ``online variables -> Judgement``.
      featurise: ``encoder's variables, images -> features``.
      fleet, plan, pauses, score, needs: see `Kind`.
      baseline: what untrained features and raw pixels are worth, by the names of the summary.
    """

    request: SiameseRequest
    judge_features: Callable[[Variables], Judgement]
    featurise: Callable[[Variables, Array], np.ndarray]
    fleet: Fleet
    plan: Plan
    pauses: Marks
    baseline: dict = dataclasses.field(default_factory=dict)
    score: Score = SCORE
    needs: tuple[str, ...] = JUDGED

    def title(self) -> str:
        c, images = self.request.config, self.request.images
        shape = list(images.train.shape[1:])
        return f"{images.name}: {len(images.train):,} images {shape}  {c.method}  target {c.target}"

    def lines(self) -> list[str]:
        return [_passes(self.request.config, len(self.request.images.train))]

    def described(self) -> dict:
        request = self.request
        return description_of(request.config, request.seeds, run={"checkpoints": request.checkpoints})

    def saved(self, state: TrainState) -> TrainState:
        """Without the images: they are where they came from."""
        return state._replace(replay=())

    def begun(self, interrupts: Interrupts) -> Learning:
        return dataclasses.replace(self, baseline=interrupts.breakable(self._baseline))

    def goes_on(self, start: int, screen: Screen) -> None:
        """Nothing to tell: its settings are as before, the budget among them."""

    def observer(self, out: Path, start: int, screen: Screen, logs: Logs) -> Observer:
        from qtwin.run.loop import Observer

        del out, start
        measure = functools.partial(measured, self.request.config)
        return Observer(screen, logs, measure, check=lambda judged, name: None, score=self.score.name)

    def judge(self, screen: Screen) -> Finished:
        del screen
        learned = {seed: self.fleet.variables(i) for i, seed in enumerate(self.fleet.seeds)}
        return Finished(learned, self._linear(learned.values()))

    def export(self, out: Path, judged: Finished) -> None:
        from qtwin.run.siamese import encoder

        images = self.request.images
        encoder.export(out / "encoder", self.request.config, images.train.shape[1:], judged.learned)

    def draw(self, out: Path, judged: Finished, points: list[dict]) -> None:
        from qtwin.run.siamese import figures

        c, images, seed = self.request.config, self.request.images, self.fleet.seeds[0]
        title = f"{c.method} on {images.name}, target {c.target}"
        lines = {
            "raw pixels": self.baseline["raw_pixels_knn"],
            "untrained": float(np.mean(self.baseline["untrained_knn"])),
        }
        figures.draw_curve(points, title, out / "curve.png", lines)
        shown, labels = (images.test, images.test_labels) if len(images.test) else (images.train, None)
        features = self.featurise(judged.learned[seed].part("encoder"), shown[: figures.SHOWN])
        figures.draw_features(features, labels, f"features of {title}, seed {seed}", out / "features.png")

    def summary(self, judged: Finished, points: list[dict], took: Took) -> dict:
        told = {name: points[-1][name] for name in self.needs}
        images = len(self.request.images.train)
        return summarise(self.request.config, images, self.fleet, told, judged.linear, self.baseline, took)

    def _linear(self, learned: Iterable[Variables]) -> list[float]:
        from qtwin.siamese import features

        images = self.request.images
        return [features.linear_accuracy(self.featurise, v.part("encoder"), images) for v in learned]

    def _baseline(self) -> dict:
        """What untrained features and raw pixels are worth, by the names of the summary."""
        from qtwin.siamese import features

        untrained = [self.fleet.variables(i) for i in range(len(self.fleet.seeds))]
        return {
            "raw_pixels_knn": features.of_raw_pixels(self.request.images),
            "untrained_knn": [self.judge_features(v).knn for v in untrained],
            "untrained_linear": self._linear(untrained),
        }


def build(request: SiameseRequest, interrupts: Interrupts) -> Learning:
    """Makes the method and the seeds; JAX is imported here."""
    prepare(len(request.seeds))
    from qtwin.rates import plan
    from qtwin.run.pauses import marks
    from qtwin.siamese import features, recipe

    c, images = request.config, request.images
    interrupts.check()
    algorithm = method_of(images.train, c)
    whole = plan(algorithm.rates, 1, recipe.gradient_steps(c, len(images.train)))
    judge, featurise = features.judging(images, c), features.featuriser(images.train.shape[1:], c.encoder)
    fleet = _fleet(algorithm, images.train, request.seeds, judge)
    pauses = marks(whole, request.log_points, request.checkpoints)
    return Learning(request, judge, featurise, fleet, whole, pauses)


def _passes(c: SiameseConfig, images: int) -> str:
    """What a pass is, in words."""
    left = images % c.batch
    out = f"; the {left:,} left over differ from pass to pass" if left else ""
    return f"{c.epochs:,} passes of {images // c.batch:,} gradient steps, {c.batch:,} images each{out}"


def _fleet(algorithm: Algorithm, images: Array, seeds: tuple[int, ...], judge) -> Fleet:
    """The fused engine's seeds in an environment where nothing happens; judged where agents are evaluated."""
    from qtwin.engine.fused_fleet import FusedFleet
    from qtwin.engine.played import Played

    def play(variables: Variables, at: tuple[int, int]) -> Played:
        return Played(np.array(judge(variables)), np.zeros(1, bool))

    return FusedFleet(algorithm, nowhere(), 1, seeds, 1, play)


def nowhere() -> JaxEnv:
    """The environment of those that only look at images: one action, and nothing happens."""
    import jax.numpy as jnp

    from qtwin.envs.base import JaxEnv, Outcome
    from qtwin.envs.spec import EnvSpec

    obs = jnp.zeros((), jnp.float32)
    ended = Outcome(jnp.float32(0.0), jnp.float32(0.0), obs, jnp.bool_(True))
    spec = EnvSpec("siamese:images", (), "float32", 1)
    return JaxEnv(spec, lambda key: ((), obs), lambda key, state, action: ((), obs, ended))


def measured(c: SiameseConfig, fleet: Fleet, judged: np.ndarray, pace: Pace) -> dict:
    """Makes a log point; lists in it hold one number per seed.

    Args:
      c: the run's.
      fleet: the seeds; their tallies are taken.
      judged: a `Judgement` of each seed's features. [K, 3]
      pace: how far the run is.
    """
    from qtwin.run.log_point import moves

    tallies, clocks = fleet.take_tallies(), fleet.clocks()

    def per_step(name: str) -> list[float]:
        return [float(getattr(t, name)) / max(int(t.gradient_steps), 1) for t in tallies]

    return {
        "cycles": pace.cycles,
        "transitions": 0,
        "gradient_steps": clocks[0].gradient_steps,
        "target_updates": moves(clocks),
        "seconds": round(pace.seconds, 3),
        "images_per_second": round(pace.speed * c.batch, 1),
        "knn": [float(k) for k in judged[:, 0]],
        "spread": [float(s) for s in judged[:, 1]],
        "effective_rank": [float(r) for r in judged[:, 2]],
        "loss": per_step("loss"),
        "agreement": per_step("q"),
        "twin_distance": [float(d) for d in fleet.twin_distances()],
    }
