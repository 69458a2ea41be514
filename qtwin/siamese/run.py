"""A Siamese run, from a request to a run directory: the engine of the agents, with nothing collected."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtwin.engine.devices import prepare
from qtwin.errors import Refusal
from qtwin.run.lock import Lock
from qtwin.siamese.config import SiameseConfig

if TYPE_CHECKING:
    from qtwin.agent import Algorithm
    from qtwin.engine.fleet import Fleet
    from qtwin.envs.base import JaxEnv
    from qtwin.siamese.request import SiameseRequest
    from qtwin.types import Array

JUDGED = ("knn", "spread", "effective_rank", "loss", "agreement")  # what a log point says of the features of each seed


def method_of(images: Array, c: SiameseConfig) -> Algorithm:
    """The method that ``c.method`` names, on images [M, H, W, C]."""
    return getattr(importlib.import_module(f"qtwin.siamese.{c.method}"), c.method)(images, c)


def run(request: SiameseRequest) -> int:
    """Learns as asked, writes the run directory, tells the terminal; returns the exit code."""
    from qtwin.run.loop import Stopped

    try:
        summary = execute(request)
    except OSError as error:
        print(f"qtwin: {error.filename or request.out} cannot be written ({error.strerror or error})", file=sys.stderr)
        return 1
    except Stopped as stop:
        print(f"qtwin: {stop}; go on with --resume --out {request.out}", file=sys.stderr)
        return stop.exit_code
    if not request.quiet:
        _report(summary, Path(request.out))
    return 0


def execute(request: SiameseRequest) -> dict:
    """Learns as asked and writes the run directory; returns what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      qtwin.run.loop.Stopped: a signal came; the checkpoint is written.
    """
    with Lock(Path(request.out)):
        if not request.resume and (Path(request.out) / "config.json").exists():
            raise Refusal(f"--out {request.out} holds another run; write another --out, or --resume to go on with it")
        return _execute(request)


def _execute(request: SiameseRequest) -> dict:
    began = time.perf_counter()
    prepare(len(request.seeds))
    from qtwin.rates import plan
    from qtwin.run.keep import parse_keep
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Watch, loop, marks
    from qtwin.run.saved import description_of, write_json
    from qtwin.run.saver import Saver
    from qtwin.run.train import span
    from qtwin.siamese import encoder, features, picture, recipe

    c, images, out = request.config, request.images, Path(request.out)
    algorithm = method_of(images.train, c)
    spending = plan(algorithm.rates, 1, recipe.gradient_steps(c, len(images.train)))
    judge = features.judging(images, c)
    fleet = _fleet(algorithm, images.train, request.seeds, judge)
    screen = Screen(spending.cycles, 0, request.quiet, "kNN", 3)
    try:
        screen.say(
            f"{images.name}: {len(images.train):,} images {list(images.train.shape[1:])}  {c.method}"
            f"  target {c.target}  {span(request.seeds)}  {'resumed in' if request.resume else 'to'} {out}"
        )
        screen.say(_passes(c, len(images.train)))
        compile_seconds = fleet.compile()
        screen.say(f"compiled in {compile_seconds:.1f} s")
        featurise = features.featuriser(images.train.shape[1:], c.encoder)
        untrained = [fleet.variables(i) for i in range(len(fleet.seeds))]
        baseline = {
            "raw_pixels_knn": features.of_raw_pixels(images),
            "untrained_knn": [judge(v).knn for v in untrained],
            "untrained_linear": [features.linear_accuracy(featurise, v.part("encoder"), images) for v in untrained],
        }
        # The images are not saved with the run: they are where they came from.
        keep = parse_keep(request.keep)
        saver = Saver(out / "checkpoints", fleet, screen, keep, "knn", lambda state: state._replace(replay=()))
        start = saver.go_on() if request.resume else 0
        write_json(out / "config.json", description_of(c, request.seeds, run={"checkpoints": request.checkpoints}))
        saver.logs = logs = Logs(out, request.seeds, start if request.resume else None, JUDGED)
        if logs.gaps:
            screen.say(logs.gaps)
        pauses, watch = marks(spending, request.log_points, request.checkpoints), Watch(saver.save, saver.go_back)
        measure = _measure(c)
        seconds = loop(fleet, spending, pauses, screen, logs, watch, start, None, measure, "knn")
        screen.close()
        learned = {seed: fleet.variables(i) for i, seed in enumerate(fleet.seeds)}
        linear = [features.linear_accuracy(featurise, v.part("encoder"), images) for v in learned.values()]
        encoder.export(out / "encoder", c, images.train.shape[1:], learned)
        title = f"{c.method} on {images.name}, target {c.target}"
        lines = {"raw pixels": baseline["raw_pixels_knn"], "untrained": float(np.mean(baseline["untrained_knn"]))}
        picture.draw_curve(logs.points, title, out / "curve.png", lines)
        judged = (images.test, images.test_labels) if len(images.test) else (images.train, None)
        shown = featurise(learned[fleet.seeds[0]].part("encoder"), judged[0][: picture.SHOWN])
        picture.draw_features(shown, judged[1], f"features of {title}, seed {fleet.seeds[0]}", out / "features.png")
        summary = _summary(c, len(images.train), fleet, logs.points[-1], linear, baseline, seconds, compile_seconds)
        summary["wall_seconds"] = round(time.perf_counter() - began, 3)
        write_json(out / "summary.json", summary)
        logs.close()
        return summary
    finally:
        screen.close()
        fleet.close()


def _passes(c: SiameseConfig, images: int) -> str:
    """What a pass is, in words."""
    left = images % c.batch
    out = f"; the {left:,} left over differ from pass to pass" if left else ""
    return f"{c.epochs:,} passes of {images // c.batch:,} gradient steps, {c.batch:,} images each{out}"


def _fleet(algorithm: Algorithm, images: Array, seeds: tuple[int, ...], judge) -> Fleet:
    """The fused engine's seeds in an environment where nothing happens; judged where agents are evaluated."""
    from qtwin.engine.fleet import FusedFleet

    return FusedFleet(algorithm, nowhere(), 1, seeds, 1, lambda variables, at: np.array(judge(variables)))


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
    from rich.console import Console

    from qtwin.lab.statistics import LEAST, described

    say = Console(highlight=False, markup=False).print

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
    say(f"curve     {out / 'curve.png'}\nfeatures  {out / 'features.png'}\nencoder   {out / 'encoder'}", soft_wrap=True)
