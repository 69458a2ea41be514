"""TD targets: what process 3 regresses towards. Paper and formula each; no gradient passes through any of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.types import Array


def max_target(reward: Array, discount: Array, q_next: Array) -> Array:
    """y = r + discount * max_a Qbar(s', a) (Watkins 1989; Mnih et al. 2015, equation 2).

    Args:
      reward: [B]
      discount: gamma**n, and 0 where s' is terminal. [B]
      q_next: the target network's values of s'. [B, A]

    Returns:
      y. [B]
    """
    return jax.lax.stop_gradient(reward + discount * jnp.max(q_next, axis=-1))


def double_target(reward: Array, discount: Array, q_next: Array, q_next_online: Array) -> Array:
    """y = r + discount * Qbar(s', argmax_a Q(s', a)) (van Hasselt, Guez & Silver 2016, equation 4).

    Args:
      reward: [B]
      discount: gamma**n, and 0 where s' is terminal. [B]
      q_next: the target network's values of s', which value the action. [B, A]
      q_next_online: the online network's values of s', which choose it. [B, A]

    Returns:
      y. [B]
    """
    chosen = jnp.argmax(q_next_online, axis=-1)
    value = jnp.take_along_axis(q_next, chosen[:, None], axis=-1)[:, 0]
    return jax.lax.stop_gradient(reward + discount * value)


def value_target(reward: Array, discount: Array, value_next: Array) -> Array:
    """y = r + discount * V(s'), for a policy that says how much s' is worth (Lillicrap et al. 2016, algorithm 1).

    Args:
      reward: [B]
      discount: gamma**n, and 0 where s' is terminal. [B]
      value_next: V(s'). [B], or [B, K] for the K quantiles of a distribution

    Returns:
      y. [B] or [B, K]
    """
    if value_next.ndim == 2:
        reward, discount = reward[:, None], discount[:, None]
    return jax.lax.stop_gradient(reward + discount * value_next)


def taken(q: Array, action: Array) -> Array:
    """The values of the actions that were taken: q [B, A], action [B] -> [B]

    Picked by a mask rather than by index: the gradient of an indexed read is a scatter, which a CPU does one row at a
    time.
    """
    mask = jax.lax.broadcasted_iota(action.dtype, q.shape, 1) == action[:, None]
    return jnp.sum(jnp.where(mask, q, 0.0), axis=-1)
