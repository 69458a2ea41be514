"""Sequences: what followed a transition in its own episode, read where the steps already lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from qtwin.types import Array, Timestep, Transition


class Sequences(NamedTuple):
    """A batch of transitions, each with the K steps that begin at it.

    Attributes:
      transition: what the regression learns from. [B]
      obs: s_t, s_{t+1}, ..., s_{t+K}, the true ones: where an episode ends, its last observation. [B, K+1, *obs_shape]
      action: a_t, ..., a_{t+K-1}. [B, K] int32
      mask: 1 where s_{t+k+1} was still reached in the same episode; past its end 0, and ``obs`` and ``action`` are
        other episodes' there. [B, K] float32
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
    """Reads the steps that follow ``slots``: nothing is stored for it.

    Args:
      transition: what starts at ``slots``. [B]
      data: the stored steps, flat. [C]
      slots: [B] int32
      successor: ``(slots [B], k) -> slots [B]`` of the same environments' steps k later; the slot itself where the next
        step never came.
      steps: K, at least 1.
      next_obs: ``slots [B, K] -> next_obs [B, K, *obs_shape]`` where ``data`` does not hold them.
    """
    observed = next_obs or (lambda here: data.next_obs[here])
    here = jnp.stack([successor(slots, k) for k in range(steps)], axis=1)
    came = (here[:, 1:] != here[:, :-1]) & ~data.last[here[:, :-1]]
    running = jnp.cumprod(came.astype(jnp.float32), axis=1)
    mask = jnp.concatenate([jnp.ones((slots.shape[0], 1), jnp.float32), running], axis=1)
    obs = jnp.concatenate([transition.obs[:, None], observed(here)], axis=1)
    return Sequences(transition, obs, data.action[here], mask)
