"""The ring for steps that come in ragged order, where a step's successor is not N slots further on.

A NEXT_STEP vector environment spends a row on each reset, and such a row is no transition: the environments do not all
give the same number of steps, and the distance from a step to the next one of the same environment varies. This ring
keeps that distance beside each step.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from qtwin.rates import Cycle
from qtwin.replay.base import Replay
from qtwin.replay.nstep import n_step_transition
from qtwin.replay.ring import RingState, ring
from qtwin.replay.sequences import Sequences, with_sequence
from qtwin.rng import integers
from qtwin.types import Array, Timestep, Transition


class Linked(NamedTuple):
    """A chunk of steps in the order in which they came, with the way back.

    Attributes:
      step: the steps. [T, N]; the two axes are only a shape, the order is all that counts
      behind: how many steps ago the one came that this step follows in the same episode, 0 where it is the first.
        [T, N] int32, at most N: an episode's steps come in consecutive vector steps
    """

    step: Timestep
    behind: Array


class LinkedState(NamedTuple):
    """A ring whose steps know their successors.

    Attributes:
      ring: the steps.
      ahead: how many slots further on the episode goes on; 0 where that step has not come, or never will. [C] int32
    """

    ring: RingState
    ahead: Array


def linked_ring(capacity: int, batch: int, gamma: float, n_step: int, sequence: int = 0) -> Replay:
    """`qtwin.replay.ring.ring` for ragged steps: ``add`` takes a `Linked`, and sampling is the same.

    Args:
      capacity, batch, gamma, n_step, sequence: as the ring's.
    """
    plain = ring(capacity, batch, gamma, n_step, sequence)

    def init(example: Timestep, cycle: Cycle) -> LinkedState:
        return LinkedState(plain.init(example, cycle), jnp.zeros(capacity, jnp.int32))

    def add(state: LinkedState, chunk: Linked) -> LinkedState:
        behind = chunk.behind.reshape(-1)
        newer = jnp.arange(behind.shape[0])[::-1]  # steps of this chunk that come after each
        slots = (state.ring.head + jnp.arange(behind.shape[0])) % capacity
        # Out of range where there is nothing to link to: no step before, or one that this chunk writes over.
        before = jnp.where((behind > 0) & (behind + newer < capacity), (slots - behind) % capacity, capacity)
        ahead = state.ahead.at[slots].set(0, unique_indices=True).at[before].set(behind, mode="drop")
        return LinkedState(plain.add(state.ring, chunk.step), ahead)

    def successor(state: LinkedState, slots: Array, k: int) -> Array:
        for _ in range(k):
            slots = (slots + state.ahead[slots]) % capacity
        return slots

    def sample(state: LinkedState, key: Array, step: Array) -> Transition | Sequences:
        del step
        # An episode's next step comes at most N steps later, so these have all that they need, as in the ring.
        complete = state.ring.size - (max(n_step, sequence) - 1) * state.ring.envs
        age_rank = integers(key, (batch,), complete)  # 0 is the oldest
        return at(state, (state.ring.head - state.ring.size + age_rank) % capacity)

    def at(state: LinkedState, slots: Array) -> Transition | Sequences:
        data, follow = state.ring.data, lambda slots, k: successor(state, slots, k)
        found = n_step_transition(data, slots, follow, n_step, gamma)
        return with_sequence(found, data, slots, follow, sequence) if sequence else found

    def cut(state: LinkedState) -> LinkedState:
        data = state.ring.data  # a step that no other follows is an environment's newest, or ends its episode anyway
        ended = dataclasses.replace(state.ring, data=data._replace(last=data.last | (state.ahead == 0)))
        return LinkedState(ended, state.ahead)

    return Replay(capacity, batch, init, add, sample, cut=cut, at=at)
