"""A run of reinforcement learning: what it builds, measures, exports and sums up. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from qtwin.agents.handed_in import is_finished, told_by
from qtwin.agents.info import OWN_OUTPUT
from qtwin.config.config import Config
from qtwin.engine.played import limit_note
from qtwin.envs.guard import Care
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.rates import Plan, plan
from qtwin.records import origin_of
from qtwin.replay.room import replay_bytes, room_for, room_on_disk
from qtwin.request.handed_in import modules_of
from qtwin.request.retention import parse_keep
from qtwin.request.run_config import bound, description_of, registered
from qtwin.request.schedules import in_words
from qtwin.request.train import spec_of
from qtwin.run import in_memory, lifecycle
from qtwin.run.devices import free_memory, prepare
from qtwin.run.finish import Finished, draw, export, judge, report, summarise
from qtwin.run.in_memory import InMemory
from qtwin.run.kind import Score, Took
from qtwin.types import OWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtwin.algorithm import Algorithm
    from qtwin.engine.fleet import Fleet
    from qtwin.envs.base import HostEnv, JaxEnv
    from qtwin.interrupts import Interrupts
    from qtwin.request.train import Request
    from qtwin.run.logs import Logs, Screen
    from qtwin.run.loop import Observer
    from qtwin.run.pauses import Marks
    from qtwin.state import TrainState

MUCH = 10**8  # bytes of replays, from which on what their checkpoints take of the disk is told
JUDGED = ("eval_return", "train_return", "train_length")  # what every log point holds for each seed
SCORE = Score("eval_return", "return", decimals=1)
PERIODIC_EPISODES = 10  # greedy episodes at a log point, for each seed


def run(request: Request) -> int:
    """Trains as asked, writes the run directory, tells the terminal; returns the exit code."""
    return lifecycle.run(request, lambda: execute(request), report)


def execute(request: Request) -> dict:
    """Trains as asked and writes the run directory; returns what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      qtwin.interrupts.Stopped: a signal came; where training had begun, the checkpoint is written.
    """
    return lifecycle.execute(request, lambda out, interrupts: build(request, out, interrupts))


@dataclasses.dataclass(frozen=True)
class Training:
    """What reinforcement learning hands in to a run (`qtwin.run.kind.Kind`).

    Attributes:
      request: what is asked for.
      spec: the environment.
      algorithm: what runs on it.
      env: a `JaxEnv`, or ``envs -> HostEnv``.
      fleet, plan, pauses, score, needs: see `Kind`.
      every: diagnostics run at every K-th log point; 0 never.
      rooms: what the replay takes of memory and disk, in words.
    """

    request: Request
    spec: EnvSpec
    algorithm: Algorithm
    env: JaxEnv | Callable[[int], HostEnv]
    fleet: Fleet
    plan: Plan
    pauses: Marks
    every: int
    rooms: tuple[str, ...] = ()
    score: Score = SCORE
    needs: tuple[str, ...] = JUDGED

    @property
    def told(self) -> Config:
        """The settings, as the algorithm has them."""
        return _told(self.request.config, self.algorithm)

    def title(self) -> str:
        return f"{self.spec.id}  {self.told.agent}  target {self.told.target}"

    def lines(self) -> list[str]:
        said = [limit_note(self.spec, self.request.eval_max_steps)]
        if self.spec.preprocessing:
            said.append(f"preprocessing {self.spec.preprocessing}: {PREPROCESSINGS[self.spec.preprocessing].about}")
        return [line for line in (*said, *self.rooms) if line]

    def described(self) -> dict:
        config, own = self.request.config, {}
        if modules := modules_of(config):
            own = {"own": {"version": self.request.version, "modules": modules}}
        if records := registered(config):
            own["registered"] = records
        if not _of_qtwin(config.agent):
            from qtwin.run.contract import facts

            own["built"] = facts(self.algorithm)
        return description_of(config, self.request.seeds, env=self.spec.id, run=bound(self.request), **own)

    def saved(self, state: TrainState) -> TrainState:
        return state

    def begun(self, interrupts: Interrupts) -> Training:
        del interrupts
        return self

    def goes_on(self, start: int, screen: Screen) -> None:
        done, request = self.fleet.clocks()[0], self.request
        finished = is_finished(request.config.agent)  # its schedules are its own
        if not finished and (line := in_words(request.config, *done[:2])):
            screen.say(line)
        if start > self.plan.cycles:
            raise Refusal(
                f"the run in {request.out} has come to {done.transitions:,} transitions and {done.gradient_steps:,}"
                f" gradient steps, and a budget of {request.config.steps:,} steps came; write --steps with more"
            )

    def observer(self, out: Path | None, start: int, screen: Screen, logs: Logs) -> Observer:
        from qtwin.run.diagnose import Diagnosis, reading_marks
        from qtwin.run.log_point import Measured, SupportWarning
        from qtwin.run.loop import Observer

        config, rule, every = self.told, self.algorithm.rates.target_update, self.every
        readings = reading_marks(self.pauses.logs) if every else frozenset()
        diagnosis = Diagnosis(self.fleet, rule, config, out, logs.points, start, readings, screen.say, every)
        warn = SupportWarning(config, logs, screen.say)
        return Observer(screen, logs, Measured(self.algorithm, diagnosis, warn), look=diagnosis.look, last=warn)

    def judge(self, screen: Screen) -> Finished:
        from qtwin.run.evaluate import greedy_player

        request, act = self.request, self.algorithm.agent.act
        drop = request.on_nan == "drop"
        play = greedy_player(act, self.env, request.eval_episodes, drop, request.eval_max_steps)
        return judge(play, self.fleet, self.spec.id, screen)

    def export(self, out: Path, judged: Finished) -> None:
        export(out, self.spec, self.request.config, judged)

    def draw(self, out: Path, judged: Finished, points: list[dict]) -> None:
        del judged
        draw(out, self.spec, self.told, points)

    def summary(self, judged: Finished, points: list[dict], took: Took) -> dict:
        del points
        return summarise(self.spec, self.told, self.fleet, judged.played, took)


def execute_in_memory(request: Request) -> InMemory:
    """Trains as asked and writes nothing."""
    return in_memory.execute(request, lambda interrupts: build(request, None, interrupts))


def build(request: Request, out: Path | None, interrupts: Interrupts) -> Training:
    """Makes the environments, the algorithm and the seeds; JAX is imported here.

    Args:
      request: what is asked for.
      out: the run directory, absolute; None where nothing is written.
      interrupts: break off what takes long.

    Raises:
      Refusal: an environment is not as it says itself, or the replay has no room.
    """
    from qtwin.envs.make import make, try_out

    config = request.config
    spec = spec_of(config)
    care = Care(request.env_timeout or None, request.env_mode, request.on_nan)
    if not config.data:
        interrupts.breakable(lambda: try_out(spec, care, config.envs))
    prepare(len(request.seeds))
    import jax

    from qtwin.agents.catalog import agent_of
    from qtwin.agents.catalog import algorithm as algorithm_of
    from qtwin.measure.diagnostics import check_outside
    from qtwin.replay.mapped import check_device
    from qtwin.run.contract import check_contract, check_export, check_facts

    interrupts.check()
    if request.frames == "disk":
        check_device(jax.devices()[0])
    algorithm = algorithm_of(spec, config)
    if not _of_qtwin(config.agent):
        check_contract(algorithm, spec, config)
        if request.resume:
            check_facts(algorithm, config, request.out)
        if agent_of(config.agent).output != OWN_OUTPUT:
            check_export(algorithm, spec, config)
    whole = plan(algorithm.rates, config.envs, config.steps)
    pauses, every = _pauses(request, algorithm, whole)
    kept = config.replay and not config.data and not config.agent.startswith(OWN)
    rooms = _rooms(request, spec, len(pauses.checkpoints)) if kept else ()
    env = make(spec, request.engine, care)
    if every:
        check_outside(algorithm, spec)
    fleet = interrupts.breakable(lambda: _fleet(request, spec, algorithm, env, out))
    return Training(request, spec, algorithm, env, fleet, whole, pauses, every, rooms)


def _of_qtwin(agent: str) -> bool:
    """Is it an algorithm of this package, and not one that was handed in or registered?"""
    return not agent.startswith(OWN) and not origin_of("agent", agent)


def _told(config: Config, algorithm: Algorithm) -> Config:
    own = not _of_qtwin(config.agent) and not is_finished(config.agent)
    return told_by(algorithm, config) if own else config


def _pauses(request: Request, algorithm: Algorithm, plan: Plan) -> tuple[Marks, int]:
    """Where the run pauses, and at every K-th log point its diagnostics run."""
    from qtwin.run.diagnose import diagnose_every, looks, reading_marks
    from qtwin.run.pauses import marks

    pauses, every = marks(plan, request.log_points, request.checkpoints), diagnose_every(request.diagnose, plan)
    if not every:
        return pauses, every
    return pauses._replace(looks=looks(plan, algorithm.rates.target_update) | reading_marks(pauses.logs)), every


def _fleet(
    request: Request, spec: EnvSpec, algorithm: Algorithm, env: JaxEnv | Callable[[int], HostEnv], out: Path | None
) -> Fleet:
    from qtwin.engine.fleet import fleet_of
    from qtwin.measure.overestimation import Overestimation

    # An algorithm that is put together may not tell its discount, without which no value can be held against a return.
    told = _told(request.config, algorithm)
    known = told.discount < 1 or not is_finished(told.agent)
    return fleet_of(
        algorithm,
        env,
        request.config.envs,
        request.seeds,
        PERIODIC_EPISODES,
        overlap=request.overlap,
        frames=out if request.frames == "disk" else None,
        drop=request.on_nan == "drop",
        eval_max_steps=request.eval_max_steps,
        judge=Overestimation(told.discount, spec.time_limit or 0) if known else None,
    )


def _rooms(request: Request, spec: EnvSpec, checkpoints: int) -> tuple[str, ...]:
    """What the replay takes of the memory, and where that is much, of the disk; refuses what does not fit."""
    config, on_disk, seeds = request.config, request.frames == "disk", len(request.seeds)
    memory = room_for(spec, config, seeds, free_memory(), on_disk)
    if request.out is None or (seeds * replay_bytes(spec, config) < MUCH and not on_disk):
        return (memory,)
    there = next(folder for folder in (Path(request.out), *Path(request.out).absolute().parents) if folder.exists())
    had = (Path(request.out) / "checkpoints" / "blocks").glob("*")
    free = shutil.disk_usage(there).free + sum(file.stat().st_size for file in had)
    kept, apart = parse_keep(request.keep).at_once(checkpoints), config.steps // checkpoints
    return memory, room_on_disk(spec, config, seeds, free, kept, apart, request.out, on_disk)
