"""What stands for an environment in Python where nothing is collected."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from qtwin.envs.base import HostEnv, JaxEnv, Outcome


def nowhere(make_env: Callable[[int], HostEnv]) -> JaxEnv:
    """Stands for an environment in Python where nothing is collected: its shapes, and nothing that happens."""
    env = make_env(1)
    spec = env.spec
    env.close()
    obs = jnp.zeros(spec.obs_shape, spec.obs_dtype)
    ended = Outcome(jnp.float32(0.0), jnp.float32(0.0), obs, jnp.bool_(True))
    return JaxEnv(spec, lambda key: ((), obs), lambda key, state, action: ((), obs, ended))
