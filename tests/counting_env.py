"""An environment that raises, dies or hangs when it is asked to. Imports no JAX: processes of their own import it."""

import os
import time

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

FIRST_SEED = int(np.random.SeedSequence(0).generate_state(1)[0] >> 2)  # of a vector's first environment, reset with 0


class Counting(gym.Env):
    """Shows how many steps its episode has had; after ``last`` of them it ends; ``fault`` happens at step ``at`` of an
    environment's life, of those whose seed fits."""

    observation_space, action_space = Box(-1, 1000, (2,)), Discrete(2)

    def __init__(self, fault="", at=5, which=(FIRST_SEED + 1) % 10, last=7, again=False):
        self._fault, self._at, self._which, self._last, self._again = fault, at, which, last, again
        self._life = 0

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self._mine = seed % 10 == self._which or (self._again and not FIRST_SEED <= seed < FIRST_SEED + 10)
        self._t = 0
        return self._obs(), {}

    def _obs(self):
        return np.array([self._t, self._life], np.float32)

    def step(self, action):
        self._t, self._life = self._t + 1, self._life + 1
        reward = 1.0
        if self._mine and self._life == self._at:
            if self._fault == "raise":
                raise ZeroDivisionError("the pole is gone")
            if self._fault == "die":
                os._exit(3)
            if self._fault == "hang":
                time.sleep(1000)
            reward = float("nan") if self._fault == "nan" else reward
        return self._obs(), reward, False, self._t >= self._last, {}


class Making:
    """Makes such an environment; can be sent to another process."""

    def __init__(self, **kwargs):
        self._kwargs = kwargs

    def __call__(self):
        return Counting(**self._kwargs)
