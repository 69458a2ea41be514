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
from qtwin.names import INIT_NAMES, NORMALISE_NAMES
from qtwin.nets.names import NetName, parse
from qtwin.nets.net import Net, from_functions, from_nnx
from qtwin.nets.norms import norm_of, normalised
from qtwin.types import Array


def q_network(env: EnvSpec, name: str, init: str = "lecun", normalise: str = "none") -> Net:
    """The network that ``name`` asks for, made for ``env``: obs [B, *obs_shape] -> action values [B, A].

    Args:
      env: gives the shapes; an observation that is a state's index is one-hot encoded for all but ``table``.
      name: ``table``, ``linear``, ``mlp:WIDTH,WIDTH,...`` or ``minatar`` (`qtwin.nets.names.NAMES`).
      init: how its weights begin, "lecun" or "torch" (`qtwin.names.INIT_NAMES`).
      normalise: of observations, "none" or "running" (`qtwin.names.NORMALISE_NAMES`).
    """
    return network(env, name, env.num_actions, init, normalise)


def network(env: EnvSpec, name: str, outputs: int, init: str = "lecun", normalise: str = "none") -> Net:
    """As `q_network`, with any number of outputs: obs [B, *obs_shape] -> [B, outputs]."""
    one_of("initialisation", init, INIT_NAMES)
    one_of("normalisation", normalise, NORMALISE_NAMES)
    named = parse(name, env)
    if named.kind == "table":
        return from_functions(
            init=lambda key: {"table": jnp.zeros((env.num_states, outputs))},
            apply=lambda params, obs: params["table"][obs],
        )
    if named.kind == "minatar":
        return from_nnx(lambda rngs: MinAtar(env, outputs, init, rngs), encodes=True)
    features = env.num_states or math.prod(env.obs_shape)
    net = from_nnx(lambda rngs: MLP(env, features, named, outputs, init, rngs), encodes=named.kind == "mlp")
    return normalised(net, env) if normalise == "running" else net


def critic_network(env: EnvSpec, name: str, outputs: int, init: str = "lecun", normalise: str = "none") -> Net:
    """A critic of continuous actions: (obs [B, *obs_shape], action [B, A]) -> [B, outputs]."""
    named = parse(name, env)
    features = (env.num_states or math.prod(env.obs_shape)) + env.action_shape[0]
    net = from_nnx(lambda rngs: MLP(env, features, named, outputs, init, rngs))
    return normalised(net, env) if normalise == "running" else net


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
    """Fully connected layers with ReLU between; no hidden layer makes it linear.

    Layer normalisation stands between a hidden layer and its ReLU (Hiraoka et al. 2022), batch normalisation before
    every layer, the input's and the output's included (Bhatt et al. 2024).
    """

    def __init__(self, env: EnvSpec, features: int, named: NetName, outputs: int, init: str, rngs: nnx.Rngs):
        self.env, self.per_batch = env, named.norm.startswith("batch")
        sizes = (features, *named.widths)
        self.hidden = nnx.List([dense(i, o, init, rngs) for i, o in itertools.pairwise(sizes)])
        self.head = dense(sizes[-1], outputs, init, rngs)
        if named.norm:
            self.norms = nnx.List([norm_of(named.norm, size, rngs) for size in sizes[0 if self.per_batch else 1 :]])
        else:
            self.norms = None
        self.dropout = nnx.Dropout(named.dropout, rngs=rngs) if named.dropout else None

    def __call__(self, inputs: Array | tuple[Array, Array]) -> Array:
        x = self.encode(inputs)
        return self.head(self.norms[-1](x) if self.per_batch else x)

    def encode(self, inputs: Array | tuple[Array, Array]) -> Array:
        """The last hidden layer. [B, D]"""
        if isinstance(inputs, tuple):
            x = jnp.concatenate([flat(self.env, inputs[0]), inputs[1]], axis=-1)
        else:
            x = flat(self.env, inputs)
        for i, layer in enumerate(self.hidden):
            x = layer(self.norms[i](x) if self.per_batch else x)
            if self.dropout is not None:
                x = self.dropout(x)
            if self.norms is not None and not self.per_batch:
                x = self.norms[i](x)
            x = jax.nn.relu(x)
        return x


class MinAtar(nnx.Module):
    """Young & Tian (2019), section 4: one 3x3 convolution of 16 filters, then 128 units."""

    def __init__(self, env: EnvSpec, outputs: int, init: str, rngs: nnx.Rngs):
        height, width, channels = env.obs_shape
        self.conv = Conv3x3(channels, 16, init, rngs)
        self.dense = dense((height - 2) * (width - 2) * 16, 128, init, rngs)
        self.head = dense(128, outputs, init, rngs)

    def __call__(self, obs: Array) -> Array:
        x = self.encode(obs)
        x = jax.nn.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.head(x)

    def encode(self, obs: Array) -> Array:
        """What the convolution sees, in its places. [B, H-2, W-2, 16]"""
        return jax.nn.relu(self.conv(obs.astype(jnp.float32)))


class Conv3x3(nnx.Module):
    """A 3x3 convolution: [B, H, W, I] -> [B, H-2, W-2, O] with stride 1 and no padding.

    On the CPU as nine shifted slices and one matrix product, which is several times faster there than XLA's own
    convolution, its weight gradient most of all; on an accelerator as the plain convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, init: str, rngs: nnx.Rngs, stride: int = 1, padding: int = 0, bias: bool = True
    ):
        self.stride, self.padding = stride, padding
        kernel, begin = initializers(init, 9 * inputs)
        self.kernel = nnx.Param(kernel(rngs.params(), (3, 3, inputs, outputs)))
        self.bias = nnx.Param(begin(rngs.params(), (outputs,))) if bias else None

    def __call__(self, x: Array) -> Array:
        kernel, step, pad = self.kernel[...], self.stride, (self.padding, self.padding)
        if jax.default_backend() != "cpu":
            dims = ("NHWC", "HWIO", "NHWC")
            out = jax.lax.conv_general_dilated(x, kernel, (step, step), (pad, pad), dimension_numbers=dims)
        else:
            x = jnp.pad(x, ((0, 0), pad, pad, (0, 0))) if self.padding else x
            last_row, last_column = x.shape[1] - 2, x.shape[2] - 2
            shifts = [x[:, i : last_row + i : step, j : last_column + j : step] for i in range(3) for j in range(3)]
            out = jnp.concatenate(shifts, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
        return out if self.bias is None else out + self.bias[...].reshape(1, 1, 1, -1)
