"""What is no finite number is not learned from: the guard around an update."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qtwin.state import Faults
from qtwin.types import Array, PyTree


def finite(loss: Array, gradient: PyTree) -> Array:
    """Are the loss and every number of the gradient finite? [] bool

    Zero times what is not finite is no number. A product with zeros is one quick pass over memory on any device, where
    XLA's reduction of ``isfinite`` takes several times as long on a CPU.
    """
    nothing = loss * 0.0
    for leaf in jax.tree.leaves(gradient):
        rows = leaf.reshape(-1, leaf.shape[-1]) if leaf.ndim > 1 else leaf.reshape(1, -1)
        nothing = nothing + jnp.sum(rows @ jnp.zeros(rows.shape[-1], rows.dtype))
    return jax.lax.optimization_barrier(jnp.isfinite(nothing))


def when(fine: Array, update: Callable[[PyTree, PyTree], PyTree], state: PyTree, gradient: PyTree) -> PyTree:
    """``update(state, gradient)`` where it is fine, else ``state``, the same numbers bit for bit.

    A loop of one turn or none: XLA updates what a loop carries in place, where a conditional would copy the parameters
    and a choice between old and new would read both.
    """

    def turn(i: Array, state: PyTree) -> PyTree:
        # Tied to the loop's index, or XLA would take the arithmetic that needs the gradient alone out of the loop, away
        # from the rest of the optimiser's: more passes over memory, and other roundings.
        here, _ = jax.lax.optimization_barrier((gradient, i))
        return update(state, here)

    return jax.lax.fori_loop(0, fine.astype(jnp.int32), turn, state)


def chosen(fine: Array, new: PyTree, old: PyTree) -> PyTree:
    """``new`` where the update is fine, else ``old``: for a handful of numbers."""
    return jax.tree.map(lambda after, before: jnp.where(fine, after, before), new, old)


def counted(faults: Faults, fine: Array) -> Faults:
    """The faults with one more update among them."""
    bad = (~fine).astype(jnp.int32)
    in_a_row = (faults.in_a_row + bad) * bad
    longest = jnp.maximum(faults.longest, in_a_row)
    return faults._replace(in_a_row=in_a_row, longest=longest, skipped=faults.skipped + bad)
