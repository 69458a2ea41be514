"""Gymnasium as a home of environments. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import gymnasium

from qtwin.envs import gym_envs
from qtwin.envs.base import HostEnv
from qtwin.envs.guard import Care, Guarded
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.storage.files import staying


def gym_resolve(name: str) -> EnvSpec:
    """What an agent may know of a Gymnasium environment (`qtwin.envs.gym_envs.gym_spec`)."""
    with staying():  # one is made to be looked at, and its constructor may change the working directory
        return gym_envs.gym_spec(name)


def resolved_with(name: str, env_kwargs: str) -> EnvSpec:
    """The same of one that is made with arguments of its own, written as JSON."""
    with staying():
        spec = gym_envs.gym_spec(name, **kwargs_of(env_kwargs))
    return dataclasses.replace(spec, env_kwargs=env_kwargs)


def kwargs_of(env_kwargs: str) -> dict[str, Any]:
    """The keyword arguments that a text holds; refuses what is no JSON object."""
    try:
        found = json.loads(env_kwargs) if env_kwargs else {}
    except (ValueError, RecursionError) as error:
        raise Refusal(
            f"env_kwargs are written as JSON, and {env_kwargs[:100]} is none ({error}); write for example"
            """ --env-kwargs '{"is_slippery": false}'"""
        ) from None
    if not isinstance(found, dict):
        raise Refusal(
            f"env_kwargs are a JSON object, and {env_kwargs[:100]} came; write for example"
            """ --env-kwargs '{"is_slippery": false}'"""
        )
    return found


def gym_make(spec: EnvSpec, name: str, care: Care) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv``: vectors of a Gymnasium environment."""
    kwargs = kwargs_of(spec.env_kwargs)
    # Those in processes of their own are looked after one by one.
    timeout = None if care.mode == "async" else care.timeout
    return lambda envs: Guarded(gym_envs.gym_env(name, envs, care=care, **kwargs), timeout)


def gym_try_out(name: str, care: Care, env_kwargs: str = "") -> None:
    """Plays a few steps of a Gymnasium environment, to refuse what is not as it says itself."""
    with staying():
        gym_envs.try_out(name, care, **kwargs_of(env_kwargs))


def has_plain(name: str) -> bool:
    """Is it an environment of Gymnasium without a prefix?"""
    # A namespace of Gymnasium's may be of a package that registers only when imported.
    return "/" in name or name in known_plain()


def known_plain() -> list[str]:
    """Gymnasium's ids, which may be written without a prefix."""
    return [name for name in gymnasium.registry if "/" not in name and not name.startswith("GymV")]
