"""NETWORK: encoders of images, and the small heads that stand behind them, for Siamese networks."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.nets.bodies import Conv3x3
from qtwin.nets.initial import dense
from qtwin.nets.names import encoder_choice
from qtwin.nets.net import Net, from_nnx, side_by_side
from qtwin.nets.norms import BatchNorm
from qtwin.types import Array, PyTree, Variables

# Of batch norms: torch's own, with which the papers were written. Its running variance is the unbiased one, too.
MOMENTUM, EPSILON = 0.9, 1e-5


def encoder_network(image_shape: tuple[int, int, int], name: str) -> tuple[Net, int]:
    """The encoder that ``name`` asks for: images [B, H, W, C] in [0, 1] -> features [B, D]; and D.

    Args:
      image_shape: [H, W, C].
      name: ``conv:WIDTH,WIDTH,...`` or ``resnet18``.
    """
    widths = encoder_choice(name, image_shape)
    if name == "resnet18":
        return from_nnx(lambda rngs: ResNet18(image_shape[2], rngs)), widths[-1]
    return from_nnx(lambda rngs: Convolutions(image_shape[2], widths, rngs)), widths[-1]


def head_network(inputs: int, widths: tuple[int, ...], hidden_norm: bool, output_norm: bool) -> Net:
    """Fully connected layers, [B, inputs] -> [B, widths[-1]]: a projector or a predictor.

    Args:
      inputs: features that come in.
      widths: of the layers; hidden ones are followed by a ReLU.
      hidden_norm: batch norm before each ReLU.
      output_norm: batch norm on the output, without scale and bias (Chen & He 2021, section 3).
    """
    return from_nnx(lambda rngs: Head(inputs, widths, hidden_norm, output_norm, rngs))


def in_a_row(**nets: Net) -> Net:
    """Networks one after another, which stand by name in ``params = {"encoder": ..., "projector": ..., ...}``.

    Returns:
      a `Net` whose ``learn`` gives back all statistics, those of other parts as they were.
    """

    def apply(variables: Variables, x: Array) -> Array:
        for name, net in nets.items():
            x = net.apply(variables.part(name), x)
        return x

    def learn(variables: Variables, x: Array, key: Array) -> tuple[Array, PyTree]:
        stats = variables.stats
        for name, net in nets.items():
            x, new = net.learn(variables.part(name), x, key)
            stats = {**stats, name: new} if new else stats
        return x, stats

    return Net(side_by_side(**nets), apply, learn)


def on_both(net: Net) -> Callable[[Variables, tuple[Array, Array], Array], tuple[tuple[Array, Array], PyTree]]:
    """``(variables, (first, second), key) -> ((out, out), stats)``: a pass for each view, normalised by its own batch.

    The running statistics take in the first view, then the second, as where a module is called twice.
    """

    def learn(variables: Variables, views: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], PyTree]:
        first, stats = net.learn(variables, views[0], key)
        second, stats = net.learn(Variables(variables.params, stats), views[1], key)
        return (first, second), stats

    return learn


class Convolutions(nnx.Module):
    """3x3 convolutions of stride 2 with batch norm and ReLU, then the mean over what is left of the image."""

    def __init__(self, channels: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        sizes = (channels, *widths)
        self.convs = nnx.List([_conv(i, o, 2, rngs) for i, o in itertools.pairwise(sizes)])
        self.norms = nnx.List([_norm(o) for o in widths])

    def __call__(self, x: Array) -> Array:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.relu(norm(conv(x)))
        return jnp.mean(x, axis=(1, 2))


class Block(nnx.Module):
    """Two 3x3 convolutions and what went in (He et al. 2016, figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs):
        self.first, self.second = _conv(inputs, outputs, stride, rngs), _conv(outputs, outputs, 1, rngs)
        self.norms = nnx.List([_norm(outputs), _norm(outputs)])
        self.stride = stride
        changed = inputs != outputs or stride != 1
        self.shortcut = nnx.Linear(inputs, outputs, use_bias=False, rngs=rngs) if changed else None
        self.shortcut_norm = _norm(outputs) if changed else None

    def __call__(self, x: Array) -> Array:
        out = jax.nn.relu(self.norms[0](self.first(x)))
        out = self.norms[1](self.second(out))
        if self.shortcut is not None:
            x = self.shortcut_norm(self.shortcut(x[:, :: self.stride, :: self.stride]))
        return jax.nn.relu(out + x)


class ResNet18(nnx.Module):
    """ResNet-18 as it is used on CIFAR-10: a 3x3 stem of stride 1 and no pooling (Chen & He 2021, appendix D)."""

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.stem, self.norm = _conv(channels, 64, 1, rngs), _norm(64)
        blocks, inputs = [], 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [Block(inputs, outputs, stride, rngs), Block(outputs, outputs, 1, rngs)]
            inputs = outputs
        self.blocks = nnx.List(blocks)

    def __call__(self, x: Array) -> Array:
        x = jax.nn.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return jnp.mean(x, axis=(1, 2))


class Head(nnx.Module):
    """Fully connected layers with ReLU between (`head_network`)."""

    def __init__(self, inputs: int, widths: tuple[int, ...], hidden_norm: bool, output_norm: bool, rngs: nnx.Rngs):
        self.layers = nnx.List([dense(i, o, "torch", rngs) for i, o in itertools.pairwise((inputs, *widths))])
        self.norms = nnx.List([_norm(o) for o in widths[:-1]]) if hidden_norm else None
        self.last_norm = _norm(widths[-1], affine=False) if output_norm else None

    def __call__(self, x: Array) -> Array:
        for i, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            x = jax.nn.relu(x if self.norms is None else self.norms[i](x))
        x = self.layers[-1](x)
        return x if self.last_norm is None else self.last_norm(x)


def _norm(features: int, affine: bool = True) -> BatchNorm:
    return BatchNorm(features, False, MOMENTUM, EPSILON, affine, unbiased=True)


def _conv(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> Conv3x3:
    return Conv3x3(inputs, outputs, "lecun", rngs, stride, padding=1, bias=False)
