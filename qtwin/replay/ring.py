"""The ring: the last ``capacity`` transitions, sampled uniformly (Lin 1992; Mnih et al. 2015)."""

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
    made = Ring(capacity, batch, gamma, n_step, sequence)
    plain = Replay(capacity, batch, made.init, made.add, made.sample, at=made.at, gamma=gamma, n_step=n_step)
    if made.span == 1:
        return plain
    return plain._replace(ragged=lambda: linked_ring(capacity, batch, gamma, n_step, sequence), cut=made.cut)


@dataclasses.dataclass(frozen=True)
class Ring:
    """The numbers of `ring`, and its functions as `qtwin.replay.base.Replay` describes them.

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
        """Steps that have to have come before a transition can be sampled. [transitions]"""
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
        """The stored steps with a chunk among them, wherever the ring's end comes."""
        count = chunk.reward.size
        slots = (state.head + jnp.arange(count)) % self.capacity
        flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), chunk)
        return jax.tree.map(lambda column, rows: column.at[slots].set(rows, unique_indices=True), state.data, flat)

    def _sliced(self, state: RingState, chunk: Timestep) -> Timestep:
        """The same where N divides the capacity: no vector step straddles the ring's end, so each is one slice."""
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
        """Slots of transitions whose steps have all come, uniformly and with replacement. [B] int32"""
        complete = state.size - (self.span - 1) * state.envs
        age_rank = integers(key, (self.batch,), complete)  # 0 is the oldest
        return (state.head - state.size + age_rank) % self.capacity

    def at(self, state: RingState, slots: Array) -> Transition | Sequences:
        return self.read(state.data, slots, lambda slots, k: (slots + k * state.envs) % self.capacity)

    def read(self, data: Timestep, slots: Array, successor: Callable[[Array, int], Array]) -> Transition | Sequences:
        """What starts at ``slots`` [B], with ``successor`` as in `qtwin.replay.nstep.n_step_transition`."""
        found = n_step_transition(data, slots, successor, self.n_step, self.gamma)
        return with_sequence(found, data, slots, successor, self.sequence) if self.sequence else found

    def cut(self, state: RingState, which: Array | None = None) -> RingState:
        newest = (state.head - state.envs + jnp.arange(state.envs)) % self.capacity
        ended = True if which is None else state.data.last[newest] | which
        last = state.data.last.at[newest].set(ended)
        return dataclasses.replace(state, data=state.data._replace(last=last))


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
    """The functions of `linked_ring`, as `qtwin.replay.base.Replay` describes them.

    Attributes:
      plain: the ring that holds the steps.
    """

    plain: Ring

    def init(self, example: Timestep, cycle: Cycle) -> LinkedState:
        return LinkedState(self.plain.init(example, cycle), jnp.zeros(self.plain.capacity, jnp.int32))

    def add(self, state: LinkedState, chunk: Linked) -> LinkedState:
        capacity, behind = self.plain.capacity, chunk.behind.reshape(-1)
        newer = jnp.arange(behind.shape[0])[::-1]  # steps of this chunk that come after each
        slots = (state.ring.head + jnp.arange(behind.shape[0])) % capacity
        # Out of range where there is nothing to link to: no step before, or one that this chunk writes over.
        before = jnp.where((behind > 0) & (behind + newer < capacity), (slots - behind) % capacity, capacity)
        ahead = state.ahead.at[slots].set(0, unique_indices=True).at[before].set(behind, mode="drop")
        return LinkedState(self.plain.add(state.ring, chunk.step), ahead)

    def sample(self, state: LinkedState, key: Array, step: Array) -> Transition | Sequences:
        del step
        # An episode's next step comes at most N steps later, so these have all that they need, as in the ring.
        return self.at(state, self.plain.drawn(state.ring, key))

    def at(self, state: LinkedState, slots: Array) -> Transition | Sequences:
        return self.plain.read(state.ring.data, slots, lambda slots, k: self.successor(state, slots, k))

    def successor(self, state: LinkedState, slots: Array, k: int) -> Array:
        """The slots [B] of the same environments' steps ``k`` later; where one never came, of the last before it."""
        for _ in range(k):
            slots = (slots + state.ahead[slots]) % self.plain.capacity
        return slots

    def cut(self, state: LinkedState) -> LinkedState:
        data = state.ring.data  # a step that no other follows is an environment's newest, or ends its episode anyway
        ended = dataclasses.replace(state.ring, data=data._replace(last=data.last | (state.ahead == 0)))
        return LinkedState(ended, state.ahead)
