"""A sum tree, to sample leaves in proportion to their values.

Nodes have 128 children: three levels hold two million leaves, and each level takes one gather and one sum over
contiguous rows. A parent is always recomputed from its children rather than updated by a difference, so rounding errors
do not accumulate over updates.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.types import Array

CHILDREN = 128

Tree = tuple[Array, ...]  # the levels [rows, CHILDREN], leaves first; the last has one row


def empty(leaves: int) -> Tree:
    """A sum tree over ``leaves`` zeros."""
    levels, rows = [], leaves
    while not levels or rows > 1:
        rows = -(-rows // CHILDREN)
        levels.append(jnp.zeros((rows, CHILDREN)))
    return tuple(levels)


def at(tree: Tree, slots: Array) -> Array:
    """The leaves at ``slots``. [B] -> [B]"""
    return tree[0][slots // CHILDREN, slots % CHILDREN]


def put(tree: Tree, slots: Array, values: Array) -> Tree:
    """The tree with the leaves ``slots`` [B] set to ``values`` [B]."""
    return summed(_written(tree, slots, values), slots // CHILDREN)


def put_in_a_row(tree: Tree, first: Array, values: Array, leaves: int) -> Tree:
    """The same for consecutive slots from ``first`` on, modulo ``leaves``."""
    slots = (first + jnp.arange(values.shape[0])) % leaves
    touched = jnp.arange(min(values.shape[0], values.shape[0] // CHILDREN + 3))
    rows = slots // CHILDREN if values.shape[0] < 4 else (slots[0] // CHILDREN + touched) % tree[0].shape[0]
    return summed(_written(tree, slots, values), rows)


def _written(tree: Tree, slots: Array, values: Array) -> Tree:
    return (tree[0].at[slots // CHILDREN, slots % CHILDREN].set(values), *tree[1:])


def summed(tree: Tree, rows: Array) -> Tree:
    """The tree with all sums over the given ``rows`` of leaves recomputed."""
    levels = list(tree)
    for depth in range(len(levels) - 1):
        sums = jnp.sum(levels[depth][rows], axis=1)
        levels[depth + 1] = levels[depth + 1].at[rows // CHILDREN, rows % CHILDREN].set(sums)
        rows = rows // CHILDREN
    return tuple(levels)


def draw(tree: Tree, start: Array, key: Array) -> tuple[Array, Array]:
    """Samples leaves in proportion to their values; never one that is 0.

    Args:
      tree: with at least one leaf that is not 0.
      start: in [0, 1], the random numbers for the top level. [B]
      key: for sampling the levels below.

    Returns:
      slots [B] int32, and their values [B].
    """
    index, share = jnp.zeros(start.shape, jnp.int32), start
    for depth, level in enumerate(reversed(tree)):
        children = level[index]  # [B, CHILDREN]
        if depth:
            share = jax.random.uniform(jax.random.fold_in(key, depth), start.shape)
        mass = jnp.cumsum(children, axis=1)
        # By rounding, a share close to 1 can exceed the total, and the cumulative sum can grow at a child that is 0.
        there = children > 0
        past = there & (mass > share[:, None] * mass[:, -1:])
        last = CHILDREN - 1 - jnp.argmax(there[:, ::-1], axis=1)
        child = jnp.where(jnp.any(past, axis=1), jnp.argmax(past, axis=1), last)
        index = index * CHILDREN + child.astype(jnp.int32)
    return index, jnp.take_along_axis(children, child[:, None], axis=1)[:, 0]
