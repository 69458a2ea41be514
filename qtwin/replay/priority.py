"""Prioritised replay: Schaul, Quan, Antonoglou & Silver, "Prioritized experience replay", 2016, algorithm 1.

Priorities are stored in a sum tree (`qtwin.replay.sum_tree`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Bulk, Replay
from qtwin.replay.sequences import Sequences
from qtwin.replay.sum_tree import Tree, at, draw, empty, put, put_in_a_row
from qtwin.types import Array, Aux, PyTree, Timestep, Transition

SMALLEST = 1e-6  # added to every priority, so that every transition can be sampled (section 3.3, epsilon)
LARGEST = 1e30  # the sum over a tree of these is still a float32


class PriorityState(NamedTuple):
    """A replay buffer with a priority for each transition.

    Attributes:
      memory: the state of the buffer that holds the transitions.
      tree: sums of p**alpha; 0 for slots without a transition, or whose n steps are not complete.
      largest: the largest p**alpha so far, which new transitions get. []
      head: the slot that is written next; stays 0 for a buffer that defines `Replay.ready`. [] int32
      count: transitions stored, at most the capacity; stays 0 likewise. [] int32
      updates: number of batches whose priorities have been updated. [gradient steps] int32
    """

    memory: PyTree
    tree: Tree
    largest: Array
    head: Array
    count: Array
    updates: Array


def prioritised(
    plain: Replay,
    alpha: float,
    beta: tuple[float, float] = (1.0, 1.0),
    over: int = 1,
    span: int = 1,
    stratified: bool = True,
) -> Replay:
    """``plain``, sampled with P(i) = p_i**alpha / sum_k p_k**alpha instead of uniformly.

    A batch contains its importance weights, (1 / (N P(i)))**beta divided by their maximum in the batch (section 3.4),
    and its slots, at which the priorities are updated after the gradient step (`qtwin.replay.base.Replay.update`).

    Args:
      plain: a replay buffer that can be read by slot (`Replay.at`).
      alpha: the exponent of the priorities; 0 is uniform.
      beta: the initial and the final exponent of the importance weights, with linear annealing.
      over: duration of the annealing. [gradient steps]
      span: steps that a sampled transition needs; the newest ``(span - 1) * N`` are not sampled yet.
      stratified: sample the i-th of B transitions from the i-th of B equal ranges of the total priority (appendix
        B.2.1), at the resolution of the top level of the tree. Lower levels are sampled independently, since a single
        float32 cannot resolve a million leaves evenly. In both cases transition i is sampled B P(i) times on average.
    """
    made = Prioritised(plain, alpha, beta, over, span, stratified)

    def ragged() -> Replay:
        return prioritised(plain.ragged(), alpha, beta, over, span, stratified)

    return Replay(
        plain.capacity, plain.batch, made.init, made.add, made.sample,
        ragged=None if plain.ragged is None else ragged,
        cut=None if plain.cut is None else made.cut,
        at=made.at, update=made.update, framer=plain.framer,
        bulk=None if plain.bulk is None else _beside(plain.bulk),
        gamma=plain.gamma, n_step=plain.n_step,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Prioritised:
    """The parameters of `prioritised`, and its functions as described in `qtwin.replay.base.Replay`.

    Attributes:
      plain, alpha, beta, over, span, stratified: as the arguments of `prioritised`.
    """

    plain: Replay
    alpha: float
    beta: tuple[float, float]
    over: int
    span: int
    stratified: bool

    def init(self, example: Timestep, cycle: Cycle) -> PriorityState:
        capacity = self.plain.capacity
        least = cycle.transitions + (self.span - 1) * cycle.envs
        if capacity < least:
            raise Refusal(
                f"prioritised replay holds {capacity} transitions, and a cycle with those that wait for their n steps"
                f" are {least}; write --replay {least} or more"
            )
        none = [jnp.zeros((), jnp.int32) for _ in range(3)]
        return PriorityState(self.plain.init(example, cycle), empty(capacity), jnp.ones(()), *none)

    def add(self, state: PriorityState, chunk: PyTree) -> PriorityState:
        memory = self.plain.add(state.memory, chunk)
        if self.plain.ready is not None:
            return state._replace(memory=memory, tree=self._where_ready(state, memory, chunk))
        steps, envs = jax.tree.leaves(chunk)[0].shape[:2]
        came, capacity = steps * envs, self.plain.capacity
        return state._replace(
            memory=memory,
            tree=self._as_they_come(state, came, (self.span - 1) * envs),
            head=(state.head + came) % capacity,
            count=jnp.minimum(state.count + came, capacity),
        )

    def _where_ready(self, state: PriorityState, memory: PyTree, chunk: PyTree) -> Tree:
        """The tree after ``chunk`` was added to ``memory``, for a buffer that defines `Replay.ready`."""
        capacity = self.plain.capacity
        first, can, new = self.plain.ready(memory, chunk)
        before = at(state.tree, (first + jnp.arange(can.shape[0])) % capacity)
        value = jnp.where(new | (before == 0), state.largest, before)
        return put_in_a_row(state.tree, first, jnp.where(can, value, 0.0), capacity)

    def _as_they_come(self, state: PriorityState, came: int, waiting: int) -> Tree:
        """The tree after ``came`` new transitions, of which the newest ``waiting`` are incomplete."""
        # Transitions that are complete now get a priority, the incomplete ones get 0. All are written at once: with two
        # writes and a read of the sums in between, XLA would copy the tree.
        order = jnp.arange(came + waiting)
        can = (order < came) & (state.count + order >= waiting)
        values = jnp.where(can, state.largest, 0.0)
        return put_in_a_row(state.tree, state.head - waiting, values, self.plain.capacity)

    def sample(self, state: PriorityState, key: Array, step: Array) -> Transition | Sequences:
        del step
        first, rest = jax.random.split(key)
        start = jax.random.uniform(first, (self.plain.batch,))
        if self.stratified:
            start = (jnp.arange(self.plain.batch) + start) / self.plain.batch
        slots, chosen = draw(state.tree, start, rest)
        weight = self.weights(chosen, state.updates)
        return _on_transition(self.plain.at(state.memory, slots), lambda t: t._replace(weight=weight, slot=slots))

    def weights(self, chosen: Array, updates: Array) -> Array:
        """Importance weights of transitions with these p**alpha, normalised to a maximum of 1. [B]"""
        done = jnp.minimum(updates / max(self.over, 1), 1.0)
        exponent = self.beta[0] + (self.beta[1] - self.beta[0]) * done
        return (jnp.min(chosen) / chosen) ** exponent  # N and the sum of priorities cancel

    def at(self, state: PriorityState, slots: Array) -> Transition | Sequences:
        return self.plain.at(state.memory, slots)

    def update(self, state: PriorityState, found: Transition | Sequences, aux: Aux) -> PriorityState:
        slot = (found.transition if isinstance(found, Sequences) else found).slot
        priority = jnp.abs(aux.td_error) if aux.priority is None else aux.priority
        value = jnp.minimum((priority + SMALLEST) ** self.alpha, LARGEST)
        # An invalid priority (negative, NaN, infinite) leaves the previous one in place.
        value = jnp.where(jnp.isfinite(priority) & (priority >= 0), value, at(state.tree, slot))
        # Duplicates in a batch get the same priority, so the order of the writes does not matter.
        same = slot[:, None] == slot[None, :]
        value = jnp.max(jnp.where(same, value[None, :], 0.0), axis=1)
        largest = jnp.maximum(state.largest, jnp.max(value))
        return state._replace(tree=put(state.tree, slot, value), largest=largest, updates=state.updates + 1)

    def cut(self, state: PriorityState, *which: Array) -> PriorityState:
        return state._replace(memory=self.plain.cut(state.memory, *which))


def _on_transition(found: Transition | Sequences, change: Callable[[Transition], Transition]) -> PyTree:
    """A batch with ``change`` applied to its transitions."""
    if isinstance(found, Sequences):
        return found._replace(transition=change(found.transition))
    return change(found)


def _beside(bulk: Bulk) -> Bulk:
    """The same column, for the state with priorities."""

    def take(state: PriorityState) -> tuple[PriorityState, Array]:
        memory, column = bulk.take(state.memory)
        return state._replace(memory=memory), column

    def give(state: PriorityState, column: Array) -> PriorityState:
        return state._replace(memory=bulk.give(state.memory, column))

    return bulk._replace(take=take, give=give, head=lambda state: bulk.head(state.memory))
