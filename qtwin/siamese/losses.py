"""Losses of Siamese networks, paper and formula each. No gradient passes through what comes from the target."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.types import Array


def normalised(x: Array) -> Array:
    """Rows of length 1: x [..., D] -> [..., D]; a row of zeros stays one, with a gradient of zero."""
    squared = jnp.sum(x**2, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squared, 1e-24))


def cosine(prediction: Array, target: Array, stop_gradient: bool = True) -> Array:
    """cos(p, sg z), row by row. p [B, D], z [B, D] -> [B]; without ``stop_gradient`` cos(p, z), SimSiam's ablation."""
    target = jax.lax.stop_gradient(target) if stop_gradient else target
    return jnp.sum(normalised(prediction) * normalised(target), axis=-1)


def agreement(
    p: tuple[Array, Array], z: tuple[Array, Array], symmetric: bool = True, stop_gradient: bool = True
) -> Array:
    """How well each view's prediction meets the other view's projection, image by image.

    (cos(p1, sg z2) + cos(p2, sg z1)) / 2, or cos(p1, sg z2) alone: minus SimSiam's loss (Chen & He 2021, equation 2).

    Args:
      p: the online network's predictions from the first and the second view. 2 x [B, D]
      z: the target network's projections of them. 2 x [B, D]
      symmetric: both, or the first view's alone.
      stop_gradient: False lets the gradient through to z.

    Returns:
      between -1 and 1. [B]
    """
    first = cosine(p[0], z[1], stop_gradient)
    return (first + cosine(p[1], z[0], stop_gradient)) / 2 if symmetric else first


def info_nce(query: Array, key: Array, queue: Array, temperature: float) -> Array:
    """L = -log(exp(q k+ / T) / (exp(q k+ / T) + sum_i exp(q k_i / T))) (He et al. 2020, equation 1).

    Args:
      query: the online network's, q. [B, D]
      key: the momentum encoder's of the other view, k+. [B, D]
      queue: keys of earlier batches, which count as unlike. [K, D]
      temperature: T.

    Returns:
      the mean over the batch. []
    """
    q = normalised(query)
    like = cosine(query, key)[:, None]
    unlike = q @ normalised(jax.lax.stop_gradient(queue)).T
    logits = jnp.concatenate([like, unlike], axis=1) / temperature
    return -jnp.mean(jax.nn.log_softmax(logits)[:, 0])


def nt_xent(z1: Array, z2: Array, temperature: float) -> Array:
    """The normalised temperature-scaled cross entropy (Chen et al. 2020, equation 1), both twins learning.

    Each view's other view is to be told from the 2B - 2 views of other images.

    Args:
      z1, z2: projections of the two views. [B, D]
      temperature: T.
    """
    z = normalised(jnp.concatenate([z1, z2]))
    size = z.shape[0]
    similar = z @ z.T / temperature
    itself = jnp.eye(size, dtype=bool)
    log_prob = jax.nn.log_softmax(jnp.where(itself, -jnp.inf, similar))
    other = jnp.roll(jnp.arange(size), size // 2)
    return -jnp.mean(jnp.take_along_axis(log_prob, other[:, None], axis=1))
