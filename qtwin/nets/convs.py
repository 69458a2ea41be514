"""NETWORK: the convolutional bodies of Atari, on images [B, H, W, C]."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.nets.initial import dense, initializers
from qtwin.nets.names import LAYERS, NetName
from qtwin.types import Array


def scaled(obs: Array, dtype: jnp.dtype) -> Array:
    """Images as numbers of ``dtype``: bytes divided by 255, all else as it is. [B, H, W, C]"""
    return obs.astype(dtype) / 255 if obs.dtype == jnp.uint8 else obs.astype(dtype)


def convolved(x: Array, kernel: Array, stride: int, padding: str) -> Array:
    """XLA's convolution: x [B, H, W, I], kernel [S, S, I, O] -> [B, H', W', O]."""
    dims = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=dims)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolved_in_strips(x: Array, kernel: Array, stride: int) -> Array:
    """`convolved` without padding, as products of matrices; `fits_strips` says for what. Bytes are divided by 255.

    For the CPU, where most of what XLA's convolution takes goes into its gradients. An image is cut into strips: for
    each row of blocks of ``stride`` by ``stride``, what the kernel sees of it from each of its places. A strip times
    the kernel's part for each of its own rows of blocks is one product, whose results are added up where they belong;
    so are both gradients. A strip is held once, where whole patches would be held once for each row of the kernel.
    Numbers whose gradient nobody asks for are convolved by XLA, which is quicker than cutting them.
    """
    return _forward(x, kernel, stride)[0] if x.dtype == jnp.uint8 else convolved(x, kernel, stride, "VALID")


def fits_strips(x: Array, kernel: Array, stride: int) -> bool:
    """The stride divides S, H and W; of bytes, a block's row is a whole number of words."""
    sides = (kernel.shape[0], *x.shape[1:3])
    return not any(side % stride for side in sides) and (x.dtype != jnp.uint8 or stride * x.shape[3] % 4 == 0)


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array, Array]]:
    times = kernel.shape[0] // stride
    strips = _strips(x, times, stride).astype(kernel.dtype)
    batch, blocks, columns, size = strips.shape
    parts = strips.reshape(-1, size) @ (_by_rows(kernel, stride) / _unit(x))
    parts = parts.reshape(batch, blocks, columns, times, kernel.shape[3])
    out = sum(parts[:, k : blocks - times + 1 + k, :, k] for k in range(times))
    return out, (strips, kernel, jnp.zeros((0, x.shape[2]), x.dtype))  # the last for its width and type


def _backward(stride: int, kept: tuple[Array, Array, Array], gradient: Array) -> tuple[Array | None, Array]:
    strips, kernel, like = kept
    size, _, inputs, outputs = kernel.shape
    (batch, blocks, columns, length), times = strips.shape, size // stride
    spread = _spread(gradient, times).reshape(-1, times * outputs)
    rows = jax.lax.dot_general(spread, strips.reshape(-1, length), (((0,), (0,)), ((), ()))) / _unit(like)
    rows = jnp.moveaxis(rows.reshape(times, outputs, stride, size * inputs), 1, 3).reshape(kernel.shape)
    if like.dtype == jnp.uint8:
        return None, rows
    parts = (spread @ _by_rows(kernel, stride).T).reshape(batch, blocks, columns, stride, times, stride * inputs)
    none = (0, 0)
    x = sum(
        jnp.pad(parts[:, :, :, :, k], (none, none, (k, times - 1 - k), none, none)) for k in range(times)
    )  # [B, H / stride, W / stride, stride, stride * I]
    return jnp.moveaxis(x, 3, 2).reshape(batch, blocks * stride, like.shape[1], inputs), rows


def _unit(x: Array) -> int:
    return 255 if x.dtype == jnp.uint8 else 1


def _strips(x: Array, times: int, stride: int) -> Array:
    """[B, H, W, I] -> [B, H / stride, W', stride * S * I]: of each row of blocks what a kernel of ``times`` blocks sees
    from each place in it. Bytes are moved four at a time."""
    batch, height, width, inputs = x.shape
    blocks, length = width // stride, stride * inputs
    columns = blocks - times + 1
    if x.dtype == jnp.uint8:
        length //= 4
        x = jax.lax.bitcast_convert_type(x.reshape(batch, height, blocks, length, 4), jnp.uint32)
    x = x.reshape(batch, height, blocks, length)
    x = jnp.concatenate([x[:, :, k : k + columns] for k in range(times)], axis=-1)
    x = jnp.moveaxis(x.reshape(batch, height // stride, stride, columns, times * length), 2, 3)
    x = x if x.dtype != jnp.uint32 else jax.lax.bitcast_convert_type(x, jnp.uint8)
    return x.reshape(batch, height // stride, columns, -1)


def _by_rows(kernel: Array, stride: int) -> Array:
    """[S, S, I, O] -> [stride * S * I, S / stride * O]: in the order of a strip, side by side for each block's row."""
    size, _, inputs, outputs = kernel.shape
    rows = kernel.reshape(size // stride, stride, size * inputs, outputs)
    return jnp.moveaxis(rows, 0, 2).reshape(stride * size * inputs, -1)


def _spread(gradient: Array, times: int) -> Array:
    """[B, H', W', O] -> [B, H' + times - 1, W', times, O]: where each row of blocks had its part in the output."""
    none = (0, 0)
    return jnp.stack([jnp.pad(gradient, (none, (k, times - 1 - k), none, none)) for k in range(times)], axis=3)


convolved_in_strips.defvjp(_forward, _backward)


class Conv(nnx.Module):
    """A convolution, [B, H, W, I] -> [B, H', W', O].

    On a CPU in strips where it fits (`convolved_in_strips`), else XLA's own. That is ten times as slow there inside a
    loop or a conditional of a compiled program as outside of one, which is why the hosted engine calls a regression
    that has convolutions gradient step by gradient step.

    Args:
      inputs, outputs: I and O.
      size: the kernel is ``size`` by ``size``.
      stride: between its places.
      padding: "VALID", or "SAME" for H' = H / stride, rounded up.
      init: how its weights begin (`qtwin.config.option_specs.INIT_NAMES`).
      rngs: draws them.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, padding: str, init: str, rngs: nnx.Rngs):
        self.stride, self.padding = stride, padding
        kernel, bias = initializers(init, size * size * inputs)
        self.kernel = nnx.Param(kernel(rngs.params(), (size, size, inputs, outputs)))
        self.bias = nnx.Param(bias(rngs.params(), (outputs,)))

    def __call__(self, x: Array, dtype: jnp.dtype | None = None) -> Array:
        """Convolves in ``dtype``, or ``x``'s own; bytes are divided by 255."""
        dtype = dtype or x.dtype
        kernel, bias = self.kernel[...], self.bias[...].astype(dtype).reshape(1, 1, 1, -1)
        if self.padding == "VALID" and fits_strips(x, kernel, self.stride) and jax.default_backend() == "cpu":
            kernel = kernel if x.dtype == jnp.uint8 else kernel.astype(dtype)
            return convolved_in_strips(x, kernel, self.stride).astype(dtype) + bias
        return convolved(scaled(x, dtype), kernel.astype(dtype), self.stride, self.padding) + bias


class Mnih(nnx.Module):
    """The two networks of Mnih et al., convolutions and one hidden layer (`LAYERS`)."""

    def __init__(self, env: EnvSpec, named: NetName, outputs: int, init: str, rngs: nnx.Rngs):
        height, width, channels = env.obs_shape
        (layers, units), self.dtype, convs = LAYERS[named.kind], _dtype(named), []
        for filters, size, stride in layers:
            convs.append(Conv(channels, filters, size, stride, "VALID", init, rngs))
            height, width, channels = (height - size) // stride + 1, (width - size) // stride + 1, filters
        self.convs = nnx.List(convs)
        self.dense = dense(height * width * channels, units, init, rngs) if outputs else None
        self.head = dense(units, outputs, init, rngs) if outputs else None

    def __call__(self, obs: Array) -> Array:
        return self.head(self.layers(obs)[-1])

    def layers(self, obs: Array) -> tuple[Array, ...]:
        """What the convolutions end in, and the hidden layer. [B, H, W, D], [B, D]"""
        x = self.encode(obs)
        return x, _layer(self.dense, x.reshape(x.shape[0], -1), self.dtype)

    def encode(self, obs: Array) -> Array:
        """What the last convolution sees, in its places: of 84x84 [B, 7, 7, 64] or [B, 9, 9, 32]."""
        x = jax.nn.relu(self.convs[0](obs, self.dtype))
        for conv in self.convs[1:]:
            x = jax.nn.relu(conv(x))
        return x.astype(jnp.float32)


class Impala(nnx.Module):
    """Espeholt et al. (2018), figure 3 on the right: stages of a convolution, a maximum over 3x3 with stride 2 and two
    residual blocks, with 16, 32 and 32 filters times the name's width; then a ReLU and 256 units."""

    def __init__(self, env: EnvSpec, named: NetName, outputs: int, init: str, rngs: nnx.Rngs):
        (height, width, channels), times = env.obs_shape, named.widths[0]
        self.dtype = _dtype(named)
        stages = []
        for filters in (16 * times, 32 * times, 32 * times):
            stages.append(Stage(channels, filters, init, rngs))
            height, width, channels = -(-height // 2), -(-width // 2), filters
        self.stages = nnx.List(stages)
        self.dense = dense(height * width * channels, 256, init, rngs) if outputs else None
        self.head = dense(256, outputs, init, rngs) if outputs else None

    def __call__(self, obs: Array) -> Array:
        return self.head(self.layers(obs)[-1])

    def layers(self, obs: Array) -> tuple[Array, ...]:
        """What the convolutions end in, and the hidden layer. [B, H, W, D], [B, D]"""
        x = self.encode(obs)
        return x, _layer(self.dense, x.reshape(x.shape[0], -1), self.dtype)

    def encode(self, obs: Array) -> Array:
        """What the last stage sees, in its places: [B, 11, 11, 32] of 84x84."""
        x = scaled(obs, self.dtype)
        for stage in self.stages:
            x = stage(x)
        return jax.nn.relu(x).astype(jnp.float32)


class Stage(nnx.Module):
    """One stage of `Impala`."""

    def __init__(self, inputs: int, filters: int, init: str, rngs: nnx.Rngs):
        def conv(channels: int) -> Conv:
            return Conv(channels, filters, 3, 1, "SAME", init, rngs)

        self.first = conv(inputs)
        self.blocks = nnx.List([nnx.List([conv(filters), conv(filters)]) for _ in range(2)])

    def __call__(self, x: Array) -> Array:
        x = nnx.max_pool(self.first(x), (3, 3), (2, 2), "SAME")
        for first, second in self.blocks:
            x = x + second(jax.nn.relu(first(jax.nn.relu(x))))
        return x


BODIES: dict[str, Callable[..., nnx.Module]] = {"nips": Mnih, "nature": Mnih, "impala": Impala}


def _dtype(named: NetName) -> jnp.dtype:
    return jnp.dtype(named.dtype)


def _layer(layer: nnx.Linear, x: Array, dtype: jnp.dtype) -> Array:
    """A hidden layer with its ReLU, computed in ``dtype``. [B, D] -> [B, D'] float32"""
    y = x.astype(dtype) @ layer.kernel[...].astype(dtype) + layer.bias[...].astype(dtype)[None]
    return jax.nn.relu(y).astype(jnp.float32)
