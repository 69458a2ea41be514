"""NETWORK: the bodies that turn an observation into action values, chosen by name (``mlp:120,84``)."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.nets.names import parse
from qtwin.nets.net import Net, from_functions, from_nnx
from qtwin.types import Array


def q_network(env: EnvSpec, name: str) -> Net:
    """The network that ``name`` asks for, made for ``env``: obs [B, *obs_shape] -> action values [B, A].

    Args:
      env: gives the shapes; an observation that is a state's index is one-hot encoded for all but ``table``.
      name: ``table``, ``linear``, ``mlp:WIDTH,WIDTH,...`` or ``minatar``.
    """
    kind, widths = parse(name, env)
    features = env.num_states or math.prod(env.obs_shape)
    if kind == "table":
        return from_functions(
            init=lambda key: {"table": jnp.zeros((env.num_states, env.num_actions))},
            apply=lambda params, obs: params["table"][obs],
        )
    if kind == "linear":
        return from_nnx(lambda rngs: MLP(env, features, (), rngs))
    if kind == "mlp":
        return from_nnx(lambda rngs: MLP(env, features, widths, rngs))
    return from_nnx(lambda rngs: MinAtar(env, rngs))


def flat(env: EnvSpec, obs: Array) -> Array:
    """Observations [B, *obs_shape] as float features [B, D]; a state's index becomes one-hot."""
    if env.num_states is not None:
        return jax.nn.one_hot(obs, env.num_states)
    return obs.reshape(obs.shape[0], -1).astype(jnp.float32)


class MLP(nnx.Module):
    """Fully connected layers with ReLU between; no hidden layer makes it linear."""

    def __init__(self, env: EnvSpec, features: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        self.env = env
        sizes = (features, *widths)
        self.hidden = nnx.List([nnx.Linear(i, o, rngs=rngs) for i, o in itertools.pairwise(sizes)])
        self.head = nnx.Linear(sizes[-1], env.num_actions, rngs=rngs)

    def __call__(self, obs: Array) -> Array:
        x = flat(self.env, obs)
        for layer in self.hidden:
            x = jax.nn.relu(layer(x))
        return self.head(x)


class MinAtar(nnx.Module):
    """Young & Tian (2019), section 4: one 3x3 convolution of 16 filters, then 128 units."""

    def __init__(self, env: EnvSpec, rngs: nnx.Rngs):
        height, width, channels = env.obs_shape
        self.conv = Conv3x3(channels, 16, rngs)
        self.dense = nnx.Linear((height - 2) * (width - 2) * 16, 128, rngs=rngs)
        self.head = nnx.Linear(128, env.num_actions, rngs=rngs)

    def __call__(self, obs: Array) -> Array:
        x = jax.nn.relu(self.conv(obs.astype(jnp.float32)))
        x = jax.nn.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.head(x)


class Conv3x3(nnx.Module):
    """A 3x3 convolution with stride 1 and no padding: [B, H, W, I] -> [B, H-2, W-2, O].

    On the CPU as nine shifted slices and one matrix product, which is several times faster there than XLA's own
    convolution, its weight gradient most of all; on an accelerator as the plain convolution.
    """

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (3, 3, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,)))

    def __call__(self, x: Array) -> Array:
        kernel, (height, width) = self.kernel[...], x.shape[1:3]
        if jax.default_backend() != "cpu":
            dims = ("NHWC", "HWIO", "NHWC")
            out = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dims)
        else:
            shifts = [x[:, i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3)]
            out = jnp.concatenate(shifts, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
        return out + self.bias[...].reshape(1, 1, 1, -1)
