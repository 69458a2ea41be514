"""The Python API: `train` in one call, and `learn` for an algorithm put together by hand."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.request.run_directory import anchored
from qtwin.request.run_options import RunOptions
from qtwin.types import Variables

R = TypeVar("R", bound=RunOptions)


class Run(NamedTuple):
    """A finished run on disk.

    Attributes:
      path: the run directory; hand it to `qtwin.load`.
      summary: what ``summary.json`` holds.
      points: the log points of ``metrics.jsonl``.
    """

    path: Path
    summary: dict
    points: list[dict]


def train(
    env: str,
    *,
    agent: str | None = None,
    preset: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    eval_episodes: int = 100,
    log_points: int = 20,
    engine: str = "auto",
    overlap: bool = False,
    checkpoints: str | int | None = None,
    keep: str | int | None = None,
    frames: str | None = None,
    quiet: bool = False,
    diagnose: int | None = None,
    eval_max_steps: int | None = None,
    env_timeout: float = 0.0,
    env_mode: str = "sync",
    on_nan: str = "stop",
    **settings,
) -> Run:
    """Trains an agent and writes a run directory: ``qtwin train`` as a function.

    Args:
      env: the environment, as on the command line (``CartPole-v1``, ``gym:LunarLander-v3``, ``minatar:Breakout``).
      agent: the algorithm, ``dqn`` if neither it nor a preset is named.
      preset: settings by name (``qtwin list presets``).
      seeds: how many, trained side by side: ``seed``, ``seed + 1``, ...; 1, or a resumed run's, if left out.
      seed: the first of them; 0 if left out.
      out: the run directory; a fresh one under ``runs/`` if left out.
      resume: go on with the run that is in ``out``. With other ``steps`` its schedules stay those of the budget that it
        was started with, unless ``schedule_steps`` says otherwise.
      eval_episodes: greedy episodes at the end, for each seed.
      log_points: how many times on the way the agent is evaluated.
      engine: "auto", "fused" or "hosted".
      overlap: hosted engine: collect while the regression runs; pays where environments are slow.
      checkpoints: how many in the run, or "every:N" for one each N transitions; 5, or a resumed run's, if left out.
      keep: which of them stay, "last:N", "every:N" (each N-th), "best:N", or several with commas; the last 2.
      frames: where remembered images lie, "memory" or "disk", in the run directory; in memory if left out.
      quiet: say nothing.
      diagnose: the twin is measured at every so manieth of those evaluations, 0 never; each in a run of 2,000 gradient
        steps or more if left out.
      eval_max_steps: steps after which an evaluation episode is cut; the environment's own time limit, at least 10,000,
        or as a resumed run had it, if left out. [transitions]
      env_timeout: seconds that a step of environments in Python may take; 0 is for ever.
      env_mode: "async" gives each environment of Gymnasium a process of its own, and one that raises, dies or hangs is
        replaced.
      on_nan: "stop" at a number of theirs that is not finite, or "drop" it and go on with another environment.
      **settings: any field of `qtwin.Config`, and the agent's own settings, over the preset's: ``target="soft:0.005"``,
        ``steps=100_000``.

    Raises:
      Refusal: the request was wrong; one sentence says what was expected, what came and what to write instead.
    """
    from qtwin.request.train import build
    from qtwin.run.train import execute

    request = build(
        env,
        agent=agent,
        preset=preset,
        seeds=seeds,
        seed=seed,
        out=None if out is None else str(out),
        resume=resume,
        eval_episodes=eval_episodes,
        log_points=log_points,
        engine=engine,
        overlap=overlap,
        checkpoints=checkpoints,
        keep=keep,
        env_timeout=env_timeout,
        env_mode=env_mode,
        on_nan=on_nan,
        frames=frames,
        quiet=quiet,
        diagnose=diagnose,
        eval_max_steps=eval_max_steps,
        settings=settings,
    )
    for note in () if quiet else request.notes:
        print(f"note: {note}", file=sys.stderr)
    return _ended(request, execute)


def train_encoder(
    method: str,
    data: str | None = None,
    *,
    seeds: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    log_points: int = 15,
    quiet: bool = False,
    checkpoints: str | int | None = None,
    keep: str | int | None = None,
    data_limit: float = 1.0,
    **settings,
) -> Run:
    """Learns features of images without labels and writes a run directory: ``qtwin siamese`` as a function.

    Args:
      method: "simsiam", "byol", "moco" or "simclr".
      data: the images, as on the command line: ``digits``, a folder, an array file, a recording. ``digits``, or a
        resumed run's, if left out.
      seeds, seed, out, quiet, checkpoints, keep: as for `train`.
      resume: go on with the run that is in ``out``; what is left out is what that run had.
      log_points: how many times on the way the features are judged.
      data_limit: memory that the images may take; a file with more is refused before it is read. [GiB]
      **settings: any field of `qtwin.config.siamese.SiameseConfig`, over the method's own: ``target="hard:100"``.

    Returns:
      the run; hand its path to `qtwin.load_encoder`.

    Raises:
      Refusal: the request was wrong; one sentence says what was expected, what came and what to write instead.
    """
    from qtwin.request.siamese import build
    from qtwin.run.siamese.train import execute

    request = build(
        method,
        data=None if data is None else str(data),
        seeds=seeds,
        seed=seed,
        out=None if out is None else str(out),
        resume=resume,
        log_points=log_points,
        quiet=quiet,
        checkpoints=checkpoints,
        keep=keep,
        data_limit=data_limit,
        settings=settings,
    )
    return _ended(request, execute)


def _ended(request: R, execute: Callable[[R], dict]) -> Run:
    """What a request has come to when it has been executed."""
    from qtwin.run.logs import read_points

    path = Path(anchored(request.out))  # before an environment is made, which may change the working directory
    summary = execute(request)
    return Run(path, summary, read_points(path / "metrics.jsonl"))


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


@dataclasses.dataclass
class _Points:
    """Log points kept in memory only."""

    points: list[dict]

    def write(self, point: dict) -> None:
        self.points.append(point)


def learn(
    algorithm: Algorithm,
    env: str | EnvSpec | JaxEnv | Callable[[int], HostEnv],
    *,
    steps: int,
    envs: int = 1,
    seeds: int = 1,
    seed: int = 0,
    log_points: int = 20,
    eval_episodes: int = 100,
    overlap: bool = False,
    quiet: bool = False,
    eval_max_steps: int = 0,
) -> Learned:
    """Runs an algorithm of your own: the engine behind `train`, without files.

    Args:
      algorithm: its agent (init, act, loss), rates, replay, optimiser and exploration.
      env: an environment's name, a `JaxEnv` of your own, or what makes N environments in Python, ``envs -> HostEnv``:
        ``lambda envs: qtwin.from_vector(SyncVectorEnv([make] * envs))``.
      steps: the budget. [transitions]; offline (``collect=0``) [gradient steps]
      envs: environments stepped together.
      seeds: how many, side by side: ``seed``, ``seed + 1``, ...
      seed: the first of them.
      log_points: how many times on the way the agent is evaluated.
      eval_episodes: greedy episodes at the end, for each seed.
      overlap: hosted environments: collect while the regression runs; pays where they are slow.
      quiet: say nothing.
      eval_max_steps: steps after which an evaluation episode is cut; 0 for the environment's own time limit, at least
        10,000. [transitions]

    Raises:
      qtwin.interrupts.Stopped: a signal came.
      Refusal: an environment is not as it says itself; nothing was trained.
      qtwin.errors.Broken: it broke its contract later on.
    """
    from qtwin.run.devices import prepare

    if not isinstance(seeds, int) or seeds < 1:
        raise Refusal(f"the number of seeds is a whole number of at least 1, not {seeds}")
    prepare(seeds)
    from qtwin.engine.fleet import fleet_of
    from qtwin.envs.make import handed_in
    from qtwin.interrupts import Interrupts
    from qtwin.rates import plan
    from qtwin.run.evaluate import greedy_player
    from qtwin.run.finish import judge
    from qtwin.run.logs import Screen
    from qtwin.run.loop import Course, Observer, loop
    from qtwin.run.pauses import marks

    spending, env = plan(algorithm.rates, envs, steps), handed_in(env, envs, plays=bool(algorithm.rates.collect))
    names = tuple(range(seed, seed + seeds))
    fleet = fleet_of(algorithm, env, envs, names, overlap=overlap, eval_max_steps=eval_max_steps)
    screen, kept = Screen(spending.cycles, 0, quiet), _Points([])
    try:
        with Interrupts() as interrupts:
            interrupts.say = screen.say
            interrupts.breakable(fleet.compile)
            course = Course(spending, marks(spending, log_points, "1"))
            loop(fleet, course, Observer(screen, kept), interrupts=interrupts)
            play = greedy_player(algorithm.agent.act, env, eval_episodes, eval_max_steps=eval_max_steps)
            last, played = interrupts.breakable(lambda: judge(play, fleet, fleet.name, screen))
        return Learned(list(last.values()), np.array([each.returns.mean() for each in played]), kept.points)
    finally:
        screen.close()
        fleet.close()
