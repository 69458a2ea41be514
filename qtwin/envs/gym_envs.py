"""Environments of Gymnasium, through the one contract. Read without importing JAX.

Gymnasium's vector environments reset by themselves in one of three ways, and each hides the true last observation
somewhere else. Here they become one: `HostEnv`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from qtwin.envs.actions import bounds_of, translator
from qtwin.envs.base import Outcome
from qtwin.envs.edge import told
from qtwin.envs.env_checker import try_gym
from qtwin.envs.exits import contained
from qtwin.envs.guard import Care
from qtwin.envs.gym_make import first_line, made
from qtwin.envs.narrow import kept_dtype, note_rounding
from qtwin.envs.spaces import space_of
from qtwin.envs.spec import EnvSpec
from qtwin.envs.supervised import Supervised
from qtwin.envs.vector_edge import Rows, checked_inside, guard_inside
from qtwin.errors import Broken, Refusal, nearest
from qtwin.types import Array


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
    with contained(spec.id, "its constructor"):
        if care.replaces:
            apart = Supervised(spec.id, make, envs, mode == "async", care.timeout, care.on_nan == "drop")
            return GymVector(apart, spec)
        together = SyncVectorEnv([make] * envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        guard_inside(together, spec.id, AutoresetMode.SAME_STEP, info=False)
        return GymVector(together, spec)


def try_out(name: str, care: Care) -> None:
    """Plays a few steps of a Gymnasium environment before a run (`qtwin.envs.env_checker.try_gym`).

    Raises:
      Refusal: what it gives is not what it says.
    """
    make = functools.partial(gym.make, gym.spec(name), disable_env_checker=True)
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
            f"{name} gives observations of {list(spec.obs_shape)}, which hold no {stack} frames along a last axis; wrap"
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


class GymVector:
    """A Gymnasium vector environment as a `HostEnv`.

    Discrete observations and actions count from 0 here, wherever the space starts; continuous actions are in [-1, 1].
    Observations keep their type, except that 64 bits become 32.
    """

    def __init__(self, vector_env: VectorEnv, spec: EnvSpec):
        self.spec, self.num_envs = spec, vector_env.num_envs
        self._env, self._mode = vector_env, _autoreset(vector_env, spec.id)
        self._skips = self._mode is AutoresetMode.NEXT_STEP
        self.replaces, self.lost = isinstance(vector_env, Supervised), None
        self.ragged = self._skips or self.replaces
        self._dtype = np.dtype(spec.obs_dtype)
        self._first_obs = _start(vector_env.single_observation_space)
        self._translate = translator(spec.id, space_of(spec.id, "actions", vector_env.single_action_space))
        self._resets_now, self._steps = np.zeros(self.num_envs, bool), 0
        self._heard, checked = (
            guard_inside(vector_env, spec.id, self._mode),
            self.replaces or checked_inside(vector_env),
        )
        space = vector_env.single_observation_space
        self._rows = None if checked else Rows(spec.id, space, self.num_envs)

    def reset(self, seed: int) -> Array:
        # Gymnasium gives environment i the seed s + i: spread, so that runs with seeds 0, 1, ... share none of them.
        spread = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 2)
        self._resets_now[:], self._steps = False, 0
        return self._kept(self._reset(seed=spread))

    def step(self, actions: Array) -> tuple[Array, Outcome, Array | None]:
        obs, reward, terminated, truncated, info = self._stepped(self._translate(actions))
        # All of it is copied before any reset: a vector may write the next step's into the same arrays.
        fresh, obs = obs, self._kept(obs)
        reward, terminated = np.array(reward, np.float32), np.array(terminated, bool)
        last = np.logical_or(terminated, truncated)
        next_obs, valid = obs, None
        self.lost = info["lost"] if self.replaces and info["lost"].any() else None
        if self._skips:
            valid = ~self._resets_now
            terminated, last = np.logical_and(terminated, valid), last & valid
            self._resets_now = last
        elif last.any():
            if self._mode is AutoresetMode.SAME_STEP:
                next_obs = obs.copy()
                for i in np.flatnonzero(last):
                    final = _final(info, i, self.spec.id)
                    if self._rows is not None:
                        self._rows.final(final, i, fresh[i], self._steps)
                    next_obs[i] = self._kept(final)
            else:
                fresh = self._reset(options={"reset_mask": last.copy()})
                obs = obs.copy()
                obs[last] = self._kept(fresh)[last]
        if self.lost is not None:
            valid = ~self.lost
        discount = 1.0 - terminated.astype(np.float32)
        return obs, Outcome(reward, discount, next_obs, last), valid

    def _reset(self, **how) -> Array:
        came = self._called(self._env.reset, **how)
        return came[0] if self._rows is None else self._rows.reset(came, self._steps)[0]

    def _stepped(self, actions: Array) -> tuple[Array, Array, Array, Array, dict]:
        self._steps += 1
        came = self._called(self._env.step, actions)
        if self._rows is None:
            return came
        return self._rows.step(came, self._steps, ~self._resets_now if self._skips else None)

    def _called(self, function: Callable, *given, **named) -> Any:
        if self._heard is None:
            return function(*given, **named)
        with self._heard.listening(self._steps):
            return function(*given, **named)

    def close(self) -> None:
        if self._heard is not None:
            self._heard.end()
        self._env.close()

    @property
    def lost_so_far(self) -> int:
        """Environments that were replaced."""
        return self._env.lost_so_far if self.replaces else 0

    def render(self) -> Array:
        """The first environment's picture, [H, W, 3] uint8, where it was made with ``render_mode="rgb_array"``."""
        try:
            with contained(self.spec.id, "render"):
                came = self._env.render()[0]
        except gym.error.DependencyNotInstalled as error:
            raise Refusal(f"{self.spec.id} cannot be drawn: {first_line(error)}") from None
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"{self.spec.id} raised {type(error).__name__} in render: {first_line(error)}") from error
        if getattr(came, "dtype", None) != np.uint8 or came.ndim != 3 or came.shape[-1] != 3:
            raise Broken(f"{self.spec.id} gave {told(came)} as a picture, expected uint8[height, width, 3]")
        return np.array(came)  # it may draw the next one into the same array

    @property
    def frames_per_second(self) -> float:
        """How many pictures make a second."""
        return float(self._env.metadata.get("render_fps") or 30)

    def _kept(self, obs: Array) -> Array:
        """A copy, for vector environments may write the next observations into the same memory."""
        if self._first_obs is not None:  # subtracted in the space's own type: it may begin beyond 32 bits
            return (np.asarray(obs, self._first_obs.dtype) - self._first_obs).astype(self._dtype)
        return np.array(obs, self._dtype)


def _final(info: dict, index: int, name: str) -> Array:
    final = info.get("final_obs")
    if final is None or final[index] is None:
        raise Refusal(
            f"{name} says that it resets in the step in which an episode ends, and its info holds no 'final_obs', so"
            " the last observation is lost; make it with autoreset_mode=AutoresetMode.NEXT_STEP"
        )
    return final[index]


def _autoreset(env: VectorEnv, name: str) -> AutoresetMode:
    # The environment's own attribute first: its ``metadata`` is the class's, shared by all vectors of that class, and
    # says how the one that was made last resets.
    mode = getattr(env.unwrapped, "autoreset_mode", None) or env.metadata.get("autoreset_mode")
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise Refusal(
            f"{name} has to say how it resets, in metadata['autoreset_mode'] as one of gymnasium.vector.AutoresetMode,"
            f" and says {mode!r}; set it before handing it in"
        ) from None


def _start(space: Space) -> np.integer | None:
    return space.dtype.type(space.start) if isinstance(space, Discrete) else None


def spec_of(name: str, observations: Space, actions: Space, limit: int | None) -> EnvSpec:
    plain, count, low, high = name.removeprefix("gym:"), None, (), ()
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
