"""NETWORK: the product of a layer, whose gradients a CPU computes in an order that suits it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.types import Array

ROW = 32  # numbers in a row of `written_out`


def product(x: Array, kernel: Array) -> Array:
    """x [..., I] times kernel [I, O] -> [..., O].

    On a CPU the gradients have an order of their own (`_gradients`), the numbers that they add up being the same; on an
    accelerator it is the plain product.
    """
    if jax.default_backend() != "cpu":
        return x @ kernel
    return _product(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def dot_general(x: Array, kernel: Array, dimensions: tuple, **options) -> Array:
    """`product` as flax's layers call it: the last axis of ``x`` by the first of ``kernel``."""
    del dimensions, options
    return product(x, kernel)


def written_out(x: Array) -> Array:
    """x [D] of finite numbers, on a CPU written to memory before anything reads it.

    XLA computes what is cheap anew wherever it is used: a draw of noise, hash and all, for every weight that it goes
    into. It looks through its own optimisation barrier, but not through a product; with ones on the diagonal that is
    exact.
    """
    if jax.default_backend() != "cpu":
        return x
    rows = jnp.pad(x, (0, -x.size % ROW)).reshape(-1, ROW)
    return (rows @ jnp.eye(ROW, dtype=x.dtype)).reshape(-1)[: x.size]


@jax.custom_vjp
def _product(x: Array, kernel: Array) -> Array:
    return x @ kernel


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _gradients(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Of x [B, I] and of the kernel [I, O], from the output's [B, O].

    XLA hands a product whose left side stands on its head to a kernel that walks through memory in strides. Laid down
    first, the left side costs a copy of a batch and the product a fraction. Of a kernel with more inputs than outputs
    it is quicker to compute the gradient of x on its head than to turn the kernel round. The barriers keep XLA from
    putting both back.
    """
    x, kernel = kept
    of_kernel = jax.lax.optimization_barrier(x.T) @ gradient
    if kernel.shape[0] > kernel.shape[1]:
        upright = jax.lax.dot_general(kernel, gradient, (((1,), (1,)), ((), ())))
        return jax.lax.optimization_barrier(upright).T, of_kernel
    return gradient @ kernel.T, of_kernel


_product.defvjp(_forward, _gradients)
