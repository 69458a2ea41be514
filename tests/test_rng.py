"""Random keys draw what JAX's own threefry draws, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin import rng


def draws(key):
    keys = jax.random.split(key, (3, 2))
    return [
        jax.random.key_data(key),
        jax.random.key_data(keys),
        jax.random.key_data(jax.random.fold_in(key, 77)),
        jax.random.normal(key, (5,)),
        jax.random.uniform(key, (3, 4)),
        jax.random.randint(key, (7,), 0, 10),
        jax.random.bits(key, (9,), jnp.uint8),
        jax.random.permutation(key, 11),
        jax.vmap(lambda k: jax.random.uniform(k, (2,)))(keys[:, 0]),
    ]


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31 - 1])
def test_the_bits_are_jaxs_own(seed):
    for ours, theirs in zip(draws(rng.root(seed)), draws(jax.random.key(seed)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again = rng.wrap(jax.random.key_data(rng.root(seed)))
    np.testing.assert_array_equal(jax.random.bits(again), jax.random.bits(jax.random.key(seed)))


@pytest.mark.parametrize("below", [1, 2, 7, 1000, 65536, 1_000_003, 2**31 - 1])
def test_integers_are_the_high_half_of_the_product(below):
    key = rng.root(3)
    bits = np.asarray(jax.random.bits(key, (10_000,), jnp.uint32)).astype(np.uint64)
    expected = (bits * np.uint64(below)) >> np.uint64(32)
    np.testing.assert_array_equal(rng.integers(key, (10_000,), below), expected.astype(np.int32))
