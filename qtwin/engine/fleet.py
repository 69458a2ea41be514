"""Many seeds of one algorithm, stepped together: what training, evaluation and checkpoints need of an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.measure.diagnostics import Readings
from qtwin.measure.overestimation import Judged, Overestimation
from qtwin.rates import Cycle
from qtwin.state import Faults, Tally, TrainState
from qtwin.types import Clock, PyTree, Variables


class Fleet(Protocol):
    """K seeds of one algorithm on one kind of environment, all at the same point of their runs.

    Attributes:
      seeds: which seeds.
      name: the environment's id.
      turn: one cycle, in whole numbers.
      eval_max_steps: steps after which an evaluation episode is cut. [transitions]
      resets_at_checkpoints: the environments' own state cannot be saved, so they are re-made at every checkpoint, in a
        run that is never stopped as well: only then do a stop and a resume change nothing.
    """

    seeds: tuple[int, ...]
    name: str
    turn: Cycle
    eval_max_steps: int
    resets_at_checkpoints: bool

    def compile(self) -> float:
        """Compiles what the run will need; returns the seconds it took."""

    def warm_up(self, vector_steps: int) -> None:
        """Gathers at random."""

    def advance(self, cycles: int) -> None:
        """Turns the three processes."""

    def wait(self) -> None:
        """Returns when all that was asked for is done."""

    def clocks(self) -> list[Clock]:
        """Each seed's counters, as whole numbers."""

    def twin_distances(self) -> list[float]:
        """Each seed's relative distance between online and target network (`qtwin.twin.distance`)."""

    def take_tallies(self) -> list[Tally]:
        """Each seed's tally since the last call, as numbers."""

    def faults(self) -> list[Faults]:
        """Each seed's faults, as whole numbers."""

    def lost(self) -> list[int]:
        """Each seed's environments that were lost and replaced."""

    def evaluate(self, count: int) -> np.ndarray:
        """Greedy returns [K, episodes]; the same ``count`` draws the same episodes."""

    def cut(self) -> list[int]:
        """Of the last evaluation, how many of each seed's episodes were cut because they did not end."""

    def judged(self) -> list[Judged | None]:
        """Of the last evaluation, what came of each seed's values; None where its agent tells none."""

    def take_probe(self) -> list[PyTree]:
        """Draws each seed's probe batch from its replay as it stands, keeps it, and returns it as numpy arrays."""

    def set_probe(self, probes: list[PyTree]) -> None:
        """Keeps probe batches that were drawn before."""

    def read(self) -> list[Readings]:
        """Each seed's diagnostics on its probe batch, as numbers."""

    def variables(self, seed_index: int) -> Variables:
        """One seed's online network, as numpy arrays."""

    def snapshot(self, seed_index: int) -> TrainState:
        """One seed's whole state, as numpy arrays."""

    def restore(self, states: list[TrainState]) -> None:
        """Puts K seeds' states, as `snapshot` gave them, in place of the present ones; where an array is large, a
        `qtwin.storage.block_store.Column` may stand for it."""

    def re_make(self, boundary: int) -> None:
        """Re-makes environments whose state cannot be saved, with seeds drawn from the run's and ``boundary``."""

    def close(self) -> None:
        """Gives back what the environments hold."""


def fleet_of(
    algorithm: Algorithm,
    env: JaxEnv | Callable[[int], HostEnv],
    envs: int,
    seeds: tuple[int, ...],
    episodes: int = 10,
    overlap: bool = False,
    frames: Path | None = None,
    drop: bool = False,
    eval_max_steps: int = 0,
    judge: Overestimation | None = None,
) -> Fleet:
    """The engine that an environment takes, with its seeds.

    Args:
      algorithm: what to run.
      env: a `JaxEnv` (the fused engine), or ``envs -> HostEnv`` (the hosted one).
      envs: environments stepped together, for each seed.
      seeds: which seeds.
      episodes: greedy episodes in one evaluation of one seed.
      overlap: the hosted engine collects while the regression runs.
      frames: the hosted engine's frames lie on this folder's disk; in memory if None.
      drop: an environment in JAX that gives what is not finite is replaced; those in Python are told when made.
      eval_max_steps: of `qtwin.engine.played.eval_steps`: steps after which an evaluation episode is cut.
      judge: how the values of evaluation episodes are held against what followed; None leaves it.
    """
    if isinstance(env, JaxEnv):
        return FusedFleet(algorithm, env, envs, seeds, episodes, None, drop, eval_max_steps, judge)
    from qtwin.engine.evaluation import player_on
    from qtwin.engine.hosted_fleet import HostedFleet
    from qtwin.envs.offline import nowhere

    if algorithm.rates.collect == 0:  # learning needs no environment then, only evaluation does
        play = player_on(env, algorithm.agent.act, episodes, eval_max_steps)
        return FusedFleet(algorithm, nowhere(env), envs, seeds, episodes, play, eval_max_steps=eval_max_steps)
    return HostedFleet(algorithm, env, envs, seeds, episodes, overlap, frames, eval_max_steps, judge)
