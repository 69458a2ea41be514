"""A vector environment of Gymnasium as a `HostEnv`. Read without importing JAX.

Gymnasium's vector environments reset by themselves in one of three ways, and each hides the true last observation
somewhere else. Here they become one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, Space
from gymnasium.vector import AutoresetMode, VectorEnv

from qtwin.envs.actions import translator
from qtwin.envs.base import Outcome
from qtwin.envs.edge import told
from qtwin.envs.exits import contained
from qtwin.envs.gym_make import first_line
from qtwin.envs.spaces import space_of
from qtwin.envs.spec import EnvSpec
from qtwin.envs.supervised import Supervised
from qtwin.envs.vector_edge import Rows, checked_inside, guard_inside
from qtwin.errors import Broken, Refusal
from qtwin.types import Array


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
