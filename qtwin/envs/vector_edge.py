"""What a vector environment of the caller's own gives, checked as it came. Read without importing JAX.

An environment that hands out its own array and writes into it is harmless as long as what it gave is copied before it
is asked again. A vector that resets in the step in which an episode ends asks again by itself: there the copy has to be
made inside of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import Env
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from qtwin.envs.edge import (
    MOST,
    RESET,
    SAFE,
    STEP,
    Amiss,
    Edge,
    end_check,
    info_check,
    observation_check,
    parts_check,
    range_of,
    reward_check,
    told,
    too_large,
)
from qtwin.envs.narrow import kept_dtype, misfit
from qtwin.errors import Broken, Refusal
from qtwin.types import Array

TRIED_STEPS, TRIED_SECONDS = 3, 2.0  # of an environment that is tried for arrays of its own


def guard_inside(vector_env: VectorEnv, name: str, mode: AutoresetMode, info: bool = True) -> Heard | None:
    """Puts checks where a vector's environments can be reached; a second time changes nothing.

    Those of a `SyncVectorEnv` each get an `Edge`. Those of an `AsyncVectorEnv` live in other processes: what they send
    is looked at when it arrives.

    Args:
      vector_env: the caller's.
      name: for messages.
      mode: how it resets.
      info: as of `Edge`.

    Returns:
      what an `AsyncVectorEnv`'s processes are heard to send; None for all others.

    Raises:
      Refusal: an `AsyncVectorEnv` that resets in the same step, of environments that write into what they gave.
    """
    inner = vector_env.unwrapped
    if isinstance(inner, SyncVectorEnv):
        who = [f"environment {i} of {name} " for i in range(inner.num_envs)]
        inner.envs = [e if isinstance(e, Edge) else Edge(e, w, info) for e, w in zip(inner.envs, who, strict=True)]
    elif isinstance(inner, AsyncVectorEnv) and inner.worker is None:
        if mode is AutoresetMode.SAME_STEP and any(_tried(inner.env_fns)):
            raise Refusal(
                f"{name} gives one array again and again, and its AsyncVectorEnv resets in the step in which an episode"
                " ends, so the last observation of each episode is overwritten before it can be copied; make it with"
                " autoreset_mode=AutoresetMode.NEXT_STEP, or let its step and reset return copies"
            )
        return Heard(inner, name)
    return None


def checked_inside(vector_env: VectorEnv) -> bool:
    """Does everything that it gives come from an `Edge`, with nothing around it that could change it?"""
    return type(vector_env) is SyncVectorEnv and all(isinstance(env, Edge) for env in vector_env.envs)


def _tried(makes: list[Callable[[], Env]]) -> Any:
    """Whether each environment writes into what it gave, as far as there is time to try."""
    until = time.monotonic() + TRIED_SECONDS
    for make in dict.fromkeys(makes):
        yield overwrites(make)
        if time.monotonic() > until:
            return


def overwrites(make: Callable[[], Env]) -> bool:
    """Does an environment's reset write into the observation that its last step gave?"""
    with contextlib.ExitStack() as stack, contextlib.suppress(Exception):
        env = make()
        stack.callback(env.close)
        env.action_space.seed(0)
        env.reset(seed=0)
        for _ in range(TRIED_STEPS):
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break
        before = np.array(obs)
        fresh = env.reset()[0]
        same = isinstance(obs, np.ndarray) and isinstance(fresh, np.ndarray) and np.shares_memory(obs, fresh)
        return same or not np.array_equal(np.asarray(obs), before, equal_nan=before.dtype.kind == "f")
    return False


class Heard:
    """Listens to the processes of an `AsyncVectorEnv`, which casts what they send without a look."""

    def __init__(self, vector_env: AsyncVectorEnv, name: str):
        self._check = observation_check(vector_env.single_observation_space)
        self._vector, self._name, self._wrong, self._failed = vector_env, name, None, False
        pipes = vector_env.parent_pipes
        vector_env.parent_pipes = [
            Pipe(pipe._pipe if isinstance(pipe, Pipe) else pipe, i, self) for i, pipe in enumerate(pipes)
        ]

    def hear(self, index: int, what: str, came: Any) -> None:
        """Takes note of the first thing that is wrong."""
        fields = {"what reset gives": parts_check(came, RESET)}
        if what == "step":
            fields = {"what step gives": parts_check(came, STEP)}
        if not any(fields.values()) and what == "step":
            obs, reward, terminated, truncated, info = came
            fields = {
                "obs": None if obs is None else self._check(obs),  # None where it lies in shared memory
                "reward": reward_check(reward), "terminated": end_check(terminated),
                "truncated": end_check(truncated), "info": info_check(info),
            }  # fmt: skip
        elif not any(fields.values()):
            obs, info = came
            fields = {"obs of reset": None if obs is None else self._check(obs), "info of reset": info_check(info)}
        for field, amiss in fields.items():
            if amiss is not None and self._wrong is None:
                self._wrong = index, field, amiss

    @contextlib.contextmanager
    def listening(self, steps: int) -> Iterator[None]:
        """Around a call of the vector; what was noted goes before an error that it may have led to.

        Raises:
          Broken: an environment broke the contract.
        """
        self._failed = True
        try:
            yield
            self._failed = self._wrong is not None
        finally:
            if self._wrong is not None:
                index, field, amiss = self._wrong
                _broken(self._name, field, steps, amiss, index)

    def end(self) -> None:
        """Ends the processes of a vector that failed: its own ``close`` would wait for answers that never come."""
        if self._failed and not self._vector.closed:
            for process in self._vector.processes:
                process.kill()
                process.join()
            self._vector.closed = True


class Pipe:
    """A pipe to an environment's process, with a listener."""

    def __init__(self, pipe: Any, index: int, heard: Heard):
        self._pipe, self._index, self._heard, self._asked = pipe, index, heard, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def send(self, message: tuple[str, Any]) -> None:
        self._asked = message[0]
        self._pipe.send(message)

    def recv(self) -> Any:
        came = self._pipe.recv()
        if self._asked in ("step", "reset") and came[1]:
            self._heard.hear(self._index, self._asked, came[0])
        return came


class Rows:
    """Looks at the arrays of a vector before they are cast.

    Args:
      name: for messages.
      space: of one observation.
      envs: N.
    """

    def __init__(self, name: str, space: Space, envs: int):
        self._name, self._space, self._envs, self._check = name, space, envs, observation_check(space)
        first = int(space.start) if isinstance(space, Discrete) else 0
        self._within = (first, first + int(space.n) - 1) if isinstance(space, Discrete) else None
        self._within = range_of(space) if isinstance(space, Box) else self._within
        plain = isinstance(space, Box) and np.can_cast(space.dtype, kept_dtype(space), "safe")
        self._plain = space.dtype if plain else None
        self._suspects: list[tuple[int, Array, Array]] = []

    def reset(self, came: Any, steps: int) -> tuple[Array, dict]:
        """What a reset gave."""
        self._hold("what reset gives", parts_check(came, RESET), steps)
        obs, info = came
        self._hold("info of reset", info_check(info), steps)
        return self.obs("obs of reset", obs, steps), info

    def step(self, came: Any, steps: int, counts: Array | None) -> tuple[Array, Array, Array, Array, dict]:
        """What a step gave.

        Args:
          came: as it was returned.
          steps: how many there have been.
          counts: which environments were stepped and not reset, all if None. [N] bool
        """
        self._hold("what step gives", parts_check(came, STEP), steps)
        obs, reward, terminated, truncated, info = came
        self._hold("info", info_check(info), steps)
        reward = self._column("reward", reward, "fiub", "numbers", steps)
        too_much = None if reward.dtype.itemsize < 8 else misfit(reward, (-MOST, MOST))
        outside = too_much if too_much is None or counts is None else too_much & counts
        if outside is not None and outside.any():
            index = int(np.argmax(outside))
            self._hold("reward", reward_check(reward[index]), steps, index)
        if too_much is not None:
            reward = np.where(too_much, 0.0, reward)  # of a row that is a reset, and may hold anything
        terminated = self._column("terminated", terminated, "b", "booleans", steps)
        truncated = self._column("truncated", truncated, "b", "booleans", steps)
        self._unchanged()
        return self.obs("obs", obs, steps), reward, terminated, truncated, info

    def obs(self, field: str, obs: Any, steps: int) -> Array:
        """Observations of all environments. [N, *obs_shape]"""
        came, obs = obs, obs if isinstance(obs, np.ndarray) else np.asarray(obs)
        shape = (self._envs, *self._space.shape)
        if obs.dtype is self._plain and obs.shape == shape:
            return obs
        whole = not isinstance(self._space, Discrete) or obs.dtype.kind in "iu"
        if obs.shape != shape or not whole or not np.can_cast(obs.dtype, self._space.dtype, "same_kind"):
            self._hold(field, Amiss(f"{self._space.dtype}{list(shape)}", told(came)), steps)
        outside = None if self._within is None or obs.dtype.kind == "b" else misfit(obs, self._within)
        if outside is not None:
            index = int(np.argmax(outside.reshape(self._envs, -1).any(axis=1)))
            number = obs[index][outside[index]].ravel()[0]
            amiss = self._check(obs[index]) if obs.ndim == 1 else too_large(number, self._within)
            self._hold(field, amiss, steps, index)
        return obs

    def final(self, final: Any, index: int, fresh: Array, steps: int) -> Any:
        """The last observation of an episode that ended.

        Args:
          final: as it came.
          index: the environment's.
          fresh: the first observation of its next episode.
          steps: as of `step`.
        """
        self._hold("final_obs", self._check(final), steps, index)
        if isinstance(final, np.ndarray) and np.array_equal(final, fresh):
            if np.shares_memory(final, fresh):
                raise Broken(self._overwritten(index))
            self._suspects.append((index, final, final.copy()))
        return final

    def _unchanged(self) -> None:
        """Refuses last observations that looked like the first ones after them and have been written into since."""
        for index, final, before in self._suspects:
            if not np.array_equal(final, before):
                raise Broken(self._overwritten(index))
        self._suspects = []

    def _overwritten(self, index: int) -> str:
        return (
            f"environment {index} of {self._name} gave an array as final_obs that its reset has written into, so the"
            " last observation of the episode is lost; hand out a copy of it"
        )

    def _column(self, field: str, values: Any, kinds: str, expected: str, steps: int) -> Array:
        column = values if isinstance(values, np.ndarray) else np.asarray(values)
        if column.shape != (self._envs,) or column.dtype.kind not in kinds:
            self._hold(field, Amiss(f"an array of {self._envs} {expected}", told(values)), steps)
        return column

    def _hold(self, field: str, amiss: Amiss | None, steps: int, index: int | None = None) -> None:
        if amiss is not None:
            _broken(self._name, field, steps, amiss, index)


def _broken(name: str, field: str, steps: int, amiss: Amiss, index: int | None) -> None:
    who = name if index is None else f"environment {index} of {name}"
    raise Broken(f"{who} gave {amiss.came} as {field} at step {steps:,}, expected {amiss.expected}{SAFE}")
