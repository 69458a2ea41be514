"""NETWORK: the convolutional bodies of Atari, on images [B, H, W, C]."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.lax import optimization_barrier as barrier

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
def convolved_bytes(images: Array, kernel: Array, stride: int) -> Array:
    """`convolved` without padding, of images of bytes / 255; the stride divides S, H and W. For the CPU.

    Most of a gradient step of `Mnih` would go into the gradient of its first kernel. Cut into blocks of ``stride`` by
    ``stride``, the images' patches are put together from whole rows of bytes, once for both directions, and the
    gradient is one product for each image.
    """
    return convolved(scaled(images, kernel.dtype), kernel, stride, "VALID")


def _forward(images: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    (batch, height, width, inputs), size, outputs = images.shape, kernel.shape[0], kernel.shape[3]
    blocks, times, block = (height // stride, width // stride), size // stride, stride * stride * inputs
    rows, columns = blocks[0] - times + 1, blocks[1] - times + 1
    x = images.reshape(batch, blocks[0], stride, blocks[1], stride * inputs)
    x = barrier(jnp.moveaxis(x, 2, 3).reshape(batch, *blocks, block))
    x = barrier(jnp.concatenate([x[:, :, k : k + columns] for k in range(times)], axis=-1))
    x = barrier(jnp.concatenate([x[:, k : k + rows] for k in range(times)], axis=-1))
    patches = barrier(x.astype(kernel.dtype)).reshape(batch, rows * columns, times * times * block)
    out = patches @ (_in_blocks(kernel, stride) / 255)
    return out.reshape(batch, rows, columns, outputs), (patches, kernel)


def _backward(stride: int, kept: tuple[Array, Array], gradient: Array) -> tuple[None, Array]:
    patches, kernel = kept
    size, _, inputs, outputs = kernel.shape
    times = size // stride
    gradient = gradient.reshape(*patches.shape[:2], outputs)
    blocks = jnp.sum(jnp.einsum("bpk,bpo->bok", patches, gradient), axis=0).T / 255
    blocks = blocks.reshape(times, times, stride, stride, inputs, outputs)
    return None, jnp.moveaxis(blocks, 2, 1).reshape(kernel.shape)


def _in_blocks(kernel: Array, stride: int) -> Array:
    """[S, S, I, O] -> [S * S * I, O] in the order of a patch's blocks."""
    size, _, inputs, outputs = kernel.shape
    times = size // stride
    blocks = jnp.moveaxis(kernel.reshape(times, stride, times, stride, inputs, outputs), 2, 1)
    return blocks.reshape(-1, outputs)


convolved_bytes.defvjp(_forward, _backward)


class Conv(nnx.Module):
    """A convolution, [B, H, W, I] -> [B, H', W', O].

    XLA's own: on a CPU ten times as slow inside a loop or a conditional of a compiled program as outside of one, which
    is why the hosted engine calls a regression that has convolutions gradient step by gradient step.

    Args:
      inputs, outputs: I and O.
      size: the kernel is ``size`` by ``size``.
      stride: between its places.
      padding: "VALID", or "SAME" for H' = H / stride, rounded up.
      init: how its weights begin (`qtwin.names.INIT_NAMES`).
      rngs: draws them.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, padding: str, init: str, rngs: nnx.Rngs):
        self.stride, self.padding = stride, padding
        kernel, bias = initializers(init, size * size * inputs)
        self.kernel = nnx.Param(kernel(rngs.params(), (size, size, inputs, outputs)))
        self.bias = nnx.Param(bias(rngs.params(), (outputs,)))

    def __call__(self, x: Array) -> Array:
        kernel, bias = self.kernel[...].astype(x.dtype), self.bias[...].astype(x.dtype)
        return convolved(x, kernel, self.stride, self.padding) + bias.reshape(1, 1, 1, -1)

    def of_bytes(self, images: Array, dtype: jnp.dtype) -> Array:
        """As the call, of images of bytes / 255."""
        kernel, stride = self.kernel[...], self.stride
        fits = not any(side % stride for side in (kernel.shape[0], *images.shape[1:3])) and self.padding == "VALID"
        if images.dtype == jnp.uint8 and fits and jax.default_backend() == "cpu":
            return convolved_bytes(images, kernel, stride).astype(dtype) + self.bias[...].astype(dtype).reshape(
                1, 1, 1, -1
            )
        return self(scaled(images, dtype))


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
        x = jax.nn.relu(self.convs[0].of_bytes(obs, self.dtype))
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
