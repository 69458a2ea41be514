"""An environment of your own, written for Gymnasium, with arguments: as a class, as a function, and by its id.

Run it with ``python examples/own_gymnasium_env.py``.
"""

import sys

import gymnasium as gym
import numpy as np

import qtwin


class Corridor(gym.Env):
    """Walk to the right end of a corridor; every step costs 1."""

    observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=10):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.field = 0
        return self._seen(), {}

    def step(self, action):
        self.field = max(0, self.field + (1 if action == 1 else -1))
        return self._seen(), -1.0, self.field == self.length - 1, False, {}

    def _seen(self):
        return np.array([self.field / (self.length - 1)], np.float32)


def short_corridor():
    """One environment; the function is called once for each that is stepped."""
    return gym.wrappers.TimeLimit(Corridor(length=6), 30)


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    settings = {"net": "mlp:32", "steps": steps, "warmup": steps // 20, "eval_episodes": 5, "eval_max_steps": 100}

    print("as a class:", qtwin.train(Corridor, env_kwargs={"length": 8}, **settings))
    print("as a function:", qtwin.train(short_corridor, **settings))

    # By its id: arguments that JSON can hold are written down, so that `qtwin eval` and a resumed run know them.
    gym.register("Corridor-v0", lambda **kwargs: Corridor(**kwargs), max_episode_steps=50)
    print("by its id:", qtwin.train("Corridor-v0", env_kwargs={"length": 8}, **settings))
