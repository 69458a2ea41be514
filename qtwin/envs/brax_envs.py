"""Environments of Brax, through the one contract: rigid bodies in JAX, fused with the rest of the cycle."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.types import Array


class BraxState(NamedTuple):
    """Where an episode stands: Brax's own state, and the steps since its beginning. [] int32"""

    body: Any
    steps: Array


def brax_env(spec: EnvSpec, name: str) -> JaxEnv:
    """The Brax environment ``name``, with its default physics, as a `JaxEnv`.

    Brax's actions are in [-1, 1] already. Its own wrappers begin every episode of a run in the same few states; here
    each begins in a state drawn for it, which costs a reset's computation at every step.

    Args:
      spec: its entry in the catalogue; its time limit cuts episodes.
      name: Brax's own id.
    """
    try:
        from brax import envs
    except ImportError as error:
        raise Refusal(
            f"{spec.id} needs brax, which cannot be imported ({error}); write pip install 'qtwin[brax]'"
        ) from None

    env = envs.get_environment(name)

    def reset(key: Array) -> tuple[BraxState, Array]:
        # Brax adds arrays of different ranks, whatever the rule in this process.
        with jax.numpy_rank_promotion("allow"):
            body = env.reset(key)
        body = jax.tree.map(jnp.asarray, body)
        return BraxState(body, jnp.int32(0)), body.obs

    def step(key: Array, state: BraxState, action: Array) -> tuple[BraxState, Array, Outcome]:
        with jax.numpy_rank_promotion("allow"):
            body = env.step(state.body, jnp.clip(action, -1.0, 1.0))
        fresh, fresh_obs = reset(key)
        steps = state.steps + 1
        terminated = body.done > 0
        last = terminated | (steps >= spec.time_limit)
        outcome = Outcome(
            reward=jnp.asarray(body.reward, jnp.float32).reshape(()),
            discount=1.0 - terminated.astype(jnp.float32).reshape(()),
            next_obs=body.obs,
            last=last.reshape(()),
        )
        after = jax.tree.map(lambda new, old: jnp.where(last, new, old), fresh, BraxState(body, steps))
        return after, jnp.where(last, fresh_obs, body.obs), outcome

    return JaxEnv(spec, reset, step)
