"""The ring buffer: the last ``capacity`` transitions, sampled uniformly (Lin 1992; Mnih et al. 2015)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
    """The steps in the order of arrival, one environment after another within a vector step.

    The step that follows slot i in the same environment is therefore at slot i + N, for any capacity and any N.

    Attributes:
      data: the stored steps. [C]
      head: the slot that is written next. [] int32
      size: number of slots that hold a step. [] int32
      envs: N.
    """

    data: Timestep
    head: Array
    size: Array
    envs: int = dataclasses.field(metadata={"static": True})


def ring(capacity: int, batch: int, gamma: float = 0.99, n_step: int = 1, sequence: int = 0) -> Replay:
    """A ring buffer of the last ``capacity`` transitions.

    Args:
      capacity: [transitions]
      batch: batch size, sampled uniformly and with replacement. [transitions]
      gamma: the discount factor.
      n_step: steps that a sampled transition spans, or fewer at the end of an episode. The newest ``(n_step - 1) * N``
        steps are not sampled until the steps that follow them are stored.
      sequence: K, for batches of `qtwin.replay.sequences.Sequences`: transitions with the K steps that start at them,
        which are not sampled either until all K steps are stored. 0 gives transitions.
    """
    made = Ring(capacity, batch, gamma, n_step, sequence)
    plain = Replay(capacity, batch, made.init, made.add, made.sample, at=made.at, gamma=gamma, n_step=n_step)
    if made.span == 1:
        return plain
    return plain._replace(ragged=lambda: linked_ring(capacity, batch, gamma, n_step, sequence), cut=made.cut)


@dataclasses.dataclass(frozen=True)
class Ring:
    """The parameters of `ring`, and its functions as described in `qtwin.replay.base.Replay`.

    Attributes:
      capacity, batch, gamma, n_step, sequence: as the arguments of `ring`.
    """

    capacity: int
    batch: int
    gamma: float
    n_step: int
    sequence: int

    def __post_init__(self):
        if self.capacity < self.batch:
            raise Refusal(
                f"the replay holds {self.capacity} transitions and a batch needs {self.batch}; write --replay"
                f" {self.batch} or more, or a --batch of at most {self.capacity}"
            )
        if self.n_step < 1:
            raise Refusal(f"the n-step return needs n of at least 1, not {self.n_step}; write --n-step 1")

    @property
    def span(self) -> int:
        """Number of steps from the start of a transition that must be stored before it is sampled. [transitions]"""
        return max(self.n_step, self.sequence)

    def init(self, example: Timestep, cycle: Cycle) -> RingState:
        capacity, span = self.capacity, self.span
        least = max(cycle.transitions, span * cycle.envs)
        if capacity < least:
            raise Refusal(
                f"the replay holds {capacity} transitions and one cycle with {cycle.envs} environments needs {least};"
                f" write --replay {least} or more"
            )
        first = cycle.warmup + cycle.transitions
        if first < span * cycle.envs:
            what = "returns" if span == self.n_step else "sequences"
            raise Refusal(
                f"{span}-step {what} of {cycle.envs} environments need {span * cycle.envs} transitions before the"
                f" first gradient step, and {first} come; write --warmup {span * cycle.envs} or more"
            )
        data = jax.tree.map(lambda leaf: jnp.zeros((capacity, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        return RingState(data, jnp.int32(0), jnp.int32(0), cycle.envs)

    def add(self, state: RingState, chunk: Timestep) -> RingState:
        came = chunk.reward.size
        write = self._scattered if self.capacity % chunk.reward.shape[1] else self._sliced
        head = (state.head + came) % self.capacity
        return RingState(write(state, chunk), head, jnp.minimum(state.size + came, self.capacity), state.envs)

    def _scattered(self, state: RingState, chunk: Timestep) -> Timestep:
        """Writes a chunk by index, which may wrap around anywhere; returns the stored steps."""
        count = chunk.reward.size
        slots = (state.head + jnp.arange(count)) % self.capacity
        flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), chunk)
        return jax.tree.map(lambda column, rows: column.at[slots].set(rows, unique_indices=True), state.data, flat)

    def _sliced(self, state: RingState, chunk: Timestep) -> Timestep:
        """Writes a chunk as one slice per vector step, which never wraps around if N divides the capacity."""
        steps, envs = chunk.reward.shape

        def write(t: Array, data: Timestep) -> Timestep:
            slot = (state.head + t * envs) % self.capacity
            return jax.tree.map(
                lambda column, rows: jax.lax.dynamic_update_slice_in_dim(column, rows[t], slot, axis=0), data, chunk
            )

        return write(0, state.data) if steps == 1 else jax.lax.fori_loop(0, steps, write, state.data)

    def sample(self, state: RingState, key: Array, step: Array) -> Transition | Sequences:
        del step
        return self.at(state, self.drawn(state, key))

    def drawn(self, state: RingState, key: Array) -> Array:
        """Slots of complete transitions, sampled uniformly and with replacement. [B] int32"""
        complete = state.size - (self.span - 1) * state.envs
        age_rank = integers(key, (self.batch,), complete)  # 0 is the oldest
        return (state.head - state.size + age_rank) % self.capacity

    def at(self, state: RingState, slots: Array) -> Transition | Sequences:
        return self.read(state.data, slots, lambda slots, k: (slots + k * state.envs) % self.capacity)

    def read(self, data: Timestep, slots: Array, successor: Callable[[Array, int], Array]) -> Transition | Sequences:
        """The batch that starts at ``slots`` [B], with ``successor`` as in `qtwin.replay.nstep.n_step_transition`."""
        found = n_step_transition(data, slots, successor, self.n_step, self.gamma)
        return with_sequence(found, data, slots, successor, self.sequence) if self.sequence else found

    def cut(self, state: RingState, which: Array | None = None) -> RingState:
        newest = (state.head - state.envs + jnp.arange(state.envs)) % self.capacity
        ended = True if which is None else state.data.last[newest] | which
        last = state.data.last.at[newest].set(ended)
        return dataclasses.replace(state, data=state.data._replace(last=last))


class Linked(NamedTuple):
    """A chunk of steps in the order of arrival, with links to their predecessors.

    Attributes:
      step: the steps. [T, N]; the axes have no meaning beyond the order of the flattened steps
      behind: distance in steps to the previous step of the same episode, 0 for its first step. [T, N] int32, at most N,
        as the steps of an episode come in consecutive vector steps
    """

    step: Timestep
    behind: Array


class LinkedState(NamedTuple):
    """A ring buffer whose steps are linked to their successors.

    Attributes:
      ring: the steps.
      ahead: distance in slots to the next step of the same episode; 0 if there is none (yet). [C] int32
    """

    ring: RingState
    ahead: Array


def linked_ring(capacity: int, batch: int, gamma: float, n_step: int, sequence: int = 0) -> Replay:
    """`qtwin.replay.ring.ring` for environments that do not step together; ``add`` takes a `Linked`.

    Args:
      capacity, batch, gamma, n_step, sequence: as for `ring`.
    """
    linked = LinkedRing(Ring(capacity, batch, gamma, n_step, sequence))
    return Replay(
        capacity,
        batch,
        linked.init,
        linked.add,
        linked.sample,
        cut=linked.cut,
        at=linked.at,
        gamma=gamma,
        n_step=n_step,
    )


@dataclasses.dataclass(frozen=True)
class LinkedRing:
    """The functions of `linked_ring`, as described in `qtwin.replay.base.Replay`.

    Attributes:
      plain: the ring buffer that holds the steps.
    """

    plain: Ring

    def init(self, example: Timestep, cycle: Cycle) -> LinkedState:
        return LinkedState(self.plain.init(example, cycle), jnp.zeros(self.plain.capacity, jnp.int32))

    def add(self, state: LinkedState, chunk: Linked) -> LinkedState:
        capacity, behind = self.plain.capacity, chunk.behind.reshape(-1)
        newer = jnp.arange(behind.shape[0])[::-1]  # number of later steps in this chunk
        slots = (state.ring.head + jnp.arange(behind.shape[0])) % capacity
        # Out of range if there is nothing to link: no previous step, or one that this chunk overwrites.
        before = jnp.where((behind > 0) & (behind + newer < capacity), (slots - behind) % capacity, capacity)
        ahead = state.ahead.at[slots].set(0, unique_indices=True).at[before].set(behind, mode="drop")
        return LinkedState(self.plain.add(state.ring, chunk.step), ahead)

    def sample(self, state: LinkedState, key: Array, step: Array) -> Transition | Sequences:
        del step
        # The next step of an episode is at most N steps later, so the sampled steps are complete, as in the plain ring.
        return self.at(state, self.plain.drawn(state.ring, key))

    def at(self, state: LinkedState, slots: Array) -> Transition | Sequences:
        return self.plain.read(state.ring.data, slots, lambda slots, k: self.successor(state, slots, k))

    def successor(self, state: LinkedState, slots: Array, k: int) -> Array:
        """The slots [B] of the same environments' steps ``k`` steps later, or of the last step there is."""
        for _ in range(k):
            slots = (slots + state.ahead[slots]) % self.plain.capacity
        return slots

    def cut(self, state: LinkedState) -> LinkedState:
        data = state.ring.data  # a step without a successor is the newest, or ends its episode anyway
        ended = dataclasses.replace(state.ring, data=data._replace(last=data.last | (state.ahead == 0)))
        return LinkedState(ended, state.ahead)
