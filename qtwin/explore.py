"""Exploration: how a value function acts, and how epsilon falls."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qtwin.names import explore_choice
from qtwin.rng import integers
from qtwin.types import Array


def epsilon_greedy(q: Array, epsilon: Array, key: Array) -> Array:
    """With probability epsilon a uniformly random action, else the greedy one (the first of equals).

    Args:
      q: action values. [N, A]
      epsilon: []
      key: a key for this call alone.

    Returns:
      actions. [N] int32
    """
    which, what = jax.random.split(key)
    greedy = jnp.argmax(q, axis=-1).astype(jnp.int32)
    random = integers(what, greedy.shape, q.shape[-1])
    return jnp.where(jax.random.uniform(which, greedy.shape) < epsilon, random, greedy)


def linear(start: float, end: float, over: int) -> Callable[[Array], Array]:
    """Epsilon falls in a straight line from ``start`` to ``end`` over the first ``over`` transitions, then stays."""

    def epsilon(transitions: Array) -> Array:
        done = jnp.minimum(transitions / max(over, 1), 1.0)
        return jnp.float32(start) + jnp.float32(end - start) * done

    return epsilon


def constant(value: float) -> Callable[[Array], Array]:
    """Epsilon stays at ``value``."""
    return lambda transitions: jnp.float32(value)


def parse(spec: str, steps: int) -> Callable[[Array], Array]:
    """The schedule that ``START:END:OVER`` asks for, with a budget of ``steps`` transitions."""
    start, end, over = explore_choice(spec, steps)
    return linear(start, end, over) if over else constant(end)
