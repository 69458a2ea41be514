"""A Gymnasium environment that tells at every step where it is, with episodes of known lengths."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv


class Clockwork(gym.Env):
    """Episode k of environment i lasts 1 + (i + k) % 4 steps; even episodes terminate, odd ones are truncated.

    An observation is [environment, episode, step]; the reward names the step that gave it.
    """

    def __init__(self, index: int):
        self.index, self.episode = index, -1
        self.observation_space = Box(-1.0, 1e6, (3,), np.float64)
        self.action_space = Discrete(3, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._obs(), {}

    def step(self, action):
        assert 5 <= action < 8
        assert self.t < self.length, "stepped after its end"
        self.t += 1
        ended = self.t == self.length
        terminated = ended and self.episode % 2 == 0
        return self._obs(), reward(self.index, self.episode, self.t), terminated, ended and not terminated, {}

    @property
    def length(self):
        return length(self.index, self.episode)

    def _obs(self):
        return np.array([self.index, self.episode, self.t], np.float64)


def length(index, episode):
    return 1 + (index + episode) % 4


def reward(index, episode, t):
    return 100.0 * index + 10.0 * episode + t


def clockwork(envs, mode):
    return SyncVectorEnv([lambda i=i: Clockwork(i) for i in range(envs)], copy=False, autoreset_mode=mode)
