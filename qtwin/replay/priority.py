"""Prioritised replay: Schaul, Quan, Antonoglou & Silver, "Prioritized experience replay", 2016, algorithm 1.

Priorities stand in a tree of sums (`qtwin.replay.sum_tree`).
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

SMALLEST = 1e-6  # added to every priority, so that no transition is lost for ever (section 3.3, epsilon)
LARGEST = 1e30  # the sum over a tree of these is still a float32


class PriorityState(NamedTuple):
    """A memory with a priority for each of its transitions.

    Attributes:
      memory: the state of the memory that holds the transitions.
      tree: sums of p**alpha; 0 where no transition is, or where its n steps have not all come.
      largest: the largest p**alpha there has been, which new transitions are given. []
      head: the slot that is written next; 0 where the memory says itself which slots are complete. [] int32
      count: transitions that came, at most the capacity; likewise. [] int32
      updates: batches whose priorities came back. [gradient steps] int32
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
    """``plain`` with P(i) = p_i**alpha / sum_k p_k**alpha in place of the uniform distribution.

    A batch carries its importance weights, (1 / (N P(i)))**beta over the largest of them in the batch (section 3.4),
    and the slots that its priorities go back to after the gradient step (`qtwin.replay.base.Replay.update`).

    Args:
      plain: a memory that can be read by slot (`Replay.at`).
      alpha: 0 is uniform.
      beta: to begin with and at the end; from one to the other in a straight line.
      over: gradient steps that it takes. [gradient steps]
      span: steps that a sampled transition needs; the newest ``(span - 1) * N`` are not sampled yet.
      stratified: the i-th of B comes from the i-th of B equal shares of the whole (appendix B.2.1), as finely as the
        topmost level tells them apart; below it chance is drawn anew, since one float32 cannot tell a million leaves
        apart evenly. Either way a transition comes B P(i) times in the mean.
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
    """The numbers of `prioritised`, and its functions as `qtwin.replay.base.Replay` describes them.

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
        """The tree after ``chunk`` went into ``memory``, which says itself which of its slots are complete."""
        capacity = self.plain.capacity
        first, can, new = self.plain.ready(memory, chunk)
        before = at(state.tree, (first + jnp.arange(can.shape[0])) % capacity)
        value = jnp.where(new | (before == 0), state.largest, before)
        return put_in_a_row(state.tree, first, jnp.where(can, value, 0.0), capacity)

    def _as_they_come(self, state: PriorityState, came: int, waiting: int) -> Tree:
        """The tree after so many transitions came, the newest ``waiting`` of which wait for their n steps."""
        # Those that have their n steps now can be drawn; the newest, which wait for them, cannot. Written at once: were
        # there two writes with a read of the sums between, XLA would copy the tree.
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
        """Importance weights of transitions with these p**alpha, the largest of them 1. [B]"""
        done = jnp.minimum(updates / max(self.over, 1), 1.0)
        exponent = self.beta[0] + (self.beta[1] - self.beta[0]) * done
        return (jnp.min(chosen) / chosen) ** exponent  # N and the sum of all leave no trace in the quotient

    def at(self, state: PriorityState, slots: Array) -> Transition | Sequences:
        return self.plain.at(state.memory, slots)

    def update(self, state: PriorityState, found: Transition | Sequences, aux: Aux) -> PriorityState:
        slot = (found.transition if isinstance(found, Sequences) else found).slot
        priority = jnp.abs(aux.td_error) if aux.priority is None else aux.priority
        value = jnp.minimum((priority + SMALLEST) ** self.alpha, LARGEST)
        # A priority that is none (negative, NaN, infinite) leaves the one there was.
        value = jnp.where(jnp.isfinite(priority) & (priority >= 0), value, at(state.tree, slot))
        # A transition that was drawn twice gets one priority, the same whichever write comes last.
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
    """The same column of a memory that has priorities beside it."""

    def take(state: PriorityState) -> tuple[PriorityState, Array]:
        memory, column = bulk.take(state.memory)
        return state._replace(memory=memory), column

    def give(state: PriorityState, column: Array) -> PriorityState:
        return state._replace(memory=bulk.give(state.memory, column))

    return bulk._replace(take=take, give=give, head=lambda state: bulk.head(state.memory))
