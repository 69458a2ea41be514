"""What one object of ``metrics.jsonl`` holds of a run of reinforcement learning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.config.config import Config
from qtwin.engine.fleet import Fleet
from qtwin.request.check_values import outside_support
from qtwin.run.logs import Logs
from qtwin.types import Clock


class Pace(NamedTuple):
    """How far a run is, and how fast it goes.

    Attributes:
      cycles: turned so far.
      seconds: spent in the three processes.
      speed: of all seeds together, since the last log point. [transitions / s]; offline [gradient steps / s]
    """

    cycles: int
    seconds: float
    speed: float


def log_point(fleet: Fleet, returns: np.ndarray, pace: Pace) -> dict:
    """One log point; each list has one number per seed, None where nothing happened.

    Args:
      fleet: the seeds; their tallies are taken.
      returns: of the evaluation. [K, episodes]
      pace: how far the run is.
    """

    def per(total, count) -> float | None:
        return float(total) / int(count) if int(count) else None

    tallies, clocks = fleet.take_tallies(), fleet.clocks()
    beside = {}
    if tallies[0].self_loss is not None:
        beside = {"self_loss": [per(t.self_loss, t.gradient_steps) for t in tallies]}
    for name, counts in (("lost_environments", fleet.lost()), ("eval_cut", fleet.cut())):
        if any(counts):
            beside[name] = counts
    return {
        "cycles": pace.cycles,
        "transitions": clocks[0].transitions,
        "gradient_steps": clocks[0].gradient_steps,
        "target_updates": moves(clocks),
        "seconds": round(pace.seconds, 3),
        "transitions_per_second": round(pace.speed, 1),
        "eval_return": [float(r) for r in returns.mean(axis=1)],
        "train_return": [per(t.returns, t.episodes) for t in tallies],
        "train_length": [per(t.lengths, t.episodes) for t in tallies],
        "episodes": [int(t.episodes) for t in tallies],
        "loss": [per(t.loss, t.gradient_steps) for t in tallies],
        "q": [per(t.q, t.gradient_steps) for t in tallies],
        "td_error": [per(t.td_error, t.gradient_steps) for t in tallies],
        **beside,
        "skipped_updates": [fault.skipped for fault in fleet.faults()],
        "twin_distance": [float(d) for d in fleet.twin_distances()],
    }


def moves(clocks: list[Clock]) -> int | list[int]:
    """Moves of the target: one number where all seeds agree (all but ``until`` do), else one per seed."""
    counts = [clock.target_updates for clock in clocks]
    return counts[0] if len(set(counts)) == 1 else counts


@dataclasses.dataclass(frozen=True)
class Measured:
    """Makes the log points of a run with a directory: how much is explored, and diagnostics of the twin, beside them.

    Attributes:
      algorithm: what runs.
      diagnosis: ``transitions -> dict``.
      warn: called at each log point.
    """

    algorithm: Algorithm
    diagnosis: Callable[[int], dict]
    warn: Callable[[], None]

    def __call__(self, fleet: Fleet, returns: np.ndarray, pace: Pace) -> dict:
        point = log_point(fleet, returns, pace)
        self.warn()
        transitions = point["transitions"]
        return point | explored(self.algorithm, fleet, transitions) | self.diagnosis(transitions)


def explored(algorithm: Algorithm, fleet: Fleet, transitions: int) -> dict:
    """How much is explored at present, for a log point."""
    now = float(algorithm.explore(np.int32(transitions)))
    if algorithm.policy_update is None:
        return {"epsilon": now}
    logs = [fleet.variables(i).params.get("temperature") for i in range(len(fleet.seeds))]
    return {"explore": now} | ({} if logs[0] is None else {"temperature": [float(np.exp(t)) for t in logs]})


@dataclasses.dataclass
class SupportWarning:
    """Says once, when it is called and there is reason to, that values leave the support of a distribution.

    Attributes:
      config: the run's.
      logs: hold the values.
      say: is told.
      warned: it has been said.
    """

    config: Config
    logs: Logs
    say: Callable[[str], None]
    warned: bool = False

    def __call__(self) -> None:
        if not self.warned and (warning := outside_support(self.config, self.logs.points)):
            self.say(warning)
            self.warned = True
