"""How layers begin."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.nets.names import SPARSE
from qtwin.types import Array


def dense(inputs: int, outputs: int, init: str, rngs: nnx.Rngs) -> nnx.Linear:
    """A fully connected layer that begins as ``init`` says."""
    kernel, bias = initializers(init, inputs)
    return nnx.Linear(inputs, outputs, kernel_init=kernel, bias_init=bias, rngs=rngs)


def initializers(init: str, inputs: int) -> tuple[Callable, Callable]:
    """The initialisers of a layer's kernel and bias, with ``inputs`` numbers flowing into each of its outputs."""
    if init == "torch":
        bound = inputs**-0.5

        def uniform(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return uniform, uniform
    if init == "sparse":
        return sparse(inputs), nnx.initializers.zeros
    return nnx.initializers.lecun_normal(), nnx.initializers.zeros


def sparse(inputs: int, share: float = SPARSE) -> Callable:
    """Uniform within 1 / sqrt(inputs), and of each output's inputs ``share``, drawn at random, 0 (Elsayed, Vasan &
    Mahmood 2024, algorithm 1)."""

    def kernel(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        values, which = jax.random.split(key)
        uniform = jax.random.uniform(values, (inputs, shape[-1]), dtype, -(inputs**-0.5), inputs**-0.5)
        rank = jnp.argsort(jnp.argsort(jax.random.uniform(which, uniform.shape), axis=0), axis=0)
        return jnp.where(rank < math.ceil(share * inputs), 0.0, uniform).reshape(shape)

    return kernel
