"""Training, from a request to a run directory."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtwin.config.config import Config
from qtwin.engine.played import limit_note
from qtwin.envs.guard import Care
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Broken, Refusal
from qtwin.interrupts import Abandoned, Interrupts, Stopped
from qtwin.rates import plan
from qtwin.replay.room import replay_bytes, room_for, room_on_disk
from qtwin.request.check_values import outside_support
from qtwin.request.retention import parse_keep
from qtwin.request.run_config import bound, description_of
from qtwin.request.run_directory import anchored
from qtwin.request.schedules import in_words
from qtwin.run.devices import free_memory, prepare
from qtwin.run.directory import RunDirectory
from qtwin.run.lock import Lock
from qtwin.storage.console import reserve, safe

if TYPE_CHECKING:
    from qtwin.algorithm import Algorithm
    from qtwin.engine.fleet import Fleet
    from qtwin.request.siamese import SiameseRequest
    from qtwin.request.train import Request
    from qtwin.run.logs import Logs, Screen

MUCH = 10**8  # bytes of replays, from which on what their checkpoints take of the disk is told
JUDGED = ("eval_return", "train_return", "train_length")  # what every log point holds for each seed
PERIODIC_EPISODES = 10  # greedy episodes at a log point, for each seed


def run(request: Request) -> int:
    """Trains as asked, writes the run directory, tells the terminal; returns the exit code."""
    from qtwin.run.finish import report

    summary, code = ended(lambda: execute(request), request.out)
    if summary is not None and not request.quiet:
        report(summary, request.out)
    return code


def ended(run: Callable[[], dict], shown: str) -> tuple[dict | None, int]:
    """Runs to the end, and says on standard error what kept a run from its end.

    Args:
      run: gives what ``summary.json`` holds.
      shown: the run directory, as it was asked for.

    Returns:
      the summary, None without an end; and the exit code, 0 only with one.
    """
    out = Path(anchored(shown))
    try:
        return run(), 0
    except OSError as error:
        print(safe(f"qtwin: {error.filename or shown} cannot be written ({error.strerror or error})"), file=sys.stderr)
        return None, 1
    except Stopped as stop:
        goes_on = "nothing was trained"
        if (out / "config.json").is_file():
            goes_on = f"go on with --resume --out {shlex.quote(shown)}"
        print(safe(f"qtwin: {stop}; {goes_on}"), file=sys.stderr)
        return None, stop.exit_code


def execute(request: Request) -> dict:
    """Trains as asked and writes the run directory.

    Returns:
      what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      qtwin.interrupts.Stopped: a signal came; where training had begun, the checkpoint is written.
    """
    return alone(request, lambda lock, interrupts: _execute(request, lock, interrupts))


def alone(request: Request | SiameseRequest, run: Callable[[Lock, Interrupts], dict]) -> dict:
    """``run``, with its directory locked and signals handled, from the first import to the last file.

    The directory's absolute path is settled here, ``lock.out``: an environment may change the working directory.

    Raises:
      Refusal: the directory is another run's.
      Stopped: a signal came.
      Broken: something in the process asked for its end.
    """
    reserve()
    out = Path(anchored(request.out))
    with Interrupts() as interrupts:
        try:
            with Lock(out) as lock:  # before JAX is imported: a second run is turned away at once
                if not request.resume and (out / "config.json").exists():
                    raise Refusal(
                        f"--out {request.out} holds another run; write another --out, or --resume to go on with it"
                    )
                return run(lock, interrupts)
        except Abandoned:
            raise Stopped(interrupts.asked) from None
        except SystemExit as exit:  # not an `Exception`, so that it would end the process as if all were well
            raise Broken(
                f"something in this process, perhaps the environment, raised SystemExit({exit.code}) before the run had"
                " ended; the last checkpoint is good, and --resume goes on from it"
            ) from exit


def _execute(request: Request, lock: Lock, interrupts: Interrupts) -> dict:
    began = time.perf_counter()
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make, try_out
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Watch, loop, marks

    config, out = request.config, lock.out
    spec = resolve(config.env, config.preprocessing)
    care = Care(request.env_timeout or None, request.env_mode, request.on_nan)
    if not config.data:
        interrupts.breakable(lambda: try_out(spec, care))
    prepare(len(request.seeds))
    import jax

    from qtwin.agents.catalog import algorithm as build
    from qtwin.engine.fleet import fleet_of
    from qtwin.measure.overestimation import Foresight
    from qtwin.replay.mapped import check_device
    from qtwin.run.checkpoint_manager import Saver
    from qtwin.run.diagnose import Diagnosis, diagnose_every, looks, reading_marks
    from qtwin.run.finish import finish

    interrupts.check()
    if request.frames == "disk":
        check_device(jax.devices()[0])
    algorithm = build(spec, config)
    spending = plan(algorithm.rates, config.envs, config.steps)
    pauses = marks(spending, request.log_points, request.checkpoints)
    rooms = _rooms(request, spec, len(pauses.checkpoints)) if config.replay and not config.data else ()
    env = make(spec, request.engine, care)
    frames = out if request.frames == "disk" else None
    drop, cap = request.on_nan == "drop", request.eval_max_steps
    judge = Foresight(config.discount, spec.time_limit or 0)
    how = PERIODIC_EPISODES, request.overlap, frames, drop, cap, judge
    fleet = interrupts.breakable(lambda: fleet_of(algorithm, env, config.envs, request.seeds, *how))
    screen = Screen(spending.cycles, 0, request.quiet)
    interrupts.say = screen.say
    try:
        screen.say(
            f"{spec.id}  {config.agent}  target {config.target}  {span(request.seeds)}  "
            f"{'resumed in' if request.resume else 'to'} {request.out}"
        )
        for line in (*_about(spec, cap), *rooms):
            screen.say(line)
        compile_seconds = interrupts.breakable(fleet.compile)
        screen.say(f"compiled in {compile_seconds:.1f} s")
        saver = Saver(out / "checkpoints", fleet, screen, parse_keep(request.keep))
        start = saver.go_on() if request.resume else 0
        if request.resume and (line := in_words(config, *fleet.clocks()[0][:2])):
            screen.say(line)
        if start > spending.cycles:
            done = fleet.clocks()[0]
            raise Refusal(
                f"the run in {request.out} has come to {done.transitions:,} transitions and {done.gradient_steps:,}"
                f" gradient steps, and a budget of {config.steps:,} steps came; write --steps with more"
            )
        described = description_of(config, request.seeds, env=spec.id, run=bound(request))
        directory = RunDirectory(lock, described, screen.say)
        directory.begin(start < spending.cycles)
        saver.logs = logs = Logs(out, request.seeds, start if request.resume else None, JUDGED)
        if logs.gaps:
            screen.say(logs.gaps)

        rule = algorithm.rates.target_update
        every = diagnose_every(request.diagnose, spending)
        readings = reading_marks(pauses.logs) if every else frozenset()
        diagnosis = Diagnosis(fleet, rule, config, out, logs.points, start, readings, screen.say, every)
        pauses = pauses._replace(looks=looks(spending, rule) | readings if every else frozenset())
        present, warn_once = _present(algorithm, fleet), _warning(config, logs, screen)

        def extra(transitions: int) -> dict:
            warn_once()
            return present(transitions) | diagnosis(transitions)

        watch = Watch(saver.save, saver.go_back, saver.settle, directory.ensure)
        kept = screen, logs, watch, start, extra
        seconds = loop(fleet, spending, pauses, *kept, look=diagnosis.look, interrupts=interrupts)
        warn_once()  # of the last point, too
        screen.close()
        directory.ensure()
        took = {"began": began, "compile_seconds": compile_seconds, "train_seconds": seconds}
        return finish(request, out, spec, algorithm, env, fleet, spending, logs, screen, interrupts, took)
    finally:
        screen.close()
        fleet.close()


def _about(spec: EnvSpec, eval_max_steps: int) -> list[str]:
    """What is said of an environment at the start."""
    said = [limit_note(spec, eval_max_steps)]
    if spec.preprocessing:
        said.append(f"preprocessing {spec.preprocessing}: {PREPROCESSINGS[spec.preprocessing].about}")
    return [line for line in said if line]


def _warning(config: Config, logs: Logs, screen: Screen) -> Callable[[], None]:
    """Says once, when it is called and there is reason to, that values leave the support of a distribution."""
    warned = False

    def warn_once() -> None:
        nonlocal warned
        if not warned and (warning := outside_support(config, logs.points)):
            screen.say(warning)
            warned = True

    return warn_once


def _present(algorithm: Algorithm, fleet: Fleet) -> Callable[[int], dict]:
    """``transitions -> dict``: how much is explored at present, for a log point."""

    def present(transitions: int) -> dict:
        now = float(algorithm.explore(np.int32(transitions)))
        if algorithm.improvement is None:
            return {"epsilon": now}
        logs = [fleet.variables(i).params.get("temperature") for i in range(len(fleet.seeds))]
        return {"explore": now} | ({} if logs[0] is None else {"temperature": [float(np.exp(t)) for t in logs]})

    return present


def _rooms(request: Request, spec: EnvSpec, checkpoints: int) -> tuple[str, ...]:
    """What the replay takes of the memory, and where that is much, of the disk; refuses what does not fit."""
    config, on_disk, seeds = request.config, request.frames == "disk", len(request.seeds)
    memory = room_for(spec, config, seeds, free_memory(), on_disk)
    if seeds * replay_bytes(spec, config) < MUCH and not on_disk:
        return (memory,)
    there = next(folder for folder in (Path(request.out), *Path(request.out).absolute().parents) if folder.exists())
    had = (Path(request.out) / "checkpoints" / "blocks").glob("*")
    free = shutil.disk_usage(there).free + sum(file.stat().st_size for file in had)
    kept, apart = parse_keep(request.keep).at_once(checkpoints), config.steps // checkpoints
    return memory, room_on_disk(spec, config, seeds, free, kept, apart, request.out, on_disk)


def span(seeds: tuple[int, ...]) -> str:
    """``seed 0``, or ``seeds 0 to 4``."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
