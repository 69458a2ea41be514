"""Random keys: JAX's own threefry bit for bit, written so that XLA makes one loop of it on the CPU.

On a CPU, JAX lowers each draw to a loop of small kernels; inside the cycle, where a draw is a handful of numbers, that
loop costs more than its arithmetic. Unrolled, a draw is one fused kernel. The bits are the same, so keys of this kind
draw what ``jax.random.key`` draws (a test holds them to it).
"""

from __future__ import annotations

import math

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from qtwin.types import Array

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Args:
      key: [2] uint32
      high, low: the counters, of one shape. uint32

    Returns:
      two arrays of that shape. uint32
    """
    first, second = key[0], key[1]
    schedule = (first, second, first ^ second ^ np.uint32(0x1BD11BDA))
    a, b = high + first, low + second
    for block in range(5):
        for bits in ROTATIONS[block % 2]:
            a = a + b
            b = a ^ ((b << np.uint32(bits)) | (b >> np.uint32(32 - bits)))
        a = a + schedule[(block + 1) % 3]
        b = b + schedule[(block + 2) % 3] + np.uint32(block + 1)
    return a, b


def _seed(seed: Array) -> Array:
    return jnp.stack([jnp.uint32(0), jnp.asarray(seed).astype(jnp.uint32)])


def _counters(shape: tuple[int, ...]) -> tuple[Array, Array]:
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return jnp.zeros_like(low), low


# The barriers keep XLA from drawing a key anew for every number that is made from it.


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.lax.optimization_barrier(jnp.stack(threefry(key, *_counters(shape)), axis=-1))


def _fold_in(key: Array, count: Array) -> Array:
    return jax.lax.optimization_barrier(jnp.stack(threefry(key, jnp.uint32(0), jnp.asarray(count).astype(jnp.uint32))))


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    high, low = threefry(key, *_counters(shape))
    if width == 64:
        return (high.astype(jnp.uint64) << np.uint64(32)) | low.astype(jnp.uint64)
    return (high ^ low).astype(jnp.dtype(f"uint{width}"))


UNROLLED = jax.extend.random.define_prng_impl(
    key_shape=(2,), seed=_seed, split=_split, random_bits=_bits, fold_in=_fold_in, name="qtwin_threefry", tag="qtf"
)


def root(seed: Array | int) -> Array:
    """The key of a run. seed [] -> key []"""
    return jax.random.key(seed, impl=UNROLLED)


def wrap(data: Array) -> Array:
    """A key from its numbers, the inverse of ``jax.random.key_data``. [..., 2] uint32 -> [...]"""
    return jax.random.wrap_key_data(data, impl=UNROLLED)


def integers(key: Array, shape: tuple[int, ...], below: Array) -> Array:
    """Whole numbers from 0 to ``below - 1``, uniform to within ``below / 2**32`` (Lemire 2019, without rejection).

    One draw and one multiplication each, where ``jax.random.randint`` takes two draws and three divisions.

    Args:
      key: for this draw alone.
      shape: of the result.
      below: at least 1. [] int32
    """
    bits, below = jax.random.bits(key, shape, jnp.uint32), jnp.asarray(below).astype(jnp.uint32)
    # The high half of the 64-bit product, from 16-bit halves: 64-bit numbers are switched off in JAX.
    half = np.uint32(16)
    high, low = bits >> half, bits & np.uint32(0xFFFF)
    top, bottom = below >> half, below & np.uint32(0xFFFF)
    middle = high * bottom + (low * bottom >> half)
    carried = (middle & np.uint32(0xFFFF)) + low * top
    return (high * top + (middle >> half) + (carried >> half)).astype(jnp.int32)


# One stream of random numbers for each consumer: nothing depends on how often another drew.
INIT, RESET, ACT, STEP, SAMPLE, LOSS, EVALUATE, IMPROVE, LOST = range(9)


ROLLED_BACK = 2**31 - 1  # stands for no consumer: a run that went back to a checkpoint draws from a key of its own


def stream(key: Array, consumer: int, count: Array) -> Array:
    """The key for one consumer's ``count``-th draw."""
    return jax.random.fold_in(jax.random.fold_in(key, consumer), count)


def host_seed(entropy: tuple[int, ...]) -> int:
    """A seed for environments in Python, drawn from these numbers; at most 2**31 - 1, which every simulator takes."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
