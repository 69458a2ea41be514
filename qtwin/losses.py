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


def quantile_huber(z: Array, y: Array) -> Array:
    """The quantile regression loss of predicted quantiles from samples of the target (Dabney et al. 2018, equation 10).

    rho_tau(u) = |tau - [u < 0]| Huber(u), u = y_k - z_m, tau_m = (m + 1/2) / M; the mean over all.

    Args:
      z: predicted quantiles. [B, M]
      y: the target's. [B, K]
    """
    taus = (jnp.arange(z.shape[1]) + 0.5) / z.shape[1]
    u = y[:, None, :] - z[:, :, None]  # [B, M, K]
    size = jnp.abs(u)
    inside = jnp.minimum(size, 1.0)
    smooth = 0.5 * inside**2 + (size - inside)
    return jnp.mean(jnp.abs(taus[None, :, None] - (u < 0)) * smooth)


def of_critics(name: str, td_error: Array) -> Array:
    """The loss ``name`` of every critic by itself, added up. [E, B] -> []"""
    return sum(LOSSES[name](error) for error in td_error)


LOSSES: dict[str, Callable[[Array], Array]] = {"huber": huber, "mse": mean_squared, "half-mse": squared}
