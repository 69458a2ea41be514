"""n-step transitions, assembled when they are sampled (Sutton 1988; Hessel et al. 2018, section 3)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qtwin.types import Array, Timestep, Transition


def n_step_transition(
    data: Timestep, slots: Array, successor: Callable[[Array, int], Array], n_step: int, gamma: float
) -> Transition:
    """Reads the n-step transitions that start at ``slots``.

    reward = sum_k gamma**k r_k up to the n-th step or the end of the episode, whichever comes first; ``next_obs`` is
    the observation after it; discount = gamma**steps, or 0 if that observation is terminal. A truncated episode is
    bootstrapped from its final observation.

    Args:
      data: the stored steps, flat. [C]
      slots: where the transitions start. [B] int32
      successor: ``(slots [B], k) -> slots [B]`` of the same environments' steps k steps later.
      n_step: n, at least 1.
      gamma: the discount factor.
    """
    if n_step == 1:
        rows = jax.tree.map(lambda column: column[slots], data)
        return Transition(rows.obs, rows.action, rows.reward, gamma * rows.discount, rows.next_obs)
    reward = jnp.zeros(slots.shape, jnp.float32)
    discount, end, running = reward, slots, jnp.ones(slots.shape, bool)
    for k in range(n_step):
        here = successor(slots, k)
        reward = reward + jnp.where(running, gamma**k * data.reward[here], 0.0)
        discount = jnp.where(running, gamma ** (k + 1) * data.discount[here], discount)
        end = jnp.where(running, here, end)
        running = running & ~data.last[here]
    return Transition(data.obs[slots], data.action[slots], reward, discount, data.next_obs[end])
