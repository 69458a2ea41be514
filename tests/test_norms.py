"""Normalisation inside networks and of observations, against numpy and Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets import norms
from qtwin.nets.build import critic_network, network
from qtwin.nets.ensemble import ensemble
from qtwin.nets.names import NetName, parse
from qtwin.nets.net import from_nnx
from qtwin.types import Variables

ENV = EnvSpec("test:box", (3,), "float32", None, action_low=(-1.0, -2.0), action_high=(1.0, 2.0))


def test_observations_are_normalised_by_all_that_was_learned_from():
    net = network(ENV, "linear", 2, normalise="running")
    variables = net.init(jax.random.key(0))
    batches = [np.random.default_rng(i).normal(5.0 + i, 1.0 + i, (4 + i, 3)).astype(np.float32) for i in range(5)]
    for batch in batches:
        out, stats = net.learn(variables, jnp.asarray(batch), jax.random.key(1))
        variables = Variables(variables.params, stats)
    everything = np.concatenate(batches)
    seen = stats["obs"]
    np.testing.assert_allclose(seen["mean"], everything.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(seen["m2"] / seen["count"], everything.var(axis=0), rtol=1e-5)
    expected = (batches[-1] - everything.mean(axis=0)) / everything.std(axis=0)
    head = variables.params["head"]
    by_hand = expected @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(net.apply(variables, batches[-1]), by_hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out, by_hand, rtol=1e-4, atol=1e-5)


def test_only_the_observation_of_a_critic_is_normalised_and_far_ones_are_kept_near():
    critic = critic_network(ENV, "linear", 1, normalise="running")
    variables = critic.init(jax.random.key(0))
    obs = jnp.array([[0.0, 0.0, 0.0], [2.0, 4.0, 8.0]])
    _, stats = critic.learn(variables, (obs, jnp.zeros((2, 2))), jax.random.key(0))
    variables, kernel = Variables(variables.params, stats), variables.params["head"]["kernel"]
    far, action = jnp.array([[1e6, 2.0, 4.0]]), jnp.array([[0.5, -0.25]])
    x = jnp.concatenate([jnp.array([[norms.FARTHEST, 0.0, 0.0]]), action], axis=-1)
    np.testing.assert_allclose(critic.apply(variables, (far, action)), x @ kernel, rtol=1e-5, atol=1e-5)


def test_the_batch_norm_is_flax_s():
    x = jnp.asarray(np.random.default_rng(0).normal(2.0, 3.0, (16, 4)), jnp.float32)
    ours = norms.BatchNorm(4, corrected=False)
    theirs = nnx.BatchNorm(4, momentum=norms.MOMENTUM, epsilon=norms.EPSILON, use_fast_variance=False, rngs=nnx.Rngs(0))
    for layer in (ours, theirs):
        layer.use_running_average = False
    for _ in range(3):
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.mean[...], theirs.mean[...], rtol=1e-5)
    np.testing.assert_allclose(ours.var[...], theirs.var[...], rtol=1e-5)
    for layer in (ours, theirs):
        layer.use_running_average = True
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_the_running_variance_is_torch_s_where_it_is_unbiased_and_flax_s_where_it_is_not():
    """By hand: 1, 3, 5, 7 have the mean 4 and squared distances 9 + 1 + 1 + 9 = 20, so 20/4 = 5 and 20/3. With torch's
    momentum of 0.1 (0.9 is kept) the running variance goes from 1 to 0.9 + 0.1 * 20/3; while learning, both divide by
    the root of 5."""
    x = jnp.array([1.0, 3.0, 5.0, 7.0])[:, None]
    for unbiased, first, second in ((True, 1.566667, 2.076667), (False, 1.4, 1.76)):
        layer = norms.BatchNorm(1, momentum=0.9, epsilon=0.0, unbiased=unbiased)
        np.testing.assert_allclose(layer(x)[:, 0], np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)
        np.testing.assert_allclose(layer.mean[...], 0.4, rtol=1e-6)
        np.testing.assert_allclose(layer.var[...], first, rtol=1e-6)
        layer(x.reshape(1, 2, 2, 1))  # an image's pixels count as well: n is 4 again
        np.testing.assert_allclose(layer.var[...], second, rtol=1e-6)
        layer(jnp.ones((1, 1)))
        assert np.isfinite(layer.var[...]).all(), "one number has no variance; it is not 0 / 0"


def test_the_siamese_encoders_keep_torch_s_running_variance_and_crossq_s_critic_flax_s():
    from qtwin.nets.encoders import encoder_network, head_network

    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    kernel = lambda variables: variables.params["layers"][0]["kernel"]  # noqa: E731
    head = head_network(3, (5, 2), hidden_norm=True, output_norm=True)
    variables = head.init(jax.random.key(0))
    stats = head.learn(variables, x, jax.random.key(1))[1]
    hidden = np.asarray(x) @ np.asarray(kernel(variables)) + np.asarray(variables.params["layers"][0]["bias"])
    np.testing.assert_allclose(stats["norms"][0]["var"], 0.9 + 0.1 * hidden.var(axis=0, ddof=1), rtol=1e-5)
    assert stats["last_norm"]["var"].shape == (2,)

    images = jnp.asarray(np.random.default_rng(0).random((2, 4, 4, 1)), jnp.float32)
    encoder, _ = encoder_network((4, 4, 1), "conv:2")
    variables = encoder.init(jax.random.key(0))
    stats = encoder.learn(variables, images, jax.random.key(1))[1]
    seen = jax.lax.conv_general_dilated(
        images, variables.params["convs"][0]["kernel"], (2, 2), ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    by_hand = np.asarray(seen).reshape(-1, 2)  # 2 images of 2x2: n is 8
    np.testing.assert_allclose(stats["norms"][0]["var"], 0.9 + 0.1 * by_hand.var(axis=0, ddof=1), rtol=1e-4)

    net = network(ENV, "mlp:4+batchnorm", 1)
    variables = net.init(jax.random.key(0))
    stats = net.learn(variables, x, jax.random.key(1))[1]
    expected = norms.MOMENTUM + (1 - norms.MOMENTUM) * np.asarray(x).var(axis=0)
    np.testing.assert_allclose(stats["norms"][0]["var"], expected, rtol=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1.5, 0.5), (10.0, 100.0)])
def test_batch_renormalisation_gives_what_the_running_statistics_would_once_they_are_trusted(scale, shift):
    """Ioffe 2017: within the bounds of r and d the output is (x - running mean) / running deviation exactly."""
    x = np.random.default_rng(0).normal(0.0, 1.0, (64, 1)).astype(np.float32) * scale + shift
    layer = norms.BatchNorm(1, corrected=True)
    plain = norms.BatchNorm(1, corrected=False)
    np.testing.assert_array_equal(layer(jnp.asarray(x)), plain(jnp.asarray(x)))  # not trusted yet
    assert int(layer.batches[...]) == 1
    layer.mean[...], layer.var[...], layer.batches[...] = jnp.zeros(1), jnp.ones(1), jnp.int32(norms.WARM_UP)
    running = np.sqrt(1 + norms.EPSILON)
    r = np.clip(np.sqrt(x.var() + norms.EPSILON) / running, 1 / 3, 3)
    d = np.clip(x.mean() / running, -5, 5)
    expected = (x - x.mean()) / np.sqrt(x.var() + norms.EPSILON) * r + d
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-4)
    if scale < 3:
        np.testing.assert_allclose(expected, x / running, rtol=1e-4, atol=1e-4)


def test_where_the_layers_stand():
    """Dropout, layer norm, ReLU behind each hidden layer; batch norms before every layer, first and last included."""
    layered = network(ENV, "mlp:8,8+layernorm+dropout=0.5", 1).init(jax.random.key(0)).params
    assert [layered["norms"][i]["scale"].shape for i in range(2)] == [(8,), (8,)]
    batched = network(ENV, "mlp:8,6+batchnorm", 1).init(jax.random.key(0)).params
    assert [batched["norms"][i]["scale"].shape for i in range(3)] == [(3,), (8,), (6,)]


@pytest.mark.parametrize("normalise", ["none", "running"])
def test_layer_norm_over_a_whole_layer_has_no_parameters_and_leaky_relu_lets_a_hundredth_through(normalise):
    """MinAtar's network in numpy, as streaming Q-learning has it; images are normalised as other observations are."""
    env = EnvSpec("test:image", (5, 6, 2), "bool", 3)
    net = network(env, "minatar+layernorm=whole+leaky", 3, "torch", normalise)
    variables = net.init(jax.random.key(0))
    x = np.random.default_rng(0).random((7, 5, 6, 2)) < 0.3
    out, stats = net.learn(variables, jnp.asarray(x), jax.random.key(1))
    p = jax.tree.map(np.asarray, variables.params)
    assert set(p) == {"conv", "dense", "head"}

    def hidden(u):
        over = tuple(range(1, u.ndim))
        u = (u - u.mean(over, keepdims=True)) / np.sqrt(u.var(over, keepdims=True) + 1e-5)
        return np.where(u > 0, u, 0.01 * u)

    if normalise == "running":
        assert int(stats["obs"]["count"]) == 7
        x = np.clip((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-8), -10, 10)
    seen = np.lib.stride_tricks.sliding_window_view(x.astype(np.float32), (3, 3), (1, 2))
    h = hidden(np.einsum("bhwcij,ijco->bhwo", seen, p["conv"]["kernel"]) + p["conv"]["bias"])
    h = hidden(h.reshape(7, -1) @ p["dense"]["kernel"] + p["dense"]["bias"])
    np.testing.assert_allclose(out, h @ p["head"]["kernel"] + p["head"]["bias"], rtol=1e-4, atol=1e-5)


def test_images_of_bytes_and_those_beside_an_action_are_normalised_too():
    env = EnvSpec("test:image", (36, 36, 2), "uint8", None, action_low=(-1.0,), action_high=(1.0,))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 256, (5, 36, 36, 2), np.uint8))
    for net, inputs in (
        (network(env, "nips", 2, normalise="running"), x),
        (critic_network(env, "nature", 1, normalise="running"), (x, jnp.zeros((5, 1)))),
    ):
        variables = net.init(jax.random.key(0))
        _, stats = net.learn(variables, inputs, jax.random.key(1))
        np.testing.assert_allclose(stats["obs"]["mean"], np.asarray(x, np.float32).mean(0), rtol=1e-5)
        before, after = net.apply(variables, inputs), net.apply(Variables(variables.params, stats), inputs)
        assert float(jnp.abs(before - after).max()) > 1e-3


def test_dropout_drops_while_learning_only():
    net = network(ENV, "mlp:64+dropout=0.5", 1)
    variables, obs = net.init(jax.random.key(0)), jnp.ones((1, 3))
    drawn = {float(net.learn(variables, obs, jax.random.key(i))[0][0, 0]) for i in range(4)}
    assert len(drawn) == 4
    np.testing.assert_array_equal(net.apply(variables, obs), net.apply(variables, obs))


def test_an_ensemble_is_its_members_side_by_side():
    one = network(ENV, "mlp:4+batchnorm", 2)
    three = ensemble(one, 3)
    variables, obs = three.init(jax.random.key(0)), jnp.ones((5, 3))
    out = three.apply(variables, obs)
    assert out.shape == (3, 5, 2)
    for member in range(3):
        np.testing.assert_array_equal(out[member], one.apply(variables.part(str(member)), obs))
    assert len({float(value) for value in out[:, 0, 0]}) == 3
    _, stats = three.learn(variables, obs, jax.random.key(1))
    assert jax.tree.structure(stats) == jax.tree.structure(variables.stats)


def test_names_are_read():
    assert parse("mlp:64,32+layernorm+dropout=0.01", ENV) == NetName("mlp", (64, 32), "layernorm", dropout=0.01)
    assert parse("mlp:64", ENV) == NetName("mlp", (64,))
    assert parse("mlp:64+leaky+layernorm=whole", ENV) == NetName("mlp", (64,), "layernorm=whole", leaky=True)
    for wrong in (
        "mlp:64+dropout=1",
        "mlp:64+dropout",
        "mlp:64+layernorm+batchnorm",
        "mlp:64+",
        "linear+layernorm",
        "mlp:64+layernorm=all",
        "mlp:64+layernorm+layernorm=whole",
        "linear+leaky",
    ):
        with pytest.raises(Refusal):
            parse(wrong, ENV)


def test_a_network_without_statistics_keeps_none():
    net = from_nnx(lambda rngs: nnx.Linear(3, 1, rngs=rngs))
    assert jax.tree.leaves(ensemble(net, 2).init(jax.random.key(0)).stats) == []
