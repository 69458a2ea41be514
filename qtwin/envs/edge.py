"""What one Gymnasium environment gives, checked as it came and copied, before anything is cast or reset.

Gymnasium allows an environment to hand out one array and to write into it later. Read without importing JAX.
"""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from qtwin.envs.narrow import kept_dtype, limits, misfit
from qtwin.errors import Broken

MOST = float(np.finfo(np.float32).max)  # of a reward; it is kept in 32 bits
PLAIN = frozenset({float, int, np.float64, np.float32})  # types of a reward that need no closer look
SAFE = "; nothing of it is stored, and the last checkpoint is good"


class Amiss(NamedTuple):
    """What is wrong with a value.

    Attributes:
      expected, came: in words.
      number: it is a number too large to be kept, or not finite: sound environments give one now and then.
    """

    expected: str
    came: str
    number: bool = False


def observation_check(space: Space) -> Callable[[Any], Amiss | None]:
    """``obs -> what is wrong with it``, None where nothing is. A box's bounds may be exceeded; its type may not."""
    if isinstance(space, Discrete):
        first, last = int(space.start), int(space.start + space.n) - 1
        return lambda obs: None if is_whole(obs) and first <= obs <= last else _no_state(first, last, obs)
    if isinstance(space, Box):
        return _box_check(space)
    return lambda obs: None if space.contains(obs) else Amiss(f"an element of {space}", told(obs))


def _no_state(first: int, last: int, obs: Any) -> Amiss:
    return Amiss(f"a whole number from {first} to {last}", told(obs))


def is_whole(value: Any) -> bool:
    """Is it one whole number? Booleans are none."""
    if type(value) is int:
        return True
    single = isinstance(value, numbers.Integral) or (isinstance(value, np.ndarray) and value.shape == ())
    return single and np.asarray(value).dtype.kind in "iu"


def _box_check(space: Box) -> Callable[[Any], Amiss | None]:
    wanted, within = f"{space.dtype}{list(space.shape)}", range_of(space)

    def check(obs: Any) -> Amiss | None:
        if not isinstance(obs, np.ndarray | np.generic) or obs.shape != space.shape:
            return Amiss(wanted, told(obs))
        outside = misfit(obs, within) if within and obs.dtype.kind in "iuf" else None
        if outside is not None:
            return too_large(obs[outside][0], within)
        return None if np.can_cast(obs.dtype, space.dtype, "same_kind") else Amiss(wanted, told(obs))

    return check


def range_of(space: Box) -> tuple[float, float] | None:
    """The least and the greatest number that an observation may hold to be kept; None for booleans."""
    return None if space.dtype.kind == "b" else limits(space.dtype, kept_dtype(space))


def too_large(number: Any, within: tuple[float, float]) -> Amiss:
    """A number does not fit into the type in which it is kept."""
    low, high = within
    if not np.isfinite(number):
        return Amiss("finite numbers", str(number), True)
    return Amiss(f"numbers from {low:.10g} to {high:.10g} (scale it in a TransformObservation)", str(number), True)


def reward_check(reward: Any) -> Amiss | None:
    """What is wrong with a reward. A boolean counts as 0 or 1, an array of no axes as the number in it."""
    single = isinstance(reward, numbers.Real | np.bool_) or (isinstance(reward, np.ndarray) and reward.shape == ())
    if not single or (type(reward) is not int and np.asarray(reward).dtype.kind not in "fiub"):
        return Amiss("a number", told(reward))
    if not -MOST <= reward <= MOST:
        if isinstance(reward, int) or math.isfinite(reward):
            return Amiss(f"a number from {-MOST:.6g} to {MOST:.6g}", told(reward), True)
        return Amiss("a finite number", str(reward), True)
    return None


def end_check(end: Any) -> Amiss | None:
    """What is wrong with ``terminated`` or ``truncated``: only a boolean is right, as Gymnasium has it."""
    return None if isinstance(end, bool | np.bool_) else Amiss("True or False", told(end))


def info_check(info: Any) -> Amiss | None:
    return None if isinstance(info, dict) else Amiss("a dictionary", told(info))


def parts_check(came: Any, expected: str) -> Amiss | None:
    """What is wrong with what a reset or a step gives as a whole, ``(obs, info)`` for example."""
    fine = isinstance(came, tuple) and len(came) == expected.count(",") + 1
    return None if fine else Amiss(expected, kind(came))


RESET, STEP = "(obs, info)", "(obs, reward, terminated, truncated, info)"


def kind(came: Any) -> str:
    return f"{len(came)} of them" if isinstance(came, tuple) else type(came).__name__


def told(came: Any) -> str:
    """A value in a few words: as it came, and of which type."""
    shape = getattr(came, "shape", None)
    if shape:
        few = f" {came.tolist()}"[:60] if math.prod(shape) <= 8 and hasattr(came, "tolist") else ""
        return f"{came.dtype}{list(shape)}{few}"
    name = type(came).__name__ if shape is None else f"{came.dtype}[]"
    return f"{str(came)[:40]} ({name})"


class Edge:
    """An environment behind its checks. What it gives is the caller's; all else is the environment's own.

    Args:
      env: of Gymnasium, or one that keeps to its interface.
      who: "environment 3 of gym:X " for messages; without it they begin with "gave".
      info: hand its infos on; else they are checked and left out.

    Raises:
      Broken: in ``reset`` and ``step``, what it gives breaks the contract.
    """

    def __init__(self, env: gym.Env, who: str = "", info: bool = False):
        self._env, self._who, self._info, self._steps = env, who, info, 0
        space = env.observation_space
        self._check = observation_check(space)
        # What needs no look at its numbers: an array of the space's own type that is kept as it is.
        plain = isinstance(space, Box) and np.can_cast(space.dtype, kept_dtype(space), "safe")
        self._dtype, self._shape = (space.dtype, space.shape) if plain else (None, None)

    def __getattr__(self, name: str) -> Any:
        if name == "_env":  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self._env, name)

    def reset(self, **kwargs) -> tuple[Any, dict]:
        if kwargs.get("seed") is not None:
            self._steps = 0
        came = self._env.reset(**kwargs)
        self._hold("what reset gives", parts_check(came, RESET))
        obs, info = came
        self._hold("info of reset", info_check(info))
        return self._own("obs of reset", obs), info if self._info else {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        came = self._env.step(action)
        self._steps += 1
        if type(came) is not tuple or len(came) != 5:
            self._hold("what step gives", parts_check(came, STEP))
        obs, reward, terminated, truncated, info = came
        if type(reward) not in PLAIN or not -MOST <= reward <= MOST:
            self._hold("reward", reward_check(reward))
            reward = float(reward)
        if not ((terminated is False or terminated is True) and (truncated is False or truncated is True)):
            self._hold("terminated", end_check(terminated))
            self._hold("truncated", end_check(truncated))
        if type(info) is not dict:
            self._hold("info", info_check(info))
        if type(obs) is np.ndarray and obs.dtype is self._dtype and obs.shape == self._shape:  # most of them, at once
            obs = obs.copy()
        else:
            obs = self._own("obs", obs)
        return obs, reward, terminated, truncated, info if self._info else {}

    def _own(self, field: str, obs: Any) -> Any:
        self._hold(field, self._check(obs))
        return obs if type(obs) is int else copy.deepcopy(obs)

    def _hold(self, field: str, amiss: Amiss | None) -> None:
        if amiss is not None:
            tail = SAFE if self._who else ""
            raise Broken(
                f"{self._who}gave {amiss.came} as {field} at step {self._steps:,}, expected {amiss.expected}{tail}"
            )
