"""NETWORK: the bodies that turn an observation into action values, chosen by name (``mlp:120,84``)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.errors import one_of
from qtwin.names import INIT_NAMES
from qtwin.nets.names import parse
from qtwin.nets.net import Net, from_functions, from_nnx
from qtwin.types import Array


def q_network(env: EnvSpec, name: str, init: str = "lecun") -> Net:
    """The network that ``name`` asks for, made for ``env``: obs [B, *obs_shape] -> action values [B, A].

    Args:
      env: gives the shapes; an observation that is a state's index is one-hot encoded for all but ``table``.
      name: ``table``, ``linear``, ``mlp:WIDTH,WIDTH,...`` or ``minatar``.
      init: how its weights begin, "lecun" or "torch" (`qtwin.names.INIT_NAMES`).
    """
    one_of("initialisation", init, INIT_NAMES)
    kind, widths = parse(name, env)
    features = env.num_states or math.prod(env.obs_shape)
    if kind == "table":
        return from_functions(
            init=lambda key: {"table": jnp.zeros((env.num_states, env.num_actions))},
            apply=lambda params, obs: params["table"][obs],
        )
    if kind == "linear":
        return from_nnx(lambda rngs: MLP(env, features, (), init, rngs))
    if kind == "mlp":
        return from_nnx(lambda rngs: MLP(env, features, widths, init, rngs))
    return from_nnx(lambda rngs: MinAtar(env, init, rngs))


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
    return nnx.initializers.lecun_normal(), nnx.initializers.zeros


def flat(env: EnvSpec, obs: Array) -> Array:
    """Observations [B, *obs_shape] as float features [B, D]; a state's index becomes one-hot."""
    if env.num_states is not None:
        return jax.nn.one_hot(obs, env.num_states)
    return obs.reshape(obs.shape[0], -1).astype(jnp.float32)


class MLP(nnx.Module):
    """Fully connected layers with ReLU between; no hidden layer makes it linear."""

    def __init__(self, env: EnvSpec, features: int, widths: tuple[int, ...], init: str, rngs: nnx.Rngs):
        self.env = env
        sizes = (features, *widths)
        self.hidden = nnx.List([dense(i, o, init, rngs) for i, o in itertools.pairwise(sizes)])
        self.head = dense(sizes[-1], env.num_actions, init, rngs)

    def __call__(self, obs: Array) -> Array:
        x = flat(self.env, obs)
        for layer in self.hidden:
            x = jax.nn.relu(layer(x))
        return self.head(x)


class MinAtar(nnx.Module):
    """Young & Tian (2019), section 4: one 3x3 convolution of 16 filters, then 128 units."""

    def __init__(self, env: EnvSpec, init: str, rngs: nnx.Rngs):
        height, width, channels = env.obs_shape
        self.conv = Conv3x3(channels, 16, init, rngs)
        self.dense = dense((height - 2) * (width - 2) * 16, 128, init, rngs)
        self.head = dense(128, env.num_actions, init, rngs)

    def __call__(self, obs: Array) -> Array:
        x = jax.nn.relu(self.conv(obs.astype(jnp.float32)))
        x = jax.nn.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.head(x)


class Conv3x3(nnx.Module):
    """A 3x3 convolution with stride 1 and no padding: [B, H, W, I] -> [B, H-2, W-2, O].

    On the CPU as nine shifted slices and one matrix product, which is several times faster there than XLA's own
    convolution, its weight gradient most of all; on an accelerator as the plain convolution.
    """

    def __init__(self, inputs: int, outputs: int, init: str, rngs: nnx.Rngs):
        kernel, bias = initializers(init, 9 * inputs)
        self.kernel = nnx.Param(kernel(rngs.params(), (3, 3, inputs, outputs)))
        self.bias = nnx.Param(bias(rngs.params(), (outputs,)))

    def __call__(self, x: Array) -> Array:
        kernel, (height, width) = self.kernel[...], x.shape[1:3]
        if jax.default_backend() != "cpu":
            dims = ("NHWC", "HWIO", "NHWC")
            out = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dims)
        else:
            shifts = [x[:, i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3)]
            out = jnp.concatenate(shifts, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
        return out + self.bias[...].reshape(1, 1, 1, -1)
