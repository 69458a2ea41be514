"""The latest transitions: those of the current cycle only, used in the order in which they were collected."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Replay
from qtwin.types import Array, Timestep, Transition


class LatestState(NamedTuple):
    """The transitions of the current cycle, flat. [collect]"""

    data: Timestep


def latest(batch: int, gamma: float = 0.99) -> Replay:
    """Keeps the transitions of the current cycle; the j-th gradient step reads the j-th batch of them.

    With a batch of one this is online Q-learning (Watkins 1989): each transition is used once and discarded.

    Args:
      batch: batch size. [transitions]
      gamma: the discount factor.
    """
    if batch < 1:
        raise Refusal(f"a batch holds at least one transition, not {batch}; write --batch 1")

    def init(example: Timestep, cycle: Cycle) -> LatestState:
        if cycle.transitions < batch:
            raise Refusal(
                f"the replay 'latest' holds the {cycle.transitions} transitions of one cycle and a batch needs {batch};"
                f" write --batch {cycle.transitions} or less"
            )
        rows = cycle.transitions
        return LatestState(
            jax.tree.map(lambda leaf: jnp.zeros((rows, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        )

    def add(state: LatestState, chunk: Timestep) -> LatestState:
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), chunk)
        if flat.reward.shape == state.data.reward.shape:
            return LatestState(flat)
        # A warm-up adds one vector step at a time: shift the buffer, with the newest transitions at the end.
        return LatestState(jax.tree.map(lambda old, new: jnp.concatenate([old, new])[new.shape[0] :], state.data, flat))

    def sample(state: LatestState, key: Array, step: Array) -> Transition:
        del key
        rows = (step * batch + jnp.arange(batch)) % state.data.reward.shape[0]
        row = jax.tree.map(lambda leaf: leaf[rows], state.data)
        return Transition(row.obs, row.action, row.reward, gamma * row.discount, row.next_obs)

    return Replay(0, batch, init, add, sample, gamma=gamma, n_step=1)
