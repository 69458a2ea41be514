"""Environments of envpool, through the one contract. To import envpool is to import JAX, so only these functions do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from gymnasium.vector import AutoresetMode

from qtwin.envs.base import HostEnv
from qtwin.envs.guard import Care, Guarded
from qtwin.envs.gym_envs import spec_of
from qtwin.envs.gym_vector import GymVector
from qtwin.envs.spec import EnvSpec
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Refusal
from qtwin.types import Array

NO_LIMIT = 2**31 - 1  # how envpool writes that there is none


def envpool_spec(name: str, **options) -> EnvSpec:
    """What an agent may know of an environment of envpool.

    Args:
      name: envpool's id, ``HalfCheetah-v5``.
      options: handed to ``envpool.make``.

    Raises:
      Refusal: envpool is missing, has no such environment, or one whose actions or observations cannot be taken.
    """
    config = _config(name, options)
    if config.config.max_num_players != 1:
        raise Refusal(f"envpool:{name} is played by more than one agent, and one is needed; see qtwin list envs")
    limit = config.config.max_episode_steps
    return spec_of(
        f"envpool:{name}",
        config.gymnasium_observation_space,
        config.gymnasium_action_space,
        limit if 0 < limit < NO_LIMIT else None,
    )


def envpool_env(name: str, envs: int, **options) -> GymVector:
    """N environments of envpool, stepped by its own threads.

    envpool says of an episode that terminates in the very step that reaches its limit that it was truncated.

    Args:
      name: envpool's id.
      envs: N.
      options: handed to ``envpool.make``.

    Raises:
      Refusal: as `envpool_spec`.
    """
    return GymVector(Pool(name, envs, options), envpool_spec(name, **options))


def envpool_make(spec: EnvSpec, name: str, care: Care) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv``: vectors of an environment of envpool."""
    del spec
    return lambda envs: Guarded(envpool_env(name, envs), care.timeout)


class Pool:
    """envpool's environments with the interface of Gymnasium's vectors: a reset takes a seed and starts over.

    After its last step an episode's next step is a reset, whose row is no transition (NEXT_STEP).
    """

    autoreset_mode = AutoresetMode.NEXT_STEP

    def __init__(self, name: str, envs: int, options: dict[str, Any]):
        self.num_envs = envs
        self._name, self._options = name, options
        config = _config(name, options)
        self.single_observation_space = config.gymnasium_observation_space
        self.single_action_space = config.gymnasium_action_space
        self._pool = None

    @property
    def unwrapped(self) -> Pool:
        return self

    def reset(self, seed: int) -> tuple[Array, dict]:
        # envpool takes seeds only when it makes environments; environment i gets seed + i, as in Gymnasium.
        self._pool = _imported(self._name).make(
            self._name, env_type="gymnasium", num_envs=self.num_envs, seed=seed, **self._options
        )
        return self._pool.reset()

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict]:
        return self._pool.step(actions)

    def close(self) -> None:
        self._pool = None


def _imported(name: str) -> Any:
    try:
        import envpool
    except ImportError as error:
        why = "is not installed" if error.name == "envpool" else f"cannot be imported ({error})"
        raise Refusal(
            f"envpool:{name} needs envpool, which {why}; write pip install 'qtwin[envpool]', or gym:{name}"
        ) from None
    # Its spaces say so of every bound, once for each kind of environment.
    warnings.filterwarnings("ignore", ".*precision lowered by casting", UserWarning)
    return envpool


def _config(name: str, options: dict[str, Any]) -> Any:
    envpool = _imported(name)
    known = envpool.list_all_envs()
    if name not in known:
        raise Refusal(f"unknown environment 'envpool:{name}'{nearest_env(name, known)}")
    try:
        return envpool.make_spec(name, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, ImportError) as error:
        came = f" with the options {options}" if options else ""
        raise Refusal(f"envpool cannot make {name}{came}: {str(error).splitlines()[0]}") from None
