"""Skips updates whose loss or gradient is not finite."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qtwin.state import Faults
from qtwin.types import Array, PyTree


def finite(loss: Array, gradient: PyTree) -> Array:
    """Whether the loss and all elements of the gradient are finite. [] bool

    Zero times a non-finite value is NaN. A product with zeros is one fast pass over memory on any device; XLA's
    reduction of ``isfinite`` takes several times as long on a CPU.
    """
    nothing = loss * 0.0
    for leaf in jax.tree.leaves(gradient):
        rows = leaf.reshape(-1, leaf.shape[-1]) if leaf.ndim > 1 else leaf.reshape(1, -1)
        nothing = nothing + jnp.sum(rows @ jnp.zeros(rows.shape[-1], rows.dtype))
    return jax.lax.optimization_barrier(jnp.isfinite(nothing))


def when(fine: Array, update: Callable[[PyTree, PyTree], PyTree], state: PyTree, gradient: PyTree) -> PyTree:
    """``update(state, gradient)`` if ``fine``, else ``state``, bit for bit.

    Implemented as a loop of one iteration or none: XLA updates the carry of a loop in place, whereas a conditional
    would copy the parameters, and a select would read both the old and the new ones.
    """

    def turn(i: Array, state: PyTree) -> PyTree:
        # Depends on the loop index; otherwise XLA would hoist the arithmetic that needs only the gradient out of the
        # loop, which would take more passes over memory and change the rounding.
        here, _ = jax.lax.optimization_barrier((gradient, i))
        return update(state, here)

    return jax.lax.fori_loop(0, fine.astype(jnp.int32), turn, state)


def chosen(fine: Array, new: PyTree, old: PyTree) -> PyTree:
    """``new`` if ``fine``, else ``old``; for small trees."""
    return jax.tree.map(lambda after, before: jnp.where(fine, after, before), new, old)


def counted(faults: Faults, fine: Array) -> Faults:
    """The fault counts after one more update."""
    bad = (~fine).astype(jnp.int32)
    in_a_row = (faults.in_a_row + bad) * bad
    longest = jnp.maximum(faults.longest, in_a_row)
    return faults._replace(in_a_row=in_a_row, longest=longest, skipped=faults.skipped + bad)
