"""NETWORK: what rolls a latent forward by an action, and the heads that compare latents."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.nets.bodies import Conv3x3
from qtwin.nets.initial import dense
from qtwin.nets.net import Net, from_functions, from_nnx
from qtwin.types import Array


def latent_model(latent: tuple[int, ...], actions: int, init: str) -> Net:
    """h: (z [B, *latent], action [B] int32) -> the next z [B, *latent], at least 0 (SPR, Schwarzer et al. 2021).

    Two layers as wide as the latent: 3x3 convolutions with a plane for each action where the latent has places, fully
    connected with the action one-hot where it is a vector.

    Args:
      latent: a latent's shape, [H, W, C] or [D].
      actions: A.
      init: how its weights begin (`qtwin.config.option_specs.INIT_NAMES`).
    """
    return from_nnx(lambda rngs: LatentModel(latent, actions, init, rngs))


def linear(inputs: int, outputs: int, init: str) -> Net:
    """x [B, I] -> x W + b [B, O]"""
    return from_nnx(lambda rngs: dense(inputs, outputs, init, rngs))


def normed_linear(inputs: int, outputs: int, init: str) -> Net:
    """x [B, I] -> layer norm of x W + b [B, O], the end of CURL's encoder (Laskin et al. 2020)."""
    return from_nnx(lambda rngs: nnx.Sequential(dense(inputs, outputs, init, rngs), nnx.LayerNorm(outputs, rngs=rngs)))


def bilinear(width: int) -> Net:
    """x [B, D] -> x W [B, D], with W uniform in [0, 1) to begin with, as CURL's released code has it."""
    return from_functions(
        lambda key: {"kernel": jax.random.uniform(key, (width, width))}, lambda params, x: x @ params["kernel"]
    )


class LatentModel(nnx.Module):
    """See `latent_model`: a layer, ReLU, batch normalisation, a layer, ReLU, in SPR's order.

    The model never runs outside of a loss, so the batch's own statistics are all that its normalisation needs. XLA's
    own convolution, though quicker by itself, takes eight times as long inside the engine's loop on a CPU.
    """

    def __init__(self, latent: tuple[int, ...], actions: int, init: str, rngs: nnx.Rngs):
        self.actions, width = actions, latent[-1]
        if len(latent) == 3:
            self.first = Conv3x3(width + actions, width, init, rngs, padding=1)
            self.second = Conv3x3(width, width, init, rngs, padding=1)
        else:
            self.first = dense(width + actions, width, init, rngs)
            self.second = dense(width, width, init, rngs)
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, inputs: tuple[Array, Array]) -> Array:
        z, action = inputs
        chosen = jax.nn.one_hot(action, self.actions).reshape(-1, *[1] * (z.ndim - 2), self.actions)
        planes = jnp.broadcast_to(chosen, (*z.shape[:-1], self.actions))
        x = jax.nn.relu(self.first(jnp.concatenate([z, planes], axis=-1)))
        rest = tuple(range(x.ndim - 1))
        mean, var = jnp.mean(x, axis=rest, keepdims=True), jnp.var(x, axis=rest, keepdims=True)
        scale, bias = (p[...].reshape(*[1] * (x.ndim - 1), -1) for p in (self.scale, self.bias))
        x = (x - mean) * jax.lax.rsqrt(var + 1e-5) * scale + bias
        return jax.nn.relu(self.second(x))
