"""TD targets, which process 3 regresses towards, each with its paper and formula. All are behind a stop-gradient except
the residual target, a control."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from qtwin.types import Array


def max_target(reward: Array, discount: Array, q_next: Array) -> Array:
    """y = r + discount * max_a Qbar(s', a) (Watkins 1989; Mnih et al. 2015, equation 2).

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      q_next: the target network's values of s'. [B, A]

    Returns:
      y. [B]

    Examples:
      >>> import jax.numpy as jnp
      >>> q_next = jnp.array([[1.0, 3.0], [5.0, 4.0]])
      >>> max_target(jnp.array([0.5, 0.5]), jnp.array([0.5, 0.0]), q_next).tolist()  # the second s' is terminal
      [2.0, 0.5]
    """
    _check(reward, discount, q_next)
    return jax.lax.stop_gradient(reward + discount * jnp.max(q_next, axis=-1))


def double_target(reward: Array, discount: Array, q_next: Array, q_next_online: Array) -> Array:
    """y = r + discount * Qbar(s', argmax_a Q(s', a)) (van Hasselt, Guez & Silver 2016, equation 4).

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      q_next: the target network's values of s', which evaluate the action. [B, A]
      q_next_online: the online network's values of s', which select it. [B, A]

    Returns:
      y. [B]

    Examples:
      >>> import jax.numpy as jnp
      >>> ones, target, online = jnp.ones(1), jnp.array([[1.0, 3.0]]), jnp.array([[2.0, 0.0]])
      >>> double_target(ones, ones, target, online).tolist()  # the online network chooses action 0
      [2.0]
    """
    _check(reward, discount, q_next, q_next_online)
    chosen = jnp.argmax(q_next_online, axis=-1)
    value = jnp.take_along_axis(q_next, chosen[:, None], axis=-1)[:, 0]
    return jax.lax.stop_gradient(reward + discount * value)


def value_target(reward: Array, discount: Array, value_next: Array) -> Array:
    """y = r + discount * V(s'), with V(s') evaluated under the policy (Lillicrap et al. 2016, algorithm 1).

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      value_next: V(s'). [B], or [B, K] for the K quantiles of a distribution

    Returns:
      y. [B] or [B, K]
    """
    chex.assert_rank([reward, discount], 1)
    chex.assert_equal_shape([reward, discount])
    chex.assert_rank(value_next, {1, 2})
    chex.assert_equal_shape_prefix([reward, value_next], 1)
    if value_next.ndim == 2:
        reward, discount = reward[:, None], discount[:, None]
    return jax.lax.stop_gradient(reward + discount * value_next)


def munchausen_target(
    reward: Array,
    discount: Array,
    q_next: Array,
    q_here: Array,
    action: Array,
    alpha: float = 0.9,
    tau: float = 0.03,
    least: float = -1.0,
) -> Array:
    """y = r + alpha [tau log pi(a | s)]_l0^0 + discount * sum_a' pi(a' | s') (Qbar(s', a') - tau log pi(a' | s')), pi
    the softmax of Qbar / tau (Vieillard, Pietquin & Geist 2020, section 3, with the clipping of section 4.1).

    With alpha 0 this is the target of soft Q-learning, which tends to `max_target` as tau goes to 0.

    Args:
      reward: of one step; n-step returns are not supported, as the bonus is known for the first action only. [B]
      discount: gamma, or 0 where s' is terminal. [B]
      q_next: the target network's values of s'. [B, A]
      q_here: the target network's values of s. [B, A]
      action: a. [B] int32
      alpha: coefficient of the scaled log-policy that is added to the reward.
      tau: the temperature, positive.
      least: l0, the lower bound to which tau log pi(a | s) is clipped.

    Returns:
      y. [B]
    """
    _check(reward, discount, q_next, q_here)
    chex.assert_shape(action, reward.shape)
    log_pi, log_pi_next = tau * jax.nn.log_softmax(q_here / tau), tau * jax.nn.log_softmax(q_next / tau)
    bonus = alpha * jnp.clip(q_of_action(log_pi, action), least, 0.0)
    value = jnp.sum(jnp.exp(log_pi_next / tau) * (q_next - log_pi_next), axis=-1)
    return jax.lax.stop_gradient(reward + bonus + discount * value)


def minto_target(
    reward: Array, discount: Array, q_next: Array, q_next_online: Array, how: str = "min", key: Any = None
) -> Array:
    """y = r + discount * max_a min(Q, Qbar)(s', a) (Hendawy et al. 2025, "Use the online network if you can").

    The controls in the paper replace the smaller value by the larger, by the mean, or by one of the two at random.

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      q_next: the target network's values of s'. [B, A]
      q_next_online: the online network's. [B, A]
      how: "min", "max", "mean" or "random".
      key: for "random", which draws once per transition.

    Returns:
      y. [B]
    """
    _check(reward, discount, q_next, q_next_online)
    match how:
        case "min":
            q = jnp.minimum(q_next, q_next_online)
        case "max":
            q = jnp.maximum(q_next, q_next_online)
        case "mean":
            q = (q_next + q_next_online) / 2
        case _:
            q = jnp.where(jax.random.bernoulli(key, shape=(q_next.shape[0], 1)), q_next, q_next_online)
    return max_target(reward, discount, q)


def maxmin_target(reward: Array, discount: Array, q_next: Array) -> Array:
    """y = r + discount * max_a min_k Qbar_k(s', a) (Lan et al. 2020, "Maxmin Q-learning", equation 2).

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      q_next: K target networks' values of s'. [K, B, A]

    Returns:
      y. [B]
    """
    chex.assert_rank(q_next, 3)
    return max_target(reward, discount, jnp.min(q_next, axis=0))


def mellowmax_target(reward: Array, discount: Array, q_next: Array, sharpness: float) -> Array:
    """y = r + discount * log(mean_a exp(w Q(s', a))) / w (Asadi & Littman 2017; Kim et al. 2019, equation 4).

    A soft maximum between the mean (w -> 0) and the maximum (w -> infinity); it is a non-expansion.

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      q_next: values of s'. [B, A]
      sharpness: w, positive.

    Returns:
      y. [B]
    """
    _check(reward, discount, q_next)
    value = (jax.nn.logsumexp(sharpness * q_next, axis=-1) - jnp.log(q_next.shape[-1])) / sharpness
    return jax.lax.stop_gradient(reward + discount * value)


def residual_target(reward: Array, discount: Array, q_next_online: Array) -> Array:
    """y = r + discount * max_a Q(s', a), the only target here without a stop-gradient (Baird 1995, section 4).

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      q_next_online: the online network's values of s'. [B, A]

    Returns:
      y. [B]
    """
    _check(reward, discount, q_next_online)
    return reward + discount * jnp.max(q_next_online, axis=-1)


def lambda_returns(reward: Array, discount: Array, value_next: Array, last: Array, trace: float) -> Array:
    """y_t = r_t + discount_t ((1 - lambda) V(s_{t+1}) + lambda y_{t+1}), backwards through a chunk (Sutton 1988).

    With V = max_a Q this is the return of Peng & Williams (1994) and of PQN (Gallici et al. 2024, equation 16).

    At the end of the chunk, and where an episode was truncated, y_{t+1} is V(s_{t+1}).

    Args:
      reward: [T, N]
      discount: gamma, or 0 where s_{t+1} is terminal. [T, N]
      value_next: V(s_{t+1}), of the true next states. [T, N]
      last: the episode ended with this step. [T, N] bool
      trace: lambda; 0 is the one-step target.

    Returns:
      y. [T, N]

    Examples:
      >>> import jax.numpy as jnp
      >>> rewards, discounts = jnp.ones((3, 1)), jnp.full((3, 1), 0.5)
      >>> values, last = jnp.full((3, 1), 4.0), jnp.array([[False], [True], [False]])
      >>> lambda_returns(rewards, discounts, values, last, trace=1.0)[:, 0].tolist()  # the second step ends an episode
      [2.5, 3.0, 3.0]
    """
    chex.assert_rank([reward, discount, value_next, last], 2)
    chex.assert_equal_shape([reward, discount, value_next, last])

    def back(after: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, discount, value, last = step
        y = reward + discount * ((1 - trace) * value + trace * jnp.where(last, value, after))
        return y, y

    columns = (reward, discount, value_next, last)
    return jax.lax.stop_gradient(jax.lax.scan(back, value_next[-1], columns, reverse=True)[1])


def q_of_action(q: Array, action: Array) -> Array:
    """The values of the actions taken: q [B, A], action [B] -> [B]

    Selected with a mask rather than an index: the gradient of an indexed read is a scatter, which a CPU executes one
    row at a time.

    Examples:
      >>> import jax.numpy as jnp
      >>> q_of_action(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0])).tolist()
      [2.0, 3.0]
    """
    chex.assert_rank([q, action], [2, 1])
    chex.assert_equal_shape_prefix([q, action], 1)
    mask = jax.lax.broadcasted_iota(action.dtype, q.shape, 1) == action[:, None]
    return jnp.sum(jnp.where(mask, q, 0.0), axis=-1)


def _check(reward: Array, discount: Array, *values: Array) -> None:
    """Check the shapes of a batch: rewards and discounts [B], values [B, A]."""
    chex.assert_rank([reward, discount], 1)
    chex.assert_equal_shape([reward, discount])
    chex.assert_rank(list(values), 2)
    chex.assert_equal_shape(list(values))
    chex.assert_equal_shape_prefix([reward, values[0]], 1)
