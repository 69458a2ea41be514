"""The Python API: `train` in one call, `session` step by step, `learn` without files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.config.dialect import in_python, python_dialect
from qtwin.envs.base import JaxEnv
from qtwin.envs.spec import EnvSpec
from qtwin.request.run_directory import anchored
from qtwin.request.run_options import RunOptions
from qtwin.run.outcome import Learned, Run

if TYPE_CHECKING:
    from qtwin.request.train import Request
    from qtwin.run.session import Session

R = TypeVar("R", bound=RunOptions)


@python_dialect()
def train(
    env: Any = None,
    *,
    agent: Any = None,
    preset: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    out: str | Path | None = "auto",
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
    version: str = "",
    **settings,
) -> Run:
    """Trains an agent and writes a run directory: ``qtwin train`` as a function.

    Environment, algorithm, network and target update can be named or handed in. What is handed in cannot be written to
    a file: `load` and ``resume=True`` ask for it again.

    Args:
      env: the environment: a name, as on the command line (``CartPole-v1``, ``gym:LunarLander-v3``,
        ``minatar:Breakout``), with ``env_kwargs={...}`` for an id of Gymnasium's; a ``gymnasium.Env`` class, or a
        function that returns one environment; `qtwin.vector` of a function that returns N; a `qtwin.JaxEnv`; or an
        environment from ``gymnasium.make``, which is made again from its spec. May be left out with ``resume``.
      agent: the algorithm: a name, a `qtwin.Algorithm`, or a function ``(EnvSpec, Config) -> Algorithm``; ``dqn`` if
        neither it nor a preset is named.
      preset: settings by name (``qtwin list presets``).
      seeds: number of seeds, trained side by side: ``seed``, ``seed + 1``, ...; 1, or a resumed run's, if left out.
      seed: the first seed; 0 if left out.
      out: the run directory; "auto" is a new one under ``runs/``; None writes nothing.
      resume: continue the run in ``out``. With other ``steps`` its schedules stay those of the budget that it was
        started with, unless ``schedule_steps`` says otherwise.
      eval_episodes: greedy episodes at the end, for each seed.
      log_points: number of evaluations on the way.
      engine: "auto", "fused" or "hosted".
      overlap: hosted engine: collect while the regression runs; pays where environments are slow.
      checkpoints: checkpoints per run, or "every:N" for one every N transitions; 5, or a resumed run's, if left out.
      keep: checkpoints to keep: "last:N", "every:N" (each N-th), "best:N", or several with commas; "last:2" if left
        out.
      frames: where the replay buffer keeps images, "memory" or "disk" (in the run directory); "memory" if left out.
      quiet: print nothing.
      diagnose: run diagnostics at every K-th evaluation, 0 never; if left out, at each one in a run of 2,000 gradient
        steps or more.
      eval_max_steps: cut evaluation episodes after this many steps; the environment's own time limit, at least 10,000,
        or as a resumed run had it, if left out. [transitions]
      env_timeout: seconds that a step of environments in Python may take; 0 is no limit.
      env_mode: "async" gives each Gymnasium environment a process of its own, restarted after a crash or hang.
      on_nan: on a non-finite observation or reward: "stop" the run, or "drop" the step and replace the environment.
      version: the version of what was handed in. Code cannot be compared when a run is resumed: with the same version
        it is taken to be the same, with another one the run is refused.
      **settings: any field of `qtwin.Config` and the agent's own settings; they override the preset's:
        ``target="soft:0.005"``, ``steps=100_000``. ``net`` (and an actor's ``actor_net``) may be a Flax NNX module
        class, a Flax Linen module or a `qtwin.Net`; ``target`` may be a `qtwin.TargetUpdate`.

    Returns:
      the finished run.

    Raises:
      Refusal: the request was wrong; one sentence says what was expected, what came and what to write instead.
    """
    request = _request(**locals())  # all of the arguments, by their names
    from qtwin.run.train import execute, execute_in_memory

    if request.out is not None:
        return _ended(request, execute)
    ended = execute_in_memory(request)
    return Run(None, ended.summary, ended.points)


@python_dialect()
def session(
    env: Any = None,
    *,
    agent: Any = None,
    preset: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    log_points: int = 20,
    engine: str = "auto",
    overlap: bool = False,
    checkpoints: str | int | None = None,
    keep: str | int | None = None,
    frames: str | None = None,
    quiet: bool = True,
    diagnose: int | None = None,
    eval_max_steps: int | None = None,
    env_timeout: float = 0.0,
    env_mode: str = "sync",
    on_nan: str = "stop",
    version: str = "",
    **settings,
) -> Session:
    """A run that is stepped by hand: the same three processes as `train`, as many transitions at a time as you like.

        with qtwin.session("CartPole-v1", steps=100_000) as session:
            session.advance(10_000)
            session.evaluate(20).mean()

    Stepping in pieces gives the bits of one piece, and a session that is stepped to the end of its budget has trained
    what `train` trains with the same arguments.

    Args:
      env, agent, preset, seeds, seed, resume, log_points, engine, overlap, checkpoints, keep, frames, diagnose,
        eval_max_steps, env_timeout, env_mode, on_nan, version, **settings: as for `train`.
      out: the run directory; "auto" is a new one under ``runs/``; None writes nothing.
      quiet: print nothing.

    Returns:
      a `qtwin.Session`; close it, or use it as a context manager.

    Raises:
      Refusal: the request was wrong; one sentence says what was expected, what came and what to write instead.
    """
    request = _request(**locals())  # all of the arguments, by their names
    from qtwin.run.session import Session

    return Session(request)


def _request(settings: dict[str, Any], out: str | Path | None, **options: Any) -> Request:
    """What `train` and `session` are asked for, checked; its notes are printed."""
    from qtwin.request.train import build

    directory = {"out": None if out in (None, "auto") else str(out), "files": out is not None}
    request = build(**options, **directory, settings=settings)
    for note in () if request.quiet else request.notes:
        print(f"note: {in_python(note)}", file=sys.stderr)
    return request


@python_dialect()
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

    path = Path(anchored(str(request.out)))  # before an environment is made, which may change the working directory
    summary = execute(request)
    return Run(path, summary, read_points(path / "metrics.jsonl"))


@python_dialect()
def learn(
    algorithm: Algorithm,
    env: Any,
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
    """Runs an algorithm of your own and writes nothing: `train` with ``out=None``, which gives back the networks.

    Args:
      algorithm: its agent (init, act, loss), rates, replay, optimiser and exploration.
      env: as for `train`; a function that takes one argument is a function of the number of environments, as in
        `qtwin.vector`.
      steps: the budget. [transitions]; offline (``collect=0``) [gradient steps]
      envs: environments stepped together.
      seeds: number of seeds, side by side: ``seed``, ``seed + 1``, ...
      seed: the first seed.
      log_points: number of evaluations on the way.
      eval_episodes: greedy episodes at the end, for each seed.
      overlap: hosted environments: collect while the regression runs; pays where they are slow.
      quiet: print nothing.
      eval_max_steps: cut evaluation episodes after this many steps; 0 is the environment's own time limit, at least
        10,000. [transitions]

    Raises:
      qtwin.interrupts.Stopped: a signal came.
      Refusal: an environment is not what it says; nothing was trained.
      qtwin.errors.Broken: an environment broke its contract later on.
    """
    from qtwin.run.train import execute_in_memory

    env = env.id if isinstance(env, EnvSpec) else _several(env)
    request = _request(
        {"steps": steps, "envs": envs}, None, env=env, agent=algorithm, seeds=seeds, seed=seed, log_points=log_points,
        eval_episodes=eval_episodes, overlap=overlap, quiet=quiet, eval_max_steps=eval_max_steps,
    )  # fmt: skip
    ended = execute_in_memory(request)
    variables = list(ended.judged.last.values())
    return Learned(variables, np.array(ended.summary["eval_return"]), ended.points)


def _several(env: Any) -> Any:
    """A function with one required argument, as `learn` has always taken it, becomes a `qtwin.vector`."""
    import inspect

    from qtwin.envs.handed_in import vector

    if not callable(env) or isinstance(env, (str, JaxEnv, vector)) or inspect.isclass(env):
        return env
    make: Any = env
    try:
        inspect.signature(env).bind()
    except TypeError:
        return vector(make)
    except ValueError:
        return env
    return env
