"""Saving, going back and going on: a run's checkpoints, as the training loop uses them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.engine.fleet import Fleet
from qtwin.errors import Diverged, Refusal
from qtwin.request.retention import DEFAULT, Keep
from qtwin.rng import ROLLED_BACK
from qtwin.run import checkpoint
from qtwin.run.logs import Logs, Screen, mean
from qtwin.state import TrainState


@dataclasses.dataclass
class Saver:
    """A run's checkpoints.

    Attributes:
      folder: the run's ``checkpoints`` directory.
      fleet: the seeds.
      screen: is told what went wrong.
      keep: which checkpoints stay.
      score: the log point's number that the best are chosen by.
      stripped: the state without what is not saved with it (a replay that is only a data set).
      logs: set once they are open.
      boundary: how many checkpoints came before the next one.
    """

    folder: Path
    fleet: Fleet
    screen: Screen
    keep: Keep = DEFAULT
    score: str = "eval_return"
    stripped: Callable[[TrainState], TrainState] = lambda state: state
    logs: Logs | None = None
    boundary: int = 0

    def __post_init__(self):
        self._known: set[str] = set()

    def save(self, cycles: int) -> bool:
        """Writes a checkpoint; says so and returns False where it cannot be written."""
        score, seeds = self._latest_score(), self.fleet.seeds
        states = (self.stripped(self.fleet.snapshot(i)) for i in range(len(seeds)))
        try:
            checkpoint.write(self.folder, cycles, self.boundary, seeds, states, self.keep, score, self._known)
            written = True
        except OSError as error:
            self.screen.say(
                f"the checkpoint at cycle {cycles:,} could not be written ({error.strerror or error}); training goes on"
                " and will try again"
            )
            written = False
        self.fleet.re_make(self.boundary)
        self.boundary += 1
        return written

    def _latest_score(self) -> float | None:
        points = self.logs.points if self.logs else []
        return mean(points[-1].get(self.score) or []) if points else None

    def settle(self) -> None:
        """Empties the tallies in the newest checkpoint: its log point, which a stop had kept from being made, has been
        made since, and a run that is never stopped makes it before it saves.
        """
        found = checkpoint.newest(self.folder, known=self._known)
        if found is None:
            return
        path, manifest = found
        fresh = self.stripped(self.fleet.snapshot(0))
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), fresh)
        where = self.folder, manifest["cycles"], manifest["boundary"], self.fleet.seeds
        with contextlib.suppress(OSError, Refusal):  # then the next resume empties them
            states = checkpoint.read(path, manifest, [like] * len(self.fleet.seeds))
            states = (state._replace(tally=jax.tree.map(np.zeros_like, state.tally)) for state in states)
            checkpoint.write(*where, states, self.keep, self._latest_score(), self._known)

    def go_on(self) -> int:
        """Puts the newest good checkpoint in the fleet; returns its cycles, 0 where none was written yet.

        Raises:
          Refusal: there are checkpoints and none can be used.
        """
        passed_over: list[str] = []
        found = checkpoint.newest(self.folder, passed_over, self._known)
        for reason in passed_over:
            self.screen.say(f"passed over {reason}")
        if found is None:
            if passed_over:
                raise Refusal(
                    f"no checkpoint in {self.folder} can be used ({passed_over[0]}); train anew to another --out"
                )
            self.screen.say("no checkpoint had been written yet: it begins anew")
            return 0
        return self._restore(*found, again=False)

    def go_back(self, why: str) -> int:
        """Goes back to the newest good checkpoint, with other draws from there on; returns its cycles.

        Raises:
          Diverged: the run has gone back before, or there is nothing to go back to.
        """
        found = checkpoint.newest(self.folder, known=self._known)
        if found is None:
            raise Diverged(f"{why}, and there is no checkpoint yet to go back to; try a smaller --lr")
        if any(faults.rolled_back for faults in self.fleet.faults()):
            raise Diverged(f"{why}, after the run had gone back to a checkpoint once; try a smaller --lr")
        cycles = self._restore(*found, again=True)
        if self.logs:
            self.logs.go_back(cycles)
        self.screen.say(f"{why}: back to the checkpoint at cycle {cycles:,}, with other draws from there on")
        return cycles

    def _restore(self, path: Path, manifest: dict, again: bool) -> int:
        fleet = self.fleet
        if list(fleet.seeds) != manifest["seeds"]:
            raise Refusal(f"{path} holds the seeds {manifest['seeds']}, not {list(fleet.seeds)}")
        fresh = fleet.snapshot(0)
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self.stripped(fresh))
        whole = jax.tree.structure(like) == jax.tree.structure(fresh)
        del fresh  # a look at an array keeps it from being written to in place
        states = checkpoint.read(path, manifest, [like] * len(fleet.seeds), put=lambda column: column)
        if again:
            states = [_with_other_draws(state) for state in states]
        if not whole:  # what is not saved is as it was when the run began
            states = [state._replace(replay=fleet.snapshot(i).replay) for i, state in enumerate(states)]
        fleet.restore(states)
        fleet.re_make(manifest["boundary"])
        self.boundary = manifest["boundary"] + 1
        return manifest["cycles"]


def _with_other_draws(state: TrainState) -> TrainState:
    """The same state under another key: under its own, all that has happened would happen again."""
    key = jax.random.fold_in(rng.wrap(jnp.asarray(state.key)), ROLLED_BACK)
    faults = state.faults._replace(rolled_back=state.faults.rolled_back + 1)
    return state._replace(key=jax.random.key_data(key), faults=faults)
