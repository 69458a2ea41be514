"""Networks: shapes, initialisations, and the convolution that the CPU is quick at."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.bodies import Conv3x3
from qtwin.nets.build import critic_network, network, q_network
from qtwin.nets.convs import convolved, convolved_in_strips, fits_strips, scaled
from qtwin.nets.describe import Gives, how_to_compute
from qtwin.nets.names import parse
from qtwin.nets.net import from_linen, from_nnx
from qtwin.target_update.rules import soft
from qtwin.twin import twin

CARTPOLE, BREAKOUT, LAKE = (resolve(name) for name in ("CartPole-v1", "minatar:Breakout", "FrozenLake-v1"))


@pytest.mark.parametrize(
    ("env", "name"),
    [
        (CARTPOLE, "mlp:8,4"),
        (CARTPOLE, "linear"),
        (BREAKOUT, "minatar"),
        (BREAKOUT, "mlp:8"),
        (LAKE, "table"),
        (LAKE, "mlp:8"),
    ],
)
@pytest.mark.parametrize("init", ["lecun", "torch"])
def test_observations_become_action_values(env, name, init):
    net = q_network(env, name, init)
    obs = jnp.ones((5, *env.obs_shape), env.obs_dtype)
    variables = net.init(jax.random.key(0))
    assert net.apply(variables, obs).shape == (5, env.num_actions)
    q, stats = net.learn(variables, obs, jax.random.key(1))
    np.testing.assert_array_equal(q, net.apply(variables, obs))
    assert stats == variables.stats == {}


def test_initialisations_have_the_spread_they_say():
    for init, deviation in (("lecun", 100**-0.5), ("torch", 100**-0.5 / 3**0.5)):
        params = q_network(CARTPOLE, "mlp:100,100", init).init(jax.random.key(0)).params
        kernel, bias = params["hidden"][1]["kernel"], params["hidden"][1]["bias"]
        assert float(jnp.std(kernel)) == pytest.approx(deviation, rel=0.05)
        if init == "torch":
            assert 0.08 < float(jnp.max(jnp.abs(bias))) <= 0.1
        else:
            assert not bias.any()
    with pytest.raises(Refusal, match="torch"):
        q_network(CARTPOLE, "mlp:8", "troch")


def test_the_convolution_of_shifts_is_the_plain_one():
    conv = Conv3x3(4, 16, "torch", nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (3, 10, 10, 4))

    def plain(kernel):
        dims = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dims)
        return out + conv.bias[...].reshape(1, 1, 1, -1)

    np.testing.assert_allclose(conv(x), plain(conv.kernel[...]), atol=1e-5)


class Normed(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(4, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, momentum=0.5, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, obs):
        return self.drop(self.norm(self.layer(obs)))


class NormedLinen(linen.Module):
    @linen.compact
    def __call__(self, obs, train: bool = False):
        x = linen.BatchNorm(use_running_average=not train, momentum=0.5)(linen.Dense(3)(obs))
        return linen.Dropout(0.5, deterministic=not train)(x)


@pytest.mark.parametrize("which", ["nnx", "linen"])
def test_batch_norm_and_dropout_belong_to_learning_alone(which):
    obs = jax.random.normal(jax.random.key(3), (16, 4))
    net = from_nnx(Normed) if which == "nnx" else from_linen(NormedLinen(), obs)
    variables = net.init(jax.random.key(0))

    def loss(params):
        out, stats = net.learn(variables._replace(params=params), obs, jax.random.key(2))
        return jnp.sum(out**2), (out, stats)

    gradient, (out, stats) = jax.grad(loss, has_aux=True)(variables.params)
    assert jax.tree.structure(gradient) == jax.tree.structure(variables.params)
    assert int((out == 0).sum()) > 10, "dropout is on"
    assert jax.tree.structure(stats) == jax.tree.structure(variables.stats)
    changed = [not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (stats, variables.stats)), strict=True)]
    assert any(changed)
    evaluated = net.apply(variables, obs)
    assert int((evaluated == 0).sum()) == 0, "dropout is off"
    np.testing.assert_array_equal(evaluated, net.apply(variables, obs))
    # and the twin copies the statistics when the target moves
    pair = twin(variables, soft(0.25))
    _, pair = pair.learn(variables._replace(stats=stats)).follow(soft(0.25), ())
    jax.tree.map(np.testing.assert_array_equal, pair.target.stats, stats)


ATARI = EnvSpec("ale:Pong", (84, 84, 4), "uint8", 6, engine="hosted", stack=4)


def test_the_nature_network_has_the_papers_parameters():
    net = q_network(ATARI, "nature")
    params = jax.eval_shape(net.init, jax.random.key(0)).params
    sizes = [8 * 8 * 4 * 32 + 32, 4 * 4 * 32 * 64 + 64, 3 * 3 * 64 * 64 + 64, 7 * 7 * 64 * 512 + 512, 512 * 6 + 6]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == sum(sizes) == 1_687_206


@pytest.mark.parametrize(("name", "latent"), [("nature+bfloat16", (2, 1, 2, 64)), ("impala", (2, 5, 6, 32))])
def test_images_become_action_values(name, latent):
    env = EnvSpec("gym:Small-v0", (36, 44, 3), "uint8", 4, engine="hosted")
    net = q_network(env, name, "torch")
    obs = jax.random.randint(jax.random.key(1), (2, *env.obs_shape), 0, 256).astype(jnp.uint8)
    variables = jax.jit(net.init)(jax.random.key(0))
    q, seen = jax.jit(lambda v, o: (net.apply(v, o), net.encode(v, o)))(variables, obs)
    assert (q.shape, q.dtype, seen.shape, seen.dtype) == ((2, 4), jnp.float32, latent, jnp.float32)
    if name == "nature+bfloat16":
        plain = q_network(env, "nature", "torch")
        np.testing.assert_allclose(q, jax.jit(plain.apply)(variables, obs), atol=0.02)


@pytest.mark.parametrize(("size", "stride", "inputs"), [(8, 4, 2), (8, 4, 3), (4, 2, 6), (3, 1, 4), (12, 4, 1)])
def test_a_convolution_in_strips_equals_the_plain_one_and_so_do_its_gradients(size, stride, inputs):
    random = np.random.default_rng(0)
    images = jnp.asarray(random.integers(0, 256, (3, 24, 20, inputs)).astype(np.uint8))
    kernel = jnp.asarray(random.normal(size=(size, size, inputs, 5)).astype(np.float32))
    x = scaled(images, jnp.float32)
    assert fits_strips(images, kernel, stride)
    plain, back = jax.vjp(lambda x, k: convolved(x, k, stride, "VALID"), x, kernel)
    gradient = jnp.asarray(random.normal(size=plain.shape).astype(np.float32))
    of_bytes, bytes_back = jax.vjp(lambda k: convolved_in_strips(images, k, stride), kernel)
    ours, ours_back = jax.vjp(lambda x, k: convolved_in_strips(x, k, stride), x, kernel)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-4)
    close(of_bytes, plain)
    close(convolved_in_strips(images, kernel, stride), plain)
    close(ours, plain)
    close(convolved_in_strips(x, kernel, stride), plain)
    for_x, for_kernel = back(gradient)
    close(bytes_back(gradient)[0], for_kernel)
    close(ours_back(gradient)[0], for_x)
    close(ours_back(gradient)[1], for_kernel)
    row, column = 1, 2  # one place by hand
    patch = x[1, row * stride : row * stride + size, column * stride : column * stride + size]
    close(of_bytes[1, row, column], jnp.einsum("ijc,ijco->o", patch, kernel))


def test_what_strips_do_not_fit():
    """A kernel, a height or a width that the stride does not divide; bytes of which a block's row is no whole word."""
    for shape, size, stride, dtype in [
        ((1, 24, 20, 4), 6, 4, "uint8"), ((1, 22, 20, 4), 8, 4, "uint8"), ((1, 24, 22, 4), 8, 4, "uint8"),
        ((1, 24, 20, 3), 4, 2, "uint8"),
    ]:  # fmt: skip
        assert not fits_strips(jnp.zeros(shape, dtype), jnp.zeros((size, size, shape[3], 1)), stride)
    assert fits_strips(jnp.zeros((1, 24, 20, 3)), jnp.zeros((4, 4, 3, 1)), 2)


@pytest.mark.parametrize("name", ["nips", "minatar+layernorm"])
def test_a_critic_of_continuous_actions_sees_images_and_the_action(name):
    env = EnvSpec("gym:Race-v0", (24, 24, 3), "uint8", None, action_low=(-1.0, 0.0), action_high=(1.0, 1.0))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8))
    critic, actor = critic_network(env, name, 1), network(env, name, 4)
    q, variables = jax.jit(critic.apply), critic.init(jax.random.key(0))
    value = q(variables, (images, jnp.zeros((3, 2))))
    assert value.shape == (3, 1)
    assert np.abs(value - q(variables, (images, jnp.ones((3, 2))))).min() > 1e-6
    assert np.abs(value - q(variables, (images[::-1], jnp.zeros((3, 2)))))[[0, 2]].min() > 1e-6
    assert actor.apply(actor.init(jax.random.key(1)), images).shape == (3, 4)
    with pytest.raises(Refusal, match="--net nature"):
        network(env, "mlp:256,256", 4)


def test_what_an_exported_network_of_images_says_it_computes_is_what_it_computes():
    """Its words, followed in numpy."""
    env = EnvSpec("gym:Screen-v0", (36, 40, 2), "uint8", 3)
    image = np.random.default_rng(0).integers(0, 256, (36, 40, 2), np.uint8)
    net = q_network(env, "nips", "torch")
    variables = net.init(jax.random.key(0))
    p, x = jax.tree.map(np.asarray, variables.params), image.astype(np.float32) / 255
    words = how_to_compute(parse("nips", env), "none", Gives())
    assert len(words) == 1 + 2 + 1 + 2
    for i, said in enumerate(words[1:3]):
        size, stride = map(int, re.match(r"x = relu\((\d)x\d convolution with stride (\d)", said).groups())
        layer = p["convs"][i]
        seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::stride, ::stride]
        x = np.maximum(np.einsum("hwcij,ijco->hwo", seen, layer["kernel"]) + layer["bias"], 0)
    x = np.maximum(x.ravel() @ p["dense"]["kernel"] + p["dense"]["bias"], 0)
    out = x @ p["head"]["kernel"] + p["head"]["bias"]
    np.testing.assert_allclose(out, net.apply(variables, jnp.asarray(image[None]))[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("minatar", 5),
        ("minatar+layernorm", 7),
        ("minatar+layernorm=whole+leaky", 9),
        ("mlp:8", 3),
        ("mlp:8+layernorm+leaky", 5),
        ("mlp:8+layernorm=whole", 4),
    ],
)
def test_an_exported_network_names_every_layer_that_it_computes(name, lines):
    words = how_to_compute(parse(name, BREAKOUT), "none", Gives())
    assert len(words) == lines
    assert sum("variance" in line for line in words) == ("layernorm" in name) * (1 + name.startswith("minatar"))
    assert sum("0.01 u" in line for line in words) == ("leaky" in name) * (1 + name.startswith("minatar"))
    assert any("norms." in line for line in words) == ("layernorm" in name and "whole" not in name)
    assert "stats.obs.mean" in how_to_compute(parse(name, BREAKOUT), "running", Gives())[0]


@pytest.mark.parametrize(
    ("env", "name", "says"),
    [
        (ATARI, "mlp:120,84", "--net nature"),
        (ATARI, "nature:2", "takes no arguments"),
        (ATARI, "impala:x", "a whole number"),
        (ATARI, "nature+layernorm", "takes only the options \\+bfloat16"),
        (BREAKOUT, "nature", "at least 36x36.*--net minatar"),
        (CARTPOLE, "impala", "at least 8x8.*--net mlp"),
    ],
)
def test_networks_of_images_refuse_what_they_cannot_take(env, name, says):
    with pytest.raises(Refusal, match=says):
        q_network(env, name)


@pytest.mark.parametrize(
    "shape",
    [(1, 84, 84), (3, 84, 84), (4, 84, 84), (12, 64, 64), (9, 96, 96),
              (3, 210, 160), (3, 66, 200), (4, 17, 17)],
)  # fmt: skip
def test_images_with_channels_first_are_refused_with_what_is_wrong(shape):
    channels, height, width = shape
    for dtype in ("uint8", "float32"):
        env = EnvSpec("gym:Pictures", shape, dtype, 4, engine="hosted")
        for name in ("nature", "nips", "impala", "minatar", "nature+duelling", "mlp:16", "linear"):
            if dtype == "float32" and name in ("mlp:16", "linear"):
                assert parse(name, env).kind in ("mlp", "linear")  # which take numbers without places
                continue
            with pytest.raises(Refusal) as refused:
                parse(name, env)
            said = str(refused.value)
            assert f"images have the shape [height, width, channels], and gym:Pictures gives {list(shape)}" in said
            assert f"to [{height}, {width}, {channels}]" in said
    # A policy of an earlier version, read back, acts as it was trained.
    assert parse("minatar", EnvSpec("gym:Pictures", (3, *shape[1:]), "uint8", 4)).kind == "minatar"


@pytest.mark.parametrize(
    "shape",
    [(84, 84, 4), (84, 84, 1), (210, 160, 3), (64, 64, 12), (10, 10, 6), (4, 4, 16), (8, 8, 119), (19, 19, 17),
     (4, 84, 16), (10, 40, 20), (32, 32, 32), (36, 36, 36), (5, 5, 3), (20, 10, 7), (3, 3, 40), (16, 16, 64)],
)  # fmt: skip
def test_no_false_alarm_about_channels(shape):
    assert parse("minatar", EnvSpec("gym:Pictures", shape, "uint8", 4, engine="hosted")).kind == "minatar"
