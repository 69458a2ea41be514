"""Sequences: transitions with the steps that follow them in the same episode, read from the stored steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from qtwin.types import Array, Timestep, Transition


class Sequences(NamedTuple):
    """A batch of transitions, each with the K steps that start at it.

    Attributes:
      transition: the transitions of the regression. [B]
      obs: s_t, s_{t+1}, ..., s_{t+K}, including the final observation of an episode. [B, K+1, *obs_shape]
      action: a_t, ..., a_{t+K-1}. [B, K] int32
      mask: 1 where s_{t+k+1} belongs to the same episode; 0 after its end, where ``obs`` and ``action`` may be of
        another episode. [B, K] float32
    """

    transition: Transition
    obs: Array
    action: Array
    mask: Array


def with_sequence(
    transition: Transition,
    data: Timestep,
    slots: Array,
    successor: Callable[[Array, int], Array],
    steps: int,
    next_obs: Callable[[Array], Array] | None = None,
) -> Sequences:
    """Adds the steps that follow ``slots`` to the transitions, without storing anything in addition.

    Args:
      transition: the transitions that start at ``slots``. [B]
      data: the stored steps, flat. [C]
      slots: [B] int32
      successor: ``(slots [B], k) -> slots [B]`` of the same environments' steps k steps later; the slot itself if there
        is no next step.
      steps: K, at least 1.
      next_obs: ``slots [B, K] -> next_obs [B, K, *obs_shape]``, if ``data`` does not contain them.
    """
    observed = next_obs or (lambda here: data.next_obs[here])
    here = jnp.stack([successor(slots, k) for k in range(steps)], axis=1)
    came = (here[:, 1:] != here[:, :-1]) & ~data.last[here[:, :-1]]
    running = jnp.cumprod(came.astype(jnp.float32), axis=1)
    mask = jnp.concatenate([jnp.ones((slots.shape[0], 1), jnp.float32), running], axis=1)
    obs = jnp.concatenate([transition.obs[:, None], observed(here)], axis=1)
    return Sequences(transition, obs, data.action[here], mask)
