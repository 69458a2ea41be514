"""Losses on the TD error, by name; each [B] -> []."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from qtwin.types import Array


def squared(td_error: Array) -> Array:
    """Mean of half the squared TD error, so that its gradient is the mean TD error. [B] -> []"""
    return 0.5 * jnp.mean(td_error**2)


def mean_squared(td_error: Array) -> Array:
    """Mean squared TD error, as CleanRL and torch's ``mse_loss`` have it: twice `squared`. [B] -> []"""
    return jnp.mean(td_error**2)


def huber(td_error: Array) -> Array:
    """Huber loss with threshold 1: half the square up to 1, then linear (Mnih et al. 2015: "clip the error term").

    [B] -> []
    """
    size = jnp.abs(td_error)
    inside = jnp.minimum(size, 1.0)
    return jnp.mean(0.5 * inside**2 + (size - inside))


LOSSES: dict[str, Callable[[Array], Array]] = {"huber": huber, "mse": mean_squared, "half-mse": squared}
