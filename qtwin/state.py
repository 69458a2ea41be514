"""The training state, one pytree with everything that changes during a run: a run resumed from it is bit-identical."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.twin import Twin
from qtwin.types import Array, Clock, PyTree


class Tally(NamedTuple):
    """Sums of metrics since the last log point. All [].

    Attributes:
      gradient_steps: number of gradient steps. [gradient steps] int32
      loss, q, td_error: sums over gradient steps of the loss, the mean predicted value, the mean absolute TD error.
      episodes: number of episodes that ended. int32
      returns, lengths: sums over these episodes of the undiscounted return and of the length. [transitions]
      self_loss: sum over gradient steps of the loss towards the sibling; None without a sibling.
    """

    gradient_steps: Array
    loss: Array
    q: Array
    td_error: Array
    episodes: Array
    returns: Array
    lengths: Array
    self_loss: Array | None = None


def empty_tally(self_loss: bool = False) -> Tally:
    """A tally of zeros.

    Args:
      self_loss: whether there is a sibling, whose loss is summed too.
    """
    # Each in a separate buffer: a buffer that occurs twice cannot be donated.
    zero, none = lambda: jnp.zeros((), jnp.float32), lambda: jnp.zeros((), jnp.int32)
    return Tally(none(), zero(), zero(), zero(), none(), zero(), zero(), zero() if self_loss else None)


class Faults(NamedTuple):
    """Counts of non-finite values: updates that were skipped, and outputs of environments in JAX. All [] int32.

    Attributes:
      in_a_row: number of consecutive updates up to now whose loss or gradient was not finite. [gradient steps]
      longest: the largest such number so far. [gradient steps]
      skipped: total number of updates that were not finite. [gradient steps]
      rolled_back: how often the run was rolled back to a checkpoint because of them.
      broken_at: the vector step, counted from 1, in which an environment first gave a non-finite value; 0 if none has.
        That chunk is not stored in the replay buffer, and the run has to stop.
      broken_env, broken_field, broken_value: the index of the environment, and indices into
        `qtwin.processes.nonfinite.FIELDS` and `qtwin.processes.nonfinite.VALUES`.
      lost: number of environments that were replaced because of non-finite values (``--on-nan drop``).
    """

    in_a_row: Array
    longest: Array
    skipped: Array
    rolled_back: Array
    broken_at: Array
    broken_env: Array
    broken_field: Array
    broken_value: Array
    lost: Array


def no_faults() -> Faults:
    """Counts of zero."""
    return Faults(*(jnp.zeros((), jnp.int32) for _ in Faults._fields))


class World(NamedTuple):
    """The environments between two steps.

    Attributes:
      env: the states of the environments [N, ...]; for environments in Python a `qtwin.engine.hosted.Outside`.
      obs: the observations to act on next. [N, *obs_shape]
      returns: undiscounted return of the current episode so far. [N] float32
      lengths: length of the current episode so far. [N] int32 [transitions]
      held: random actions in progress (`qtwin.state.Held`); () if random actions last one step.
    """

    env: PyTree
    obs: Array
    returns: Array
    lengths: Array
    held: Held | tuple = ()


class TrainState(NamedTuple):
    """The training state.

    Attributes:
      clock: the three counters and the target's age.
      twin: the online and the target network.
      memory: the state of the target update.
      optimiser: the optimisers' states, for the online parameters only.
      replay: the state of the replay buffer.
      world: the environments.
      tally: sums of metrics since the last log point.
      key: the run's key. It never changes: every draw folds in its purpose and a counter.
      sibling: the state of the sibling's target update; () without a sibling.
      faults: counts of non-finite values.
    """

    clock: Clock
    twin: Twin
    memory: PyTree
    optimiser: PyTree
    replay: PyTree
    world: World
    tally: Tally
    key: Array
    sibling: PyTree = ()
    faults: Faults | tuple = ()


def unkeyed(state: TrainState) -> TrainState:
    """The state with its key as an array of integers, for saving."""
    return state._replace(key=jax.random.key_data(state.key))


def keyed(state: TrainState) -> TrainState:
    """The inverse of `unkeyed`."""
    return state._replace(key=rng.wrap(jnp.asarray(state.key)))


def part_of(tree: PyTree, index: int) -> PyTree:
    """One seed's part of arrays [seeds, ...], copied from the shard on its device without compiling anything."""

    def of_seed(leaf: Array) -> np.ndarray:
        for piece in getattr(leaf, "addressable_shards", ()):
            start, stop, _ = piece.index[0].indices(leaf.shape[0])
            if start <= index < stop:
                return np.array(np.asarray(piece.data)[index - start])
        return np.asarray(leaf[index])

    return jax.tree.map(of_seed, tree)


class Held(NamedTuple):
    """Random actions in progress.

    Attributes:
      action: the random action of each environment. [N] int32
      left: number of steps for which it is still repeated. [N] int32 [transitions]
    """

    action: Array
    left: Array
