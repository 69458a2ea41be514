"""Environments of Gymnasium by their id, or as a vector of your own. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import gymnasium as gym
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from qtwin.envs.actions import bounds_of
from qtwin.envs.env_checker import try_gym
from qtwin.envs.exits import contained
from qtwin.envs.guard import Care
from qtwin.envs.gym_make import first_line, made
from qtwin.envs.gym_vector import GymVector
from qtwin.envs.narrow import kept_dtype, note_rounding
from qtwin.envs.spaces import space_of
from qtwin.envs.spec import EnvSpec
from qtwin.envs.supervised import Supervised
from qtwin.envs.vector_edge import guard_inside
from qtwin.errors import Broken, Refusal, nearest
from qtwin.types import OWN, kind_of


def gym_spec(name: str, **make_kwargs) -> EnvSpec:
    """What an agent may know of a Gymnasium environment; one is made and closed to find out.

    Args:
      name: Gymnasium's id, ``CartPole-v1`` or ``ALE/Pong-v5``.
      make_kwargs: handed to ``gymnasium.make``.

    Raises:
      Refusal: no such environment, a package that is missing, actions that are neither discrete nor a bounded box of
        numbers, or observations that are neither a box nor discrete.
    """
    env = made(name, make_kwargs)
    limit = None if env.spec is None else env.spec.max_episode_steps
    try:
        spaces = (getattr(env, which, None) for which in ("observation_space", "action_space"))
        return spec_of(f"gym:{name}", *spaces, limit)
    finally:
        with contained(name, "close"):
            env.close()


def gym_env(name: str, envs: int, mode: str = "sync", care: Care | None = None, **make_kwargs) -> GymVector:
    """N copies of a Gymnasium environment.

    Args:
      name: Gymnasium's id.
      envs: N.
      mode: "sync" steps them one after another in this process; "async" gives each a process of its own, which pays
        where a step takes much longer than 100 us. The processes import the main module, so a script that asks for them
        needs the usual ``if __name__ == "__main__"``. One that raises, dies or hangs is replaced there.
      care: what is done about those that go wrong; its own mode goes before ``mode``.
      make_kwargs: handed to ``gymnasium.make``.

    Raises:
      Refusal: as `gym_spec`, or an unknown mode.
    """
    care = care or Care(mode=mode)
    mode = care.mode
    if mode not in ("sync", "async"):
        raise Refusal(f"environments are stepped 'sync' or 'async', not '{mode}'{nearest(mode, ['sync', 'async'])}")
    spec = gym_spec(name, **make_kwargs)
    # The registered entry rather than the id: a process that has not imported the user's module knows no such id.
    make = functools.partial(gym.make, gym.spec(name), disable_env_checker=True, **make_kwargs)
    return copies(spec, make, envs, care)


def copies(spec: EnvSpec, make: Callable[[], gym.Env], envs: int, care: Care) -> GymVector:
    """N environments that one function makes.

    Args:
      spec: of each.
      make: makes one.
      envs: N.
      care: what is done about those that go wrong; with "async" each has a process of its own.
    """
    with contained(spec.id, "its constructor"):
        if care.replaces:
            apart = Supervised(str(spec.id), make, envs, care.mode == "async", care.timeout, care.on_nan == "drop")
            return GymVector(apart, spec)
        together = SyncVectorEnv([make] * envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        guard_inside(together, spec.id, AutoresetMode.SAME_STEP, info=False)
        return GymVector(together, spec)


def made_spec(name: str, make: Callable[[], gym.Env]) -> EnvSpec:
    """What an agent may know of an environment that ``make`` makes; one is made and closed to find out.

    Args:
      name: the environment's.
      make: makes one.

    Raises:
      Refusal: it makes none, or one with spaces that no agent can take.
    """
    try:
        with contained(name, "its constructor"):
            env = make()
    except (Broken, Refusal) as error:
        raise Refusal(str(error)) from error
    except Exception as error:
        raise Refusal(f"{name} cannot be made: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(env, gym.Env):
        raise Refusal(
            f"{name}: expected a gymnasium.Env from the function that was handed in as env, and {kind_of(env)}"
            " came; return one environment, or write qtwin.vector(function) for a function of the number of them"
        )
    try:
        spaces = (getattr(env, which, None) for which in ("observation_space", "action_space"))
        return spec_of(name, *spaces, time_limit(env))
    finally:
        with contained(name, "close"):
            env.close()


def time_limit(env: gym.Env) -> int | None:
    """Steps after which an environment is truncated: from its spec, or from the wrapper that does it. [transitions]"""
    while env is not None:
        if isinstance(env, gym.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env if isinstance(env, gym.Wrapper) else None
    return None


def try_out(name: str, care: Care, **make_kwargs) -> None:
    """Plays a few steps of a Gymnasium environment before a run (`qtwin.envs.env_checker.try_gym`).

    Raises:
      Refusal: what it gives is not what it says.
    """
    make = functools.partial(gym.make, gym.spec(name), disable_env_checker=True, **make_kwargs)
    try_gym(f"gym:{name}", make, care)


def from_vector(vector_env: VectorEnv, id: str | None = None, stack: int = 1) -> GymVector:
    """A vector environment that the user has made, whichever way it resets: NEXT_STEP, SAME_STEP or DISABLED.

    Args:
      vector_env: Gymnasium's, or one that keeps to its interface.
      id: the name it goes by; its own if left out.
      stack: how many consecutive frames its images hold along their last axis, the newest last; a replay of frames then
        keeps each of them once.

    Raises:
      Refusal: a last axis that does not divide by ``stack``, actions that are neither discrete nor a bounded box of
        numbers, observations that are neither a box nor discrete, or an environment that does not say how it resets.
    """
    known = getattr(vector_env, "spec", None)
    name = id or (known.id if known is not None else type(vector_env.unwrapped).__name__)
    limit = known.max_episode_steps if known is not None else None
    home, colon, _ = name.partition(":")
    spec = spec_of(
        name if colon and home else f"gym:{name}",
        vector_env.single_observation_space,
        vector_env.single_action_space,
        limit,
    )
    if stack > 1 and (len(spec.obs_shape) != 3 or spec.obs_shape[-1] % stack):
        raise Refusal(
            f"{name} gives observations of {list(spec.obs_shape)}, which are not {stack} frames along the last axis;"
            f" wrap"
            " it in gymnasium.wrappers.TransformObservation, or leave stack out"
        )
    return GymVector(vector_env, dataclasses.replace(spec, stack=stack))


def draws(name: str) -> bool:
    """Can a Gymnasium environment be drawn into an array?"""
    env = made(name, {})
    try:
        return "rgb_array" in env.metadata.get("render_modes", ())
    finally:
        with contained(name, "close"):
            env.close()


def spec_of(name: str, observations: Space, actions: Space, limit: int | None) -> EnvSpec:
    plain, count, low, high = name.removeprefix("gym:").removeprefix(OWN), None, (), ()
    if isinstance(actions, Discrete):
        count = int(actions.n)
    elif isinstance(actions, Box):
        low, high = bounds_of(plain, actions)
    else:
        raise Refusal(
            f"{plain} has actions of the kind {type(actions).__name__}, and a box or discrete ones are needed; wrap it"
            " in gymnasium.wrappers.TransformAction and hand it to from_vector"
        )
    if isinstance(observations, Discrete):
        shape, dtype, states = (), "int32", int(observations.n)
    elif isinstance(observations, Box):
        shape, dtype, states = tuple(observations.shape), kept_dtype(observations), None
        note_rounding(plain, observations)
    else:
        raise Refusal(
            f"{plain} has observations of the kind {type(observations).__name__}, and a box or discrete ones are"
            " needed; wrap it in gymnasium.wrappers.FlattenObservation and hand it to from_vector"
        )
    own = {
        "observation_space": space_of(plain, "observations", observations),
        "action_space": space_of(plain, "actions", actions),
    }
    return EnvSpec(name, shape, dtype, count, states, limit, engine="hosted", action_low=low, action_high=high, **own)
