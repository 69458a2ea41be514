"""The stream: the latest step only, with its reward scaled by running statistics of the rewards."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Replay
from qtwin.types import Array, Timestep


class StreamState(NamedTuple):
    """The latest step, and running statistics of the discounted sum of rewards.

    Attributes:
      step: [1]
      trace: the discounted sum of the rewards of the current episode. []
      count, mean, m2: number of such sums so far, their mean, and the sum of squared deviations from it. []
    """

    step: Timestep
    trace: Array
    count: Array
    mean: Array
    m2: Array


def stream(gamma: float, scale: float) -> Replay:
    """Keeps the latest step, a `Timestep` [1], which is used once and discarded.

    Args:
      gamma: the discount factor.
      scale: factor of the rewards; 0 divides them by the running standard deviation of their discounted sum (Elsayed,
        Vasan & Mahmood 2024, algorithm 6).
    """

    def init(example: Timestep, cycle: Cycle) -> StreamState:
        if (cycle.transitions, cycle.gradient_steps, cycle.warmup) != (1, 1, 0):
            raise Refusal(
                "a stream is learned from step by step, as it comes; write --collect 1 --regress 1 --envs 1 --warmup 0"
            )
        step = jax.tree.map(lambda leaf: jnp.zeros((1, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        return StreamState(step, *(jnp.zeros((), jnp.float32) for _ in range(4)))

    def add(state: StreamState, chunk: Timestep) -> StreamState:
        step = jax.tree.map(lambda leaf: leaf[0], chunk)
        trace = gamma * state.trace * (1.0 - step.last[0]) + step.reward[0]
        count = jnp.minimum(state.count + 1, 2.0**24)
        mean = state.mean + (trace - state.mean) / count
        m2 = jnp.where(count > 1, state.m2 + (trace - state.mean) * (trace - mean), 0.0)
        return StreamState(step, trace, count, mean, m2)

    def sample(state: StreamState, key: Array, number: Array) -> Timestep:
        del key, number
        variance = jnp.where(state.count > 1, state.m2 / jnp.maximum(state.count - 1, 1.0), 1.0)
        factor = jnp.float32(scale) if scale else jax.lax.rsqrt(variance + 1e-8)
        return state.step._replace(reward=state.step.reward * factor)

    return Replay(0, 1, init, add, sample)
