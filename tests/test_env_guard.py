"""Environments in Python that break the contract: named with field, expected and got, and nothing of it is stored."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qtwin.envs.base import Outcome
from qtwin.envs.catalog import resolve
from qtwin.envs.guard import Guarded, Watchdog
from qtwin.envs.make import host_env
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Broken

SPEC = EnvSpec("test:sound", (3,), "float32", 2, engine="hosted")


class Sound:
    """Three environments that keep to the contract, but for what ``spoil`` does to step ``at``."""

    spec, num_envs = SPEC, 3

    def __init__(self, spoil=None, at=1, first=None):
        self._spoil, self._at, self._first, self._t = spoil, at, first, 0

    def reset(self, seed):
        self._t = 0
        obs = np.zeros((3, 3), np.float32)
        return obs if self._first is None else self._first(obs)

    def step(self, actions):
        self._t += 1
        obs = np.full((3, 3), self._t, np.float32)
        result = obs, Outcome(np.ones(3, np.float32), np.ones(3, np.float32), obs, np.zeros(3, bool)), None
        return self._spoil(*result) if self._spoil and self._t == self._at else result

    def close(self):
        self._t = -1


def outcome(**fields):
    return lambda obs, out, valid: (obs, out._replace(**fields), valid)


def observed(make):
    return lambda obs, out, valid: (make(obs), out, valid)


def fails(*_):
    raise ZeroDivisionError("the pole is gone")


def numbers(value, shape=(3,)):
    column = np.ones(shape, np.float32)
    column[(1,) + (0,) * (len(shape) - 1)] = value
    return column


ZOO = {  # what breaks: what must be said
    "reward nan": (outcome(reward=numbers(np.nan)), "environment 1 of test:sound gave nan as reward at step"),
    "reward inf": (outcome(reward=numbers(np.inf)), "gave inf as reward"),
    "reward -inf": (outcome(reward=numbers(-np.inf)), "gave -inf as reward"),
    "next_obs nan": (outcome(next_obs=numbers(np.nan, (3, 3))), "gave nan as next_obs"),
    "next_obs inf": (outcome(next_obs=numbers(np.inf, (3, 3))), "gave inf as next_obs"),
    "obs nan": (observed(lambda obs: numbers(np.nan, (3, 3))), "gave nan as obs"),
    "obs inf": (observed(lambda obs: numbers(np.inf, (3, 3))), "gave inf as obs"),
    "raises": (fails, "raised ZeroDivisionError in step"),
}
AT_THE_START = {
    "obs flat": (observed(lambda obs: obs.ravel()), "float32[3, 3] as obs at step 1, and float32[9] came"),
    "obs wide": (observed(lambda obs: np.zeros((3, 4), np.float32)), "float32[3, 4] came"),
    "obs of other envs": (observed(lambda obs: obs[:2]), "float32[2, 3] came"),
    "obs double": (observed(lambda obs: obs.astype(np.float64)), "float64[3, 3] came"),
    "obs whole": (observed(lambda obs: obs.astype(np.int32)), "int32[3, 3] came"),
    "obs bytes": (observed(lambda obs: obs.astype(np.uint8)), "uint8[3, 3] came"),
    "obs list": (observed(lambda obs: obs.tolist()), "list came"),
    "obs nothing": (observed(lambda obs: None), "NoneType came"),
    "next_obs wide": (outcome(next_obs=np.zeros((3, 4), np.float32)), "as next_obs"),
    "next_obs double": (outcome(next_obs=np.zeros((3, 3))), "as next_obs"),
    "next_obs nothing": (outcome(next_obs=None), "as next_obs"),
    "reward one": (outcome(reward=np.float32(1.0)), "float32[3] as reward"),
    "reward column": (outcome(reward=np.ones((3, 1), np.float32)), "float32[3, 1] came"),
    "reward double": (outcome(reward=np.ones(3)), "float64[3] came"),
    "reward whole": (outcome(reward=np.ones(3, np.int64)), "int64[3] came"),
    "reward list": (outcome(reward=[1.0, 1.0, 1.0]), "list came"),
    "reward number": (outcome(reward=1.0), "float came"),
    "discount double": (outcome(discount=np.ones(3)), "as discount"),
    "discount half": (outcome(discount=np.full(3, 0.5, np.float32)), "0 or 1 as discount"),
    "discount negative": (outcome(discount=np.full(3, -1, np.float32)), "0 or 1 as discount"),
    "discount nan": (outcome(discount=numbers(np.nan)), "0 or 1 as discount"),
    "discount column": (outcome(discount=np.ones((3, 1), np.float32)), "as discount"),
    "ends and goes on": (outcome(discount=np.zeros(3, np.float32)), "the end of the episode"),
    "last whole": (outcome(last=np.zeros(3, np.int32)), "bool[3] as last"),
    "last float": (outcome(last=np.zeros(3, np.float32)), "bool[3] as last"),
    "last one": (outcome(last=False), "bool[3] as last"),
    "last short": (outcome(last=np.zeros(2, bool)), "bool[2] came"),
    "valid whole": (lambda obs, out, valid: (obs, out, np.ones(3, np.int32)), "bool[3] as valid"),
    "valid short": (lambda obs, out, valid: (obs, out, np.ones(2, bool)), "bool[3] as valid"),
}
RESETS = {
    "reset flat": (np.ravel, "float32[3, 3] as obs at step 0, and float32[9] came"),
    "reset double": (lambda obs: obs.astype(np.float64), "float64"),
    "reset nan": (lambda obs: numbers(np.nan, (3, 3)), "gave nan as obs at step 0"),
    "reset inf": (lambda obs: numbers(np.inf, (3, 3)), "gave inf as obs"),
    "reset list": (lambda obs: obs.tolist(), "list came"),
    "reset nothing": (lambda obs: None, "NoneType came"),
    "reset raises": (fails, "raised ZeroDivisionError in reset"),
}


def test_a_zoo_of_broken_environments():
    """44 of 44, in the reset or in the first step; where it can break later, later too."""
    assert len(ZOO) + len(AT_THE_START) + len(RESETS) == 44
    for name, (spoil, says) in (ZOO | AT_THE_START).items():
        for at in (1, 57) if name in ZOO else (1,):
            env = Guarded(Sound(spoil, at))
            env.reset(0)
            for _ in range(at - 1):
                env.step(np.zeros(3, np.int32))
            with pytest.raises(Broken) as refused:
                env.step(np.zeros(3, np.int32))
            assert says in str(refused.value), name
    for name, (first, says) in RESETS.items():
        with pytest.raises(Broken) as refused:
            Guarded(Sound(first=first)).reset(0)
        assert says in str(refused.value), name


CLASSIC = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1", "MountainCarContinuous-v0")
TOY = ("FrozenLake-v1", "Taxi-v4", "CliffWalking-v1")


@pytest.mark.parametrize("name", CLASSIC + TOY)
def test_no_false_alarm(name):
    env = host_env(resolve(f"gym:{name}"))(3)
    assert isinstance(env, Guarded)
    rng = np.random.default_rng(0)
    env.reset(0)
    for _ in range(60):
        spec = env.spec
        shape = (3, *spec.action_shape)
        actions = rng.uniform(-1, 1, shape) if spec.continuous else rng.integers(0, spec.num_actions, 3)
        env.step(actions.astype(spec.action_dtype))
    env.close()


def test_a_number_that_is_not_finite_where_nothing_happened_is_no_fault():
    """A ragged environment's row that is no transition may hold anything but the observation to act on."""

    def spoil(obs, out, valid):
        return obs, out._replace(reward=numbers(np.nan)), np.array([True, False, True])

    env = Guarded(Sound(spoil))
    env.reset(0)
    assert env.step(np.zeros(3, np.int32))[2].tolist() == [True, False, True]


def test_a_step_that_hangs_is_noticed_at_the_time_out():
    told = []
    dog = Watchdog(0.2, "test:sound", told.append)
    with dog:
        time.sleep(0.05)
    time.sleep(0.5)
    assert not told  # between two steps time may pass
    with dog:
        until = time.monotonic() + 10
        while not told and time.monotonic() < until:
            time.sleep(0.01)
    assert "test:sound has not come back" in told[0]
    assert "--env-timeout" in told[0]


def test_a_run_whose_environment_hangs_ends_with_one_line():
    script = (
        "import time, numpy as np\nfrom qtwin.envs.guard import Guarded\nfrom test_env_guard import Sound\n"
        "env = Guarded(Sound(lambda *_: time.sleep(60)), 0.3)\nenv.reset(0)\nenv.step(np.zeros(3, np.int32))\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 1
    assert time.monotonic() - began < 40
    assert done.stderr.count("\n") == 1
    assert "has not come back" in done.stderr
