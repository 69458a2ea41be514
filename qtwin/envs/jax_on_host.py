"""An environment written in JAX, stepped from Python: the hosted engine's way to it."""

from __future__ import annotations

import jax
import numpy as np

from qtwin import rng
from qtwin.envs.base import HostEnv, JaxEnv, Outcome
from qtwin.rng import RESET, STEP, stream
from qtwin.types import Array, PyTree


class JaxOnHost:
    """N environments written in JAX behind the contract of those in Python, with the fused engine's own draws."""

    def __init__(self, env: JaxEnv, envs: int):
        self.spec, self.num_envs = env.spec, envs
        self._begin = jax.jit(lambda key: jax.vmap(env.reset)(jax.random.split(stream(key, RESET, 0), envs)))

        def step(key: Array, count: Array, state: PyTree, actions: Array) -> tuple[PyTree, Array, Outcome]:
            return jax.vmap(env.step)(jax.random.split(stream(key, STEP, count), envs), state, actions)

        self._step = jax.jit(step)

    def reset(self, seed: int) -> Array:
        self._key, self._count = rng.root(np.uint32(seed)), 0
        self._state, obs = self._begin(self._key)
        return np.asarray(obs)

    def step(self, actions: Array) -> tuple[Array, Outcome, None]:
        self._state, obs, outcome = self._step(self._key, np.int32(self._count), self._state, actions)
        self._count += 1
        return np.asarray(obs), Outcome(*map(np.asarray, outcome)), None

    def close(self) -> None:
        self._state = None


def host_of(env: JaxEnv, envs: int) -> HostEnv:
    """An environment written in JAX for the hosted engine: ``reset(seed)`` and the steps that follow draw exactly what
    the fused engine draws for that seed.

    Args:
      env: one environment.
      envs: how many of them.
    """
    return JaxOnHost(env, envs)
