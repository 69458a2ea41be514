"""A Siamese run, from a request to a run directory: the engine of the agents, with nothing collected."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtwin.config.siamese import SiameseConfig
from qtwin.records import imported
from qtwin.request.run_config import write_json
from qtwin.run.devices import prepare
from qtwin.run.finish import undisturbed
from qtwin.run.train import alone, ended, span
from qtwin.siamese.catalog import METHODS
from qtwin.storage.console import console, safe

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.engine.fleet import Fleet
    from qtwin.engine.played import Played
    from qtwin.envs.base import JaxEnv
    from qtwin.interrupts import Interrupts
    from qtwin.request.siamese import SiameseRequest
    from qtwin.run.lock import Lock
    from qtwin.run.logs import Logs
    from qtwin.siamese.data import Images
    from qtwin.types import Array, Variables

JUDGED = ("knn", "spread", "effective_rank", "loss", "agreement")  # what a log point says of the features of each seed


def method_of(images: Array, c: SiameseConfig) -> Algorithm:
    """The method that ``c.method`` names, on images [M, H, W, C]."""
    return imported(METHODS[c.method].build)(images, c)


def run(request: SiameseRequest) -> int:
    """Learns as asked, writes the run directory, tells the terminal; returns the exit code."""
    summary, code = ended(lambda: execute(request), request.out)
    if summary is not None and not request.quiet:
        _report(summary, Path(request.out))
    return code


def execute(request: SiameseRequest) -> dict:
    """Learns as asked and writes the run directory; returns what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      qtwin.interrupts.Stopped: a signal came; where learning had begun, the checkpoint is written.
    """
    return alone(request, lambda lock, interrupts: _execute(request, lock, interrupts))


def _execute(request: SiameseRequest, lock: Lock, interrupts: Interrupts) -> dict:
    began = time.perf_counter()
    prepare(len(request.seeds))
    from qtwin.rates import plan
    from qtwin.request.retention import parse_keep
    from qtwin.request.run_config import description_of
    from qtwin.run.checkpoint_manager import Saver
    from qtwin.run.directory import RunDirectory
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Watch, loop, marks
    from qtwin.siamese import features, recipe

    c, images, out = request.config, request.images, lock.out
    interrupts.check()
    algorithm = method_of(images.train, c)
    spending = plan(algorithm.rates, 1, recipe.gradient_steps(c, len(images.train)))
    judge = features.judging(images, c)
    fleet = _fleet(algorithm, images.train, request.seeds, judge)
    screen = Screen(spending.cycles, 0, request.quiet, "kNN", 3)
    interrupts.say = screen.say
    try:
        screen.say(
            f"{images.name}: {len(images.train):,} images {list(images.train.shape[1:])}  {c.method}  target {c.target}"
            f"  {span(request.seeds)}  {'resumed in' if request.resume else 'to'} {request.out}"
        )
        screen.say(_passes(c, len(images.train)))
        compile_seconds = interrupts.breakable(fleet.compile)
        screen.say(f"compiled in {compile_seconds:.1f} s")
        baseline = interrupts.breakable(lambda: _baseline(images, c, fleet, judge))
        # The images are not saved with the run: they are where they came from.
        keep = parse_keep(request.keep)
        saver = Saver(out / "checkpoints", fleet, screen, keep, "knn", lambda state: state._replace(replay=()))
        start = saver.go_on() if request.resume else 0
        described = description_of(c, request.seeds, run={"checkpoints": request.checkpoints})
        directory = RunDirectory(lock, described, screen.say)
        directory.begin(start < spending.cycles)
        saver.logs = logs = Logs(out, request.seeds, start if request.resume else None, JUDGED)
        if logs.gaps:
            screen.say(logs.gaps)
        pauses = marks(spending, request.log_points, request.checkpoints)
        watch = Watch(saver.save, saver.go_back, saver.settle, directory.ensure)
        kept = screen, logs, watch, start, None, _measure(c), "knn"
        seconds = loop(fleet, spending, pauses, *kept, interrupts=interrupts)
        screen.close()
        directory.ensure()
        took = {"began": began, "compile_seconds": compile_seconds, "train_seconds": seconds}
        return _finish(request, out, fleet, logs, baseline, interrupts, took)
    finally:
        screen.close()
        fleet.close()


def _passes(c: SiameseConfig, images: int) -> str:
    """What a pass is, in words."""
    left = images % c.batch
    out = f"; the {left:,} left over differ from pass to pass" if left else ""
    return f"{c.epochs:,} passes of {images // c.batch:,} gradient steps, {c.batch:,} images each{out}"


def _baseline(images: Images, c: SiameseConfig, fleet: Fleet, judge: Callable) -> dict:
    """What untrained features and raw pixels are worth, by the names of the summary."""
    from qtwin.siamese import features

    featurise = features.featuriser(images.train.shape[1:], c.encoder)
    untrained = [fleet.variables(i) for i in range(len(fleet.seeds))]
    return {
        "raw_pixels_knn": features.of_raw_pixels(images),
        "untrained_knn": [judge(v).knn for v in untrained],
        "untrained_linear": [features.linear_accuracy(featurise, v.part("encoder"), images) for v in untrained],
    }


def _finish(
    request: SiameseRequest,
    out: Path,
    fleet: Fleet,
    logs: Logs,
    baseline: dict,
    interrupts: Interrupts,
    took: dict[str, float],
) -> dict:
    """Judges, exports and sums up a run whose budget is spent; ``summary.json`` comes last.

    Raises:
      qtwin.interrupts.Stopped: a signal came before the summary; resumed, the run does all this again.
    """
    from qtwin.run.siamese import encoder, figures
    from qtwin.siamese import features

    c, images = request.config, request.images
    featurise = features.featuriser(images.train.shape[1:], c.encoder)
    learned = {seed: fleet.variables(i) for i, seed in enumerate(fleet.seeds)}
    linear = interrupts.breakable(
        lambda: [features.linear_accuracy(featurise, v.part("encoder"), images) for v in learned.values()]
    )
    encoder.export(out / "encoder", c, images.train.shape[1:], learned)
    interrupts.check()
    title = f"{c.method} on {images.name}, target {c.target}"
    lines = {"raw pixels": baseline["raw_pixels_knn"], "untrained": float(np.mean(baseline["untrained_knn"]))}
    judged = (images.test, images.test_labels) if len(images.test) else (images.train, None)
    with undisturbed():
        figures.draw_curve(logs.points, title, out / "curve.png", lines)
        shown = featurise(learned[fleet.seeds[0]].part("encoder"), judged[0][: figures.SHOWN])
        figures.draw_features(shown, judged[1], f"features of {title}, seed {fleet.seeds[0]}", out / "features.png")
    seconds = took["train_seconds"], took["compile_seconds"]
    summary = _summary(c, len(images.train), fleet, logs.points[-1], linear, baseline, *seconds)
    summary["wall_seconds"] = round(time.perf_counter() - took["began"], 3)
    interrupts.check()
    write_json(out / "summary.json", summary)
    logs.close()
    return summary


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


def _measure(c: SiameseConfig):
    """Makes a log point (`qtwin.run.loop.log_point`); lists in it hold one number per seed."""
    from qtwin.run.loop import moves

    def measure(fleet: Fleet, cycles: int, judged: np.ndarray, spent: float, speed: float) -> dict:
        tallies, clocks = fleet.take_tallies(), fleet.clocks()

        def per_step(name: str) -> list[float]:
            return [float(getattr(t, name)) / max(int(t.gradient_steps), 1) for t in tallies]

        return {
            "cycles": cycles,
            "transitions": 0,
            "gradient_steps": clocks[0].gradient_steps,
            "target_updates": moves(clocks),
            "seconds": round(spent, 3),
            "images_per_second": round(speed * c.batch, 1),
            "knn": [float(k) for k in judged[:, 0]],
            "spread": [float(s) for s in judged[:, 1]],
            "effective_rank": [float(r) for r in judged[:, 2]],
            "loss": per_step("loss"),
            "agreement": per_step("q"),
            "twin_distance": [float(d) for d in fleet.twin_distances()],
        }

    return measure


def _summary(c, images, fleet, last: dict, linear, baseline: dict, seconds: float, compile_seconds: float) -> dict:
    """What ``summary.json`` holds; counts are for each seed, the speed is of all of them together."""
    from qtwin.run.loop import moves

    clocks = fleet.clocks()
    steps = clocks[0].gradient_steps
    return {
        "method": c.method,
        "data": c.data,
        "target": c.target,
        "seeds": list(fleet.seeds),
        "images": images,
        "gradient_steps": steps,
        "target_updates": moves(clocks),
        **{name: last[name] for name in JUDGED},
        "linear": [None if np.isnan(value) else value for value in linear],
        **{name: _finite(value) for name, value in baseline.items()},
        "compile_seconds": round(compile_seconds, 3),
        "train_seconds": round(seconds, 3),
        "images_per_second": round(steps * c.batch * len(fleet.seeds) / max(seconds, 1e-9), 1),
    }


def _finite(value):
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if np.isnan(value) else value


def _report(summary: dict, out: Path) -> None:
    from qtwin.measure.statistics import LEAST, described

    say = console().print

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
