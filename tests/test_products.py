"""A layer's product: the gradients of the plain one, and what is written out before it is read."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qtwin.envs.catalog import resolve
from qtwin.nets.bodies import q_network
from qtwin.nets.initial import dense
from qtwin.nets.products import product, written_out


@pytest.mark.parametrize("shape", [(7, 5, 3), (7, 3, 5), (7, 4, 4), (1, 6, 1), (2, 3, 6, 4)])
def test_value_and_gradients_are_those_of_the_plain_product(shape):
    *lead, inputs, outputs = shape
    x, kernel, weight = (
        jax.random.normal(jax.random.key(i), s)
        for i, s in enumerate([(*lead, inputs), (inputs, outputs), (*lead, outputs)])
    )

    def both(multiply):
        return jax.jit(jax.value_and_grad(lambda x, k: jnp.sum(multiply(x, k) * weight), argnums=(0, 1)))(x, kernel)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), both(product), both(jnp.matmul))


def test_by_hand():
    x, kernel = jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[1.0], [10.0], [100.0]])
    np.testing.assert_array_equal(product(x, kernel), [[321.0]])
    of_x, of_kernel = jax.grad(lambda x, k: 2.0 * product(x, k)[0, 0], argnums=(0, 1))(x, kernel)
    np.testing.assert_array_equal(of_x, [[2.0, 20.0, 200.0]])
    np.testing.assert_array_equal(of_kernel, [[2.0], [4.0], [6.0]])


def test_networks_side_by_side():
    x, kernels = jax.random.normal(jax.random.key(0), (4, 6)), jax.random.normal(jax.random.key(1), (3, 6, 2))

    def gradients(multiply):
        return jax.vmap(jax.grad(lambda k: jnp.sum(jnp.sin(multiply(x, k)))))(kernels)

    np.testing.assert_allclose(gradients(product), gradients(jnp.matmul), rtol=1e-5)


def test_half_precision_keeps_its_type():
    x, kernel = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 1), jnp.bfloat16)
    gradients = jax.grad(lambda x, k: jnp.sum(product(x, k)).astype(jnp.float32), argnums=(0, 1))(x, kernel)
    assert [g.dtype for g in gradients] == [jnp.bfloat16] * 2


def test_a_layer_takes_it():
    text = str(jax.make_jaxpr(dense(4, 2, "lecun", nnx.Rngs(0)))(jnp.ones((3, 4))))
    assert "custom_vjp" in text


@pytest.mark.parametrize("size", [1, 31, 32, 33, 2917])
def test_what_is_written_out_is_what_was_given(size):
    x = jax.random.normal(jax.random.key(size), (size,)) * 1e3
    np.testing.assert_array_equal(jax.jit(written_out)(x), x)


def test_noise_is_drawn_once_and_not_anew_for_every_weight():
    net = q_network(resolve("CartPole-v1"), "mlp:96,80+noisy")
    variables = net.init(jax.random.key(0))

    def loss(params, obs, key):
        return jnp.sum(net.drawn(variables._replace(params=params), obs, key))

    compiled = jax.jit(jax.grad(loss)).lower(variables.params, jnp.ones((4, 4)), jax.random.key(1)).compile()
    of_weights = [c for c in compiled.as_text().split("\n\n") if "-> f32[96,80] {" in c.partition("\n")[0]]
    assert len(of_weights) > 1, "the hidden layer's weights are not perturbed in a computation of their own"
    assert not any("shift" in c for c in of_weights)  # the bits of random numbers
