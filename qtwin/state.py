"""All that changes while an algorithm runs, as one pytree: saved and loaded, the run goes on as if never stopped."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.twin import Twin
from qtwin.types import Array, Clock, PyTree


class Tally(NamedTuple):
    """What has happened since the last log point; sums, so that the engine only ever adds. All [].

    Attributes:
      gradient_steps: [gradient steps] int32
      loss, q, td_error: sums over gradient steps of the loss, the mean predicted value, the mean absolute TD error.
      episodes: episodes that ended. int32
      returns, lengths: sums over those episodes of the undiscounted return and of the length. [transitions]
      self_loss: sum over gradient steps of the loss towards the sibling; None where there is no sibling.
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
    """A tally of nothing.

    Args:
      self_loss: there is a sibling, whose loss is added up as well.
    """
    # Each in a buffer of its own: a buffer that stands in two places cannot be donated.
    zero, none = lambda: jnp.zeros((), jnp.float32), lambda: jnp.zeros((), jnp.int32)
    return Tally(none(), zero(), zero(), zero(), none(), zero(), zero(), zero() if self_loss else None)


class Faults(NamedTuple):
    """What was no finite number: updates that were not applied for it, and what environments in JAX gave. All [] int32.

    Attributes:
      in_a_row: of the updates whose loss or gradient was not finite, the last so many. [gradient steps]
      longest: the most there have been in a row. [gradient steps]
      skipped: all of them. [gradient steps]
      rolled_back: how often the run has gone back to a checkpoint for it.
      broken_at: the vector step, counted from 1, in which an environment first gave what is not finite; 0 while none
        has. Nothing of that chunk is remembered, and the run has to stop.
      broken_env, broken_field, broken_value: which of the N, an index of `qtwin.processes.nonfinite.FIELDS` and of
        `qtwin.processes.nonfinite.VALUES`.
      lost: environments that were replaced for it, where that was asked for.
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
    """Nothing has gone wrong yet."""
    return Faults(*(jnp.zeros((), jnp.int32) for _ in Faults._fields))


class World(NamedTuple):
    """The environments between two steps.

    Attributes:
      env: the environments' own states. [N, ...]; () where they live outside JAX.
      obs: what to act on next. [N, *obs_shape]
      returns: undiscounted return of the episode under way. [N] float32
      lengths: its length. [N] int32 [transitions]
      held: random actions under way (`qtwin.state.Held`); () where each lasts one step.
    """

    env: PyTree
    obs: Array
    returns: Array
    lengths: Array
    held: Held | tuple = ()


class TrainState(NamedTuple):
    """Everything.

    Attributes:
      clock: the three counters and the target's age.
      twin: the two networks.
      memory: what the target update carries.
      optimiser: the optimisers' states, over the online parameters only.
      replay: the replay's state.
      world: the environments.
      tally: what has happened since the last log point.
      key: the run's key; every draw folds in its consumer and its count, so it never changes.
      sibling: what the sibling's target update carries; () where there is no sibling.
      faults: updates that were not applied.
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
    """The state with its key as plain numbers, as it is saved."""
    return state._replace(key=jax.random.key_data(state.key))


def keyed(state: TrainState) -> TrainState:
    """The inverse of `unkeyed`."""
    return state._replace(key=rng.wrap(jnp.asarray(state.key)))


def part_of(tree: PyTree, index: int) -> PyTree:
    """One seed's part of arrays [seeds, ...], copied out of the piece that its device holds: nothing is compiled."""

    def of_seed(leaf: Array) -> np.ndarray:
        for piece in getattr(leaf, "addressable_shards", ()):
            start, stop, _ = piece.index[0].indices(leaf.shape[0])
            if start <= index < stop:
                return np.array(np.asarray(piece.data)[index - start])
        return np.asarray(leaf[index])

    return jax.tree.map(of_seed, tree)


class Held(NamedTuple):
    """Random actions under way.

    Attributes:
      action: what each environment's random action is. [N] int32
      left: for how many more steps it is taken. [N] int32 [transitions]
    """

    action: Array
    left: Array
