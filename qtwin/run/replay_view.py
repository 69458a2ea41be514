"""The replay buffer of a run, looked at from outside: drawn from, saved and loaded alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors.numpy import save

from qtwin.config.options import whole
from qtwin.engine.fleet import Fleet
from qtwin.errors import Refusal, Unusable
from qtwin.replay.base import Replay
from qtwin.run.checkpoint import fill, named_leaves
from qtwin.storage.files import replace
from qtwin.storage.tensor_files import fits, read_tensors
from qtwin.types import PyTree


class ReplayView(NamedTuple):
    """The replay buffer of one seed.

    Attributes:
      fleet: the seeds.
      memory: the buffer's functions.
      index: of the seed.
    """

    fleet: Fleet
    memory: Replay
    index: int

    def sample(self, transitions: int, draw: int = 0) -> PyTree:
        """Transitions as the regression draws them, each field [transitions, ...]; the run is not changed.

        Args:
          transitions: how many.
          draw: another number draws others.
        """
        count, state = whole(transitions, "transitions", 1), self._state()
        if self.fleet.clocks()[0].transitions == 0 and self.fleet.turn.transitions:
            raise Refusal("nothing has been collected yet; call advance first")
        key, sample = jax.random.fold_in(jax.random.key(draw), self.index), jax.jit(self.memory.sample)
        draws = range(-(-count // self.memory.batch))
        batches = [sample(state, jax.random.fold_in(key, i), np.int32(i)) for i in draws]
        return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves])[:count], *batches)

    def save(self, file: str | Path) -> None:
        """Writes the buffer alone, as a safetensors file that `load` reads.

        Raises:
          Refusal: the file cannot be written; what was there before is still there.
        """
        try:
            replace(Path(file), save(named_leaves(self._state())))
        except OSError as error:
            raise Refusal(f"the replay buffer cannot be written to {file}: {error.strerror or error}") from None

    def load(self, file: str | Path) -> None:
        """Puts a buffer that `save` wrote in place of this one.

        Raises:
          Refusal: the file cannot be read, or is of a buffer of another kind, size or environment; the leaf is named.
        """
        state = self._state()
        wanted = named_leaves(state)
        try:
            named = read_tensors(Path(file), lambda held: fits(str(file), held, wanted))
        except OSError as error:
            raise Refusal(f"the replay buffer {file} cannot be read: {error.strerror or error}") from None
        except Unusable as error:
            raise Refusal(f"the replay buffer cannot be read: {error}") from None
        fleet = self.fleet
        states = [fleet.snapshot(i) for i in range(len(fleet.seeds))]
        states[self.index] = states[self.index]._replace(replay=fill(state, named, str(file)))
        fleet.restore(states)

    def _state(self) -> PyTree:
        return self.fleet.snapshot(self.index).replay

    def __repr__(self) -> str:
        return f"ReplayView(capacity {self.memory.capacity:,} transitions, batch {self.memory.batch})"
