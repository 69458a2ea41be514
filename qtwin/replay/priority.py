"""Prioritised replay: Schaul, Quan, Antonoglou & Silver, "Prioritized experience replay", 2016, algorithm 1.

Priorities stand in a tree of sums whose nodes have 128 children: three levels hold two million transitions, and a level
is one gather and one sum over rows that a processor reads in one go. A parent is always computed anew from its
children, never corrected by a difference, so that its error is that of one sum, however many updates there were.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Bulk, Replay
from qtwin.replay.sequences import Sequences
from qtwin.types import Array, Aux, PyTree, Timestep, Transition

CHILDREN = 128
SMALLEST = 1e-6  # added to every priority, so that no transition is lost for ever (section 3.3, epsilon)
LARGEST = 1e30  # the sum over a tree of these is still a float32

Tree = tuple[Array, ...]  # the levels [rows, CHILDREN], leaves first; the last has one row


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
    capacity, batch = plain.capacity, plain.batch

    def init(example: Timestep, cycle: Cycle) -> PriorityState:
        least = cycle.transitions + (span - 1) * cycle.envs
        if capacity < least:
            raise Refusal(
                f"prioritised replay holds {capacity} transitions, and a cycle with those that wait for their n steps"
                f" are {least}; write --replay {least} or more"
            )
        none = [jnp.zeros((), jnp.int32) for _ in range(3)]
        return PriorityState(plain.init(example, cycle), empty(capacity), jnp.ones(()), *none)

    def add(state: PriorityState, chunk: PyTree) -> PriorityState:
        memory = plain.add(state.memory, chunk)
        if plain.ready is not None:
            first, can, new = plain.ready(memory, chunk)
            before = at(state.tree, (first + jnp.arange(can.shape[0])) % capacity)
            value = jnp.where(new | (before == 0), state.largest, before)
            tree = put_in_a_row(state.tree, first, jnp.where(can, value, 0.0), capacity)
            return state._replace(memory=memory, tree=tree)
        steps, envs = jax.tree.leaves(chunk)[0].shape[:2]
        came, waiting = steps * envs, (span - 1) * envs
        # Those that have their n steps now can be drawn; the newest, which wait for them, cannot. Written at once: were
        # there two writes with a read of the sums between, XLA would copy the tree.
        order = jnp.arange(came + waiting)
        can = (order < came) & (state.count + order >= waiting)
        tree = put_in_a_row(state.tree, state.head - waiting, jnp.where(can, state.largest, 0.0), capacity)
        return state._replace(
            memory=memory,
            tree=tree,
            head=(state.head + came) % capacity,
            count=jnp.minimum(state.count + came, capacity),
        )

    def sample(state: PriorityState, key: Array, step: Array) -> Transition | Sequences:
        del step
        first, rest = jax.random.split(key)
        start = jax.random.uniform(first, (batch,))
        if stratified:
            start = (jnp.arange(batch) + start) / batch
        slots, chosen = draw(state.tree, start, rest)
        done = jnp.minimum(state.updates / max(over, 1), 1.0)
        exponent = beta[0] + (beta[1] - beta[0]) * done
        weight = (jnp.min(chosen) / chosen) ** exponent  # N and the sum of all leave no trace in the quotient
        found = plain.at(state.memory, slots)
        if isinstance(found, Sequences):
            return found._replace(transition=found.transition._replace(weight=weight, slot=slots))
        return found._replace(weight=weight, slot=slots)

    def update(state: PriorityState, found: Transition | Sequences, aux: Aux) -> PriorityState:
        slot = (found.transition if isinstance(found, Sequences) else found).slot
        priority = jnp.abs(aux.td_error) if aux.priority is None else aux.priority
        value = jnp.minimum((priority + SMALLEST) ** alpha, LARGEST)
        # A priority that is none (negative, NaN, infinite) leaves the one there was.
        value = jnp.where(jnp.isfinite(priority) & (priority >= 0), value, at(state.tree, slot))
        # A transition that was drawn twice gets one priority, the same whichever write comes last.
        same = slot[:, None] == slot[None, :]
        value = jnp.max(jnp.where(same, value[None, :], 0.0), axis=1)
        largest = jnp.maximum(state.largest, jnp.max(value))
        return state._replace(tree=put(state.tree, slot, value), largest=largest, updates=state.updates + 1)

    def inside(function):
        return lambda state, *others: state._replace(memory=function(state.memory, *others))

    def beside(bulk: Bulk) -> Bulk:
        def take(state: PriorityState) -> tuple[PriorityState, Array]:
            memory, column = bulk.take(state.memory)
            return state._replace(memory=memory), column

        def give(state: PriorityState, column: Array) -> PriorityState:
            return state._replace(memory=bulk.give(state.memory, column))

        return bulk._replace(take=take, give=give, head=lambda state: bulk.head(state.memory))

    def ragged() -> Replay:
        return prioritised(plain.ragged(), alpha, beta, over, span, stratified)

    return Replay(
        capacity, batch, init, add, sample,
        ragged=None if plain.ragged is None else ragged,
        cut=None if plain.cut is None else inside(plain.cut),
        at=lambda state, slots: plain.at(state.memory, slots), update=update, framer=plain.framer,
        bulk=None if plain.bulk is None else beside(plain.bulk),
    )  # fmt: skip


def empty(leaves: int) -> Tree:
    """A tree of sums over ``leaves`` zeros."""
    levels, rows = [], leaves
    while not levels or rows > 1:
        rows = -(-rows // CHILDREN)
        levels.append(jnp.zeros((rows, CHILDREN)))
    return tuple(levels)


def at(tree: Tree, slots: Array) -> Array:
    """The leaves at ``slots``. [B] -> [B]"""
    return tree[0][slots // CHILDREN, slots % CHILDREN]


def put(tree: Tree, slots: Array, values: Array) -> Tree:
    """The tree with ``values`` [B] at the leaves ``slots`` [B]."""
    return summed(_written(tree, slots, values), slots // CHILDREN)


def put_in_a_row(tree: Tree, first: Array, values: Array, leaves: int) -> Tree:
    """The same for slots that follow one another from ``first`` on, around the end of ``leaves``."""
    slots = (first + jnp.arange(values.shape[0])) % leaves
    touched = jnp.arange(min(values.shape[0], values.shape[0] // CHILDREN + 3))
    rows = slots // CHILDREN if values.shape[0] < 4 else (slots[0] // CHILDREN + touched) % tree[0].shape[0]
    return summed(_written(tree, slots, values), rows)


def _written(tree: Tree, slots: Array, values: Array) -> Tree:
    return (tree[0].at[slots // CHILDREN, slots % CHILDREN].set(values), *tree[1:])


def summed(tree: Tree, rows: Array) -> Tree:
    """The tree with all sums over the leaves' ``rows`` computed anew."""
    levels = list(tree)
    for depth in range(len(levels) - 1):
        sums = jnp.sum(levels[depth][rows], axis=1)
        levels[depth + 1] = levels[depth + 1].at[rows // CHILDREN, rows % CHILDREN].set(sums)
        rows = rows // CHILDREN
    return tuple(levels)


def draw(tree: Tree, start: Array, key: Array) -> tuple[Array, Array]:
    """Leaves in proportion to their values; never one that is 0.

    Args:
      tree: with at least one leaf that is not 0.
      start: in [0, 1], where to look on the topmost level. [B]
      key: chance for the levels below.

    Returns:
      slots [B] int32, and their values [B].
    """
    index, share = jnp.zeros(start.shape, jnp.int32), start
    for depth, level in enumerate(reversed(tree)):
        children = level[index]  # [B, CHILDREN]
        if depth:
            share = jax.random.uniform(jax.random.fold_in(key, depth), start.shape)
        mass = jnp.cumsum(children, axis=1)
        # Rounding can make a share of all but 1 pass the end, or a sum grow where a child is 0.
        there = children > 0
        past = there & (mass > share[:, None] * mass[:, -1:])
        last = CHILDREN - 1 - jnp.argmax(there[:, ::-1], axis=1)
        child = jnp.where(jnp.any(past, axis=1), jnp.argmax(past, axis=1), last)
        index = index * CHILDREN + child.astype(jnp.int32)
    return index, jnp.take_along_axis(children, child[:, None], axis=1)[:, 0]
