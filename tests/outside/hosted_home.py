"""A home of environments in Python: ``guess:N``, a Gymnasium environment with N fields, of which one is shown."""

from __future__ import annotations

import qtwin


def resolve(name: str) -> qtwin.EnvSpec:
    if not name.isdigit() or not 2 <= int(name) <= 100:
        raise qtwin.Refusal(f"guess takes 2 to 100 fields, not '{name}'; write for example guess:4")
    return qtwin.EnvSpec(f"guess:{name}", (), "int32", int(name), num_states=int(name), engine="hosted")


def make(spec: qtwin.EnvSpec, name: str, care: object):
    """``envs -> HostEnv``."""
    import gymnasium as gym

    del care  # of what may hang or die, which this does not

    class Guess(gym.Env):
        observation_space = gym.spaces.Discrete(int(name))
        action_space = gym.spaces.Discrete(int(name))

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.field, self.time = int(self.np_random.integers(int(name))), 0
            return self.field, {}

        def step(self, action):
            reward, self.time = float(action == self.field), self.time + 1
            self.field = int(self.np_random.integers(int(name)))
            return self.field, reward, self.time == 5, False, {}

    def vector(envs: int):
        return qtwin.from_vector(gym.vector.SyncVectorEnv([Guess] * envs), id=spec.id)

    return vector


RECORD = qtwin.EnvHomeInfo(
    "guess", "guess:FIELDS", "name the field that is shown", "hosted", "outside.hosted_home:resolve",
    "outside.hosted_home:make",
)  # fmt: skip
qtwin.register(RECORD)
