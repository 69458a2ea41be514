"""NETWORK: the bodies that turn an observation into action values, chosen by name (``mlp:120,84``)."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.nets.convs import BODIES, scaled
from qtwin.nets.initial import dense, initializers
from qtwin.nets.names import NetName
from qtwin.nets.norms import norm_of
from qtwin.types import Array


def trunk(env: EnvSpec, named: NetName, init: str, rngs: nnx.Rngs) -> tuple[nnx.Module, int]:
    """A body up to its last hidden layer, to put a head on (its ``encode``), and that layer's width."""
    if named.kind == "minatar":
        return MinAtar(env, named, 0, init, rngs), 128
    if named.kind in BODIES:
        return BODIES[named.kind](env, named, 0, init, rngs), {"nature": 512}.get(named.kind, 256)
    features = env.num_states or math.prod(env.obs_shape)
    return MLP(env, features, named._replace(widths=named.widths[:-1]), 0, init, rngs), named.widths[-1]


class ImageCritic(nnx.Module):
    """See `critic_network`."""

    def __init__(self, env: EnvSpec, named: NetName, outputs: int, init: str, rngs: nnx.Rngs):
        self.body, hidden = trunk(env, named, init, rngs)
        example = jax.ShapeDtypeStruct((1, *env.obs_shape), jnp.dtype(env.obs_dtype))
        places = math.prod(jax.eval_shape(lambda obs: self.body.encode(obs), example).shape[1:])
        self.dense = dense(places + env.action_shape[0], hidden, init, rngs)
        self.norm = norm_of(named.norm, hidden, rngs) if named.norm else None
        self.head, self.leaky = dense(hidden, outputs, init, rngs), named.leaky

    def __call__(self, inputs: tuple[Array, Array]) -> Array:
        obs, action = inputs
        seen = self.body.encode(obs)
        x = self.dense(jnp.concatenate([seen.reshape(seen.shape[0], -1), action], axis=-1))
        return self.head(rectified(self.leaky, x if self.norm is None else self.norm(x)))


def rectified(leaky: bool, x: Array) -> Array:
    """ReLU, of any shape, or the leaky one with a slope of 0.01 (Maas, Hannun & Ng 2013)."""
    return jax.nn.leaky_relu(x, 0.01) if leaky else jax.nn.relu(x)


def flat(env: EnvSpec, obs: Array) -> Array:
    """Observations [B, *obs_shape] as float features [B, D]; a state's index becomes one-hot."""
    if env.num_states is not None:
        return jax.nn.one_hot(obs, env.num_states)
    return obs.reshape(obs.shape[0], -1).astype(jnp.float32)


class MLP(nnx.Module):
    """Fully connected layers with ReLU between; no hidden layer makes it linear.

    Layer normalisation stands between a hidden layer and its ReLU (Hiraoka et al. 2022), batch normalisation before
    every layer, the input's and the output's included (Bhatt et al. 2024). Without outputs it ends with the last hidden
    layer, `encode`.
    """

    def __init__(self, env: EnvSpec, features: int, named: NetName, outputs: int, init: str, rngs: nnx.Rngs):
        self.env, self.leaky, self.per_batch = env, named.leaky, named.norm.startswith("batch")
        sizes = (features, *named.widths)
        self.hidden = nnx.List([dense(i, o, init, rngs) for i, o in itertools.pairwise(sizes)])
        self.head = dense(sizes[-1], outputs, init, rngs) if outputs else None
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
        return self._through(inputs)[-1]

    def layers(self, inputs: Array | tuple[Array, Array]) -> tuple[Array, ...]:
        """Every hidden layer. [B, D] each"""
        return self._through(inputs)[1:]

    def _through(self, inputs: Array | tuple[Array, Array]) -> tuple[Array, ...]:
        if isinstance(inputs, tuple):
            x = jnp.concatenate([flat(self.env, inputs[0]), inputs[1]], axis=-1)
        else:
            x = flat(self.env, inputs)
        every = [x]
        for i, layer in enumerate(self.hidden):
            x = layer(self.norms[i](x) if self.per_batch else x)
            if self.dropout is not None:
                x = self.dropout(x)
            if self.norms is not None and not self.per_batch:
                x = self.norms[i](x)
            x = rectified(self.leaky, x)
            every.append(x)
        return tuple(every)


class MinAtar(nnx.Module):
    """Young & Tian (2019), section 4: one 3x3 convolution of 16 filters, then 128 units.

    Layer normalisation stands before each ReLU, over the channels of a place (Gallici et al. 2025, released code) or
    over the whole layer (Elsayed et al. 2024, released code).
    Without outputs it ends with the convolution, `encode`.
    """

    def __init__(self, env: EnvSpec, named: NetName, outputs: int, init: str, rngs: nnx.Rngs):
        height, width, channels = env.obs_shape
        self.conv = Conv3x3(channels, 16, init, rngs)
        self.dense = dense((height - 2) * (width - 2) * 16, 128, init, rngs) if outputs else None
        self.head = dense(128, outputs, init, rngs) if outputs else None
        sizes = ((16, (1, 2, 3)), (128, -1))[: 2 if outputs else 1]
        self.norms = nnx.List([norm_of(named.norm, size, rngs, over) for size, over in sizes]) if named.norm else None
        self.leaky = named.leaky

    def __call__(self, obs: Array) -> Array:
        return self.head(self.layers(obs)[-1])

    def layers(self, obs: Array) -> tuple[Array, ...]:
        """The convolution [B, H-2, W-2, 16] and the hidden layer [B, 128]."""
        x = self.encode(obs)
        hidden = self.dense(x.reshape(x.shape[0], -1))
        return x, rectified(self.leaky, self.norms[1](hidden) if self.norms else hidden)

    def encode(self, obs: Array) -> Array:
        """What the convolution sees, in its places. [B, H-2, W-2, 16]"""
        x = self.conv(scaled(obs, jnp.dtype(jnp.float32)))
        return rectified(self.leaky, self.norms[0](x) if self.norms else x)


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
