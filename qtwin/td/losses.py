"""Losses on the TD error, by name; each maps [B] -> []."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax.numpy as jnp

from qtwin.types import Array


def squared(td_error: Array) -> Array:
    """Mean of half the squared TD error, so that its gradient is the mean TD error. [B] -> []"""
    return jnp.mean(EACH["half-mse"](td_error))


def mean_squared(td_error: Array) -> Array:
    """Mean squared TD error, as in CleanRL and torch's ``mse_loss``: twice `squared`. [B] -> []"""
    return jnp.mean(EACH["mse"](td_error))


def huber(td_error: Array) -> Array:
    """Huber loss with threshold 1: half the square up to 1, then linear (Mnih et al. 2015: "clip the error term").

    [B] -> []
    """
    return jnp.mean(smooth(td_error))


def smooth(error: Array) -> Array:
    """The Huber loss of each error: half the square up to 1, then linear. [...] -> [...]"""
    size = jnp.abs(error)
    inside = jnp.minimum(size, 1.0)
    return 0.5 * inside**2 + (size - inside)


def mean_over(each: Array, weight: Array | None) -> Array:
    """The mean of the losses of a batch, each multiplied by its importance weight (Schaul et al. 2016, algorithm 1).

    [B], [B] or None -> []
    """
    return jnp.mean(each if weight is None else each * weight)


def regression(name: str, td_error: Array, weight: Array | None = None) -> Array:
    """The regression loss of a batch.

    Args:
      name: "huber", "mse" or "half-mse".
      td_error: target minus prediction. [B]
      weight: importance weights of the transitions; None weights all equally. [B]

    Returns:
      the mean. []

    Examples:
      >>> import jax.numpy as jnp
      >>> errors = jnp.array([0.5, 3.0])
      >>> [float(regression(name, errors)) for name in ("mse", "half-mse", "huber")]
      [4.625, 2.3125, 1.3125]
    """
    chex.assert_rank(td_error, 1)
    if weight is not None:
        chex.assert_equal_shape([td_error, weight])
    return mean_over(EACH[name](td_error), weight)


def quantile_huber(z: Array, y: Array) -> Array:
    """The quantile Huber loss of predicted quantiles against samples of the target (Dabney et al. 2018, equation 10).

    rho_tau(u) = |tau - [u < 0]| Huber(u), u = y_k - z_m, tau_m = (m + 1/2) / M; the mean over B, M and K.

    Args:
      z: predicted quantiles. [B, M]
      y: samples, or quantiles, of the target. [B, K]
    """
    chex.assert_rank([z, y], 2)
    chex.assert_equal_shape_prefix([z, y], 1)
    taus = (jnp.arange(z.shape[1]) + 0.5) / z.shape[1]
    u = y[:, None, :] - z[:, :, None]  # [B, M, K]
    return jnp.mean(jnp.abs(taus[None, :, None] - (u < 0)) * smooth(u))


def of_critics(name: str, td_error: Array) -> Array:
    """The sum over critics of the loss ``name``. [E, B] -> []"""
    chex.assert_rank(td_error, 2)
    return sum(LOSSES[name](error) for error in td_error)


EACH: dict[str, Callable[[Array], Array]] = {  # [B] -> [B]
    "huber": smooth,
    "mse": lambda td_error: td_error**2,
    "half-mse": lambda td_error: 0.5 * td_error**2,
}
LOSSES: dict[str, Callable[[Array], Array]] = {"huber": huber, "mse": mean_squared, "half-mse": squared}
