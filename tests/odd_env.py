"""Environments that share their arrays, break the contract late, or end the process. Imports no JAX: processes of
their own import it."""

import os
import sys

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class Sharing(gym.Env):
    """One observation, one info and the action it was handed, all written into at every step; an episode lasts three
    steps. Observes the step of the episode and the sum of the actions, each in [-1, 1].
    """

    observation_space, action_space = Box(-100, 100, (2,), np.float32), Box(-1.0, 1.0, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode=None, shares=True):
        self.render_mode, self.shares = render_mode, shares
        self.seen, self.info, self.picture = np.zeros(2, np.float32), {}, np.zeros((4, 4, 3), np.uint8)

    def _given(self):
        self.info["t"] = int(self.seen[0])
        return (self.seen, self.info) if self.shares else (self.seen.copy(), dict(self.info))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen[:] = 0
        return self._given()

    def step(self, action):
        self.seen += [1.0, action[0]]
        if self.shares:
            action[:] = 77.0
        obs, info = self._given()
        return obs, float(self.seen[0]), False, bool(self.seen[0] == 3), info

    def render(self):
        self.picture += 1
        return self.picture


class Late(gym.Env):
    """Sound for ``late`` steps of its life, then one part of what ``step`` or ``reset`` gives is another."""

    def __init__(self, part=0, value=None, space=None, late=5):
        self.observation_space = Box(-10, 10, (3,), np.float32) if space is None else space
        self.action_space = Discrete(2)
        self._part, self._value, self._late, self._life = part, value, late, 0

    def _obs(self):
        space = self.observation_space
        return int(space.start) if isinstance(space, Discrete) else np.full(space.shape, 1, space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        came = self._obs(), {}
        return self._value if self._part == "reset" and self._life > self._late else came

    def step(self, action):
        self._t, self._life = self._t + 1, self._life + 1
        came = [self._obs(), 1.0, False, self._t == 3, {}]
        if self._life > self._late and self._part != "reset":
            if self._part == "step":
                return self._value
            came[self._part] = self._value
        return tuple(came)


class Ending(gym.Env):
    """Ends the process in the way and at the place that it is told."""

    observation_space, action_space = Box(-1, 1, (2,), np.float32), Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, way="exit", place="step", render_mode=None, at=4):
        self._way, self._place, self._at, self.render_mode, self._life = way, place, at, render_mode, 0
        self._end("constructor")

    def _end(self, place):
        if place == self._place:
            (sys.exit if self._way == "exit" else os._exit)(0)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self._life >= self._at or self._at == 0:
            self._end("reset")
        self._t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self._t, self._life = self._t + 1, self._life + 1
        if self._life >= self._at:
            self._end("step")
        return np.zeros(2, np.float32), 1.0, False, self._t == 3, {}

    def render(self):
        self._end("render")
        return np.zeros((4, 4, 3), np.uint8)

    def close(self):
        self._end("close")


class Making:
    """Makes one of them; can be sent to another process."""

    def __init__(self, kind, *args, **kwargs):
        self._kind, self._args, self._kwargs = kind, args, kwargs

    def __call__(self):
        return self._kind(*self._args, **self._kwargs)
