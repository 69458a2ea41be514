"""What one seed of the hosted engine learns with: the compiled calls, and the column that may lie on the disk."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from qtwin.engine.host_programs import Programs
from qtwin.rates import Cycle
from qtwin.replay.base import Bulk
from qtwin.replay.mapped import Mapped
from qtwin.state import TrainState
from qtwin.types import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Learner:
    """Writes into the replay, and turns processes 2 and 3.

    A *core* is a state as the compiled calls take it over and give it back: without world and key, and without the
    replay's largest column where that lies on the disk.

    Attributes:
      run: what is compiled.
      turn: the cycle in whole numbers.
      bulk: the replay's largest column; None where it has none.
      disk: where that column lies; None where it lies in the state, as all else does.
    """

    run: Programs
    turn: Cycle
    bulk: Bulk | None
    disk: Mapped | None

    @property
    def column(self) -> Array | tuple:
        """What compiled calls only read: the column on the disk, or ()."""
        return () if self.disk is None else self.disk.array

    def start(self, key: Array) -> TrainState:
        """A state before anything has happened, its world and its key apart."""
        state = self.run.start(key)
        if self.disk is None:
            return state
        return state._replace(replay=self.bulk.give(state.replay, self.disk.begin()))

    def core_of(self, state: TrainState) -> TrainState:
        """``state`` as the compiled calls take it over."""
        core = state._replace(world=(), key=())
        return core if self.disk is None else core._replace(replay=self.bulk.take(core.replay)[0])

    def whole(self, core: TrainState) -> TrainState:
        """The inverse; world and key are still to be added."""
        return core if self.disk is None else core._replace(replay=self.bulk.give(core.replay, self.disk.array))

    def cut(self, core: TrainState) -> TrainState:
        """``core`` where every episode under way is over: no return of n steps may go on into the next one."""
        return core if self.run.cut is None else core._replace(replay=self.run.cut(core.replay))

    def remember(self, core: TrainState, chunk: PyTree, transitions: int) -> TrainState:
        """A chunk of so many transitions into the replay."""
        if self.disk is not None:
            chunk, rows = self.bulk.take_rows(chunk)
            jax.block_until_ready(core)  # who reads from the disk has to be done before it is written to
            self.disk.write(rows, int(self.bulk.head(core.replay)))
        return self.run.remember(core, chunk, np.int32(transitions))

    def learn(self, core: TrainState, key: Array, chunk: PyTree) -> TrainState:
        """A cycle's chunk into the replay, then its gradient steps and the target's moves, with the run's ``key``."""
        run, gradient_steps = self.run, np.int32(self.turn.gradient_steps)
        if run.way == "together":
            return run.learn(core, key, chunk, gradient_steps)
        core = self.remember(core, chunk, self.turn.transitions)
        if run.way == "apart":
            return run.regress_all(core, self.column, key, gradient_steps)
        for _ in range(self.turn.gradient_steps):
            core = run.regress_once(core, self.column, key)
        return core
