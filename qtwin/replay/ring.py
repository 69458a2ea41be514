"""The ring: the last ``capacity`` transitions, sampled uniformly (Lin 1992; Mnih et al. 2015)."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Replay
from qtwin.replay.nstep import n_step_transition
from qtwin.replay.sequences import Sequences, with_sequence
from qtwin.rng import integers
from qtwin.types import Array, Timestep, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RingState:
    """The steps in the order in which they came, environment after environment within a vector step.

    The step that follows slot i in the same environment is therefore at i + N, for any capacity and any N.

    Attributes:
      data: the stored steps. [C]
      head: the slot that is written next. [] int32
      size: slots that hold a step. [] int32
      envs: N.
    """

    data: Timestep
    head: Array
    size: Array
    envs: int = dataclasses.field(metadata={"static": True})


def ring(capacity: int, batch: int, gamma: float = 0.99, n_step: int = 1, sequence: int = 0) -> Replay:
    """A ring of the last ``capacity`` transitions.

    Args:
      capacity: [transitions]
      batch: transitions in a sampled batch, drawn uniformly and with replacement.
      gamma: the discount factor.
      n_step: steps that a sampled transition spans, or fewer at an episode's end. The newest ``(n_step - 1) * N`` steps
        are sampled only once the steps that follow them have come.
      sequence: K, for batches of `qtwin.replay.sequences.Sequences`: each transition with the K steps that begin at it,
        which too are sampled only once they have come. 0 gives transitions.
    """
    span = max(n_step, sequence)
    if capacity < batch:
        raise Refusal(
            f"the replay holds {capacity} transitions and a batch needs {batch}; write --replay {batch} or more, or a"
            f" --batch of at most {capacity}"
        )
    if n_step < 1:
        raise Refusal(f"the n-step return needs n of at least 1, not {n_step}; write --n-step 1")

    def init(example: Timestep, cycle: Cycle) -> RingState:
        least = max(cycle.transitions, span * cycle.envs)
        if capacity < least:
            raise Refusal(
                f"the replay holds {capacity} transitions and one cycle with {cycle.envs} environments needs {least};"
                f" write --replay {least} or more"
            )
        first = cycle.warmup + cycle.transitions
        if first < span * cycle.envs:
            what = "returns" if span == n_step else "sequences"
            raise Refusal(
                f"{span}-step {what} of {cycle.envs} environments need {span * cycle.envs} transitions before the"
                f" first gradient step, and {first} come; write --warmup {span * cycle.envs} or more"
            )
        data = jax.tree.map(lambda leaf: jnp.zeros((capacity, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        return RingState(data, jnp.int32(0), jnp.int32(0), cycle.envs)

    def add(state: RingState, chunk: Timestep) -> RingState:
        steps, envs = chunk.reward.shape
        if capacity % envs:
            slots = (state.head + jnp.arange(steps * envs)) % capacity
            flat = jax.tree.map(lambda leaf: leaf.reshape(steps * envs, *leaf.shape[2:]), chunk)
            data = jax.tree.map(lambda column, rows: column.at[slots].set(rows, unique_indices=True), state.data, flat)
        else:
            # N divides the capacity, so a vector step never straddles the ring's end: written as one slice each.
            def write(t: Array, data: Timestep) -> Timestep:
                slot = (state.head + t * envs) % capacity
                return jax.tree.map(
                    lambda column, rows: jax.lax.dynamic_update_slice_in_dim(column, rows[t], slot, axis=0), data, chunk
                )

            data = write(0, state.data) if steps == 1 else jax.lax.fori_loop(0, steps, write, state.data)
        head = (state.head + steps * envs) % capacity
        return RingState(data, head, jnp.minimum(state.size + steps * envs, capacity), state.envs)

    def sample(state: RingState, key: Array, step: Array) -> Transition | Sequences:
        del step
        complete = state.size - (span - 1) * state.envs
        age_rank = integers(key, (batch,), complete)  # 0 is the oldest
        return at(state, (state.head - state.size + age_rank) % capacity)

    def at(state: RingState, slots: Array) -> Transition | Sequences:
        def successor(slots: Array, k: int) -> Array:
            return (slots + k * state.envs) % capacity

        found = n_step_transition(state.data, slots, successor, n_step, gamma)
        return with_sequence(found, state.data, slots, successor, sequence) if sequence else found

    def cut(state: RingState, which: Array | None = None) -> RingState:
        newest = (state.head - state.envs + jnp.arange(state.envs)) % capacity
        ended = True if which is None else state.data.last[newest] | which
        last = state.data.last.at[newest].set(ended)
        return dataclasses.replace(state, data=state.data._replace(last=last))

    def ragged() -> Replay:

        return linked_ring(capacity, batch, gamma, n_step, sequence)

    if span == 1:
        return Replay(capacity, batch, init, add, sample, at=at)
    return Replay(capacity, batch, init, add, sample, ragged, cut, at)


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
