"""Long runs, and runs made twice: rows 2, 13, 15 and 17 of docs/reliability.md in their quick form."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import gymnasium as gym
import jax
import numpy as np
import pytest
from counting_env import Counting
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from worlds import counting, little_dqn, tick, walk

from qtwin.agents.catalog import algorithm
from qtwin.config.config import Config
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.engine.hosted import hosted
from qtwin.engine.hosted_fleet import HostedFleet
from qtwin.envs.gym_envs import from_vector
from qtwin.envs.jax_on_host import host_of
from qtwin.rates import Rates
from qtwin.request.retention import Keep
from qtwin.run.checkpoint_manager import Saver
from qtwin.run.logs import Screen
from qtwin.target_update.rules import hard

ROOT = Path(__file__).parents[1]


def test_the_same_seed_gives_the_same_bytes_in_two_fresh_processes():
    """Row 2: an agent of each kind, all of its state."""

    def digests():
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "same_seed.py")], encoding="utf-8", capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    first, again = digests(), digests()
    assert len(set(first.values())) == 7
    assert first == again


def test_counters_are_exact_over_a_million_steps_and_ten_resumes(tmp_path):
    """Row 13: 3 gradient steps for 8 transitions, a move of the target each 7; after a warm-up of 40."""
    rates = Rates(collect=8, regress=3, target_update=hard(7), warmup=40)
    fleet = FusedFleet(counting(rates, 64), tick(), 4, (0,))
    blank = fleet.snapshot(0)
    saver = Saver(tmp_path, fleet, Screen(1, 0, True), Keep(last=1))
    fleet.warm_up(fleet.turn.warmup_vector_steps)
    done, stops = 0, np.linspace(0, (1_000_000 - 40) // 8, 12).astype(int)[1:]
    assert len(stops) == 11
    for stop in stops.tolist():
        fleet.advance(stop - done)
        done = stop
        assert saver.save(done)
        fleet.restore([blank])
        assert saver.go_on() == done
        (clock,) = fleet.clocks()
        assert clock.transitions == 40 + 8 * done
        assert clock.gradient_steps == 3 * done
        assert clock.target_updates == 3 * done // 7
        assert clock.age == 3 * done % 7
    assert clock.transitions == 1_000_000


class Endless(gym.Env):
    """One state and a reward of 1 for ever."""

    observation_space, action_space = Discrete(1), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, False, False, {}


MODES = list(AutoresetMode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_time_limit_is_no_end_in_any_way_of_resetting(mode):
    """Row 15: the value of an endless reward is 1 / (1 - gamma) within 1 %, though episodes are cut after 7 steps."""
    vector = SyncVectorEnv([lambda: TimeLimit(Endless(), 7)] * 2, autoreset_mode=mode)
    env = from_vector(vector, "gym:Endless")
    c = Config(
        "gym:Endless", net="table", discount=0.9, n_step=2, optimiser="sgd", learning_rate=0.5, target="hard:10",
        envs=2, collect=2, warmup=40, replay=100, batch=16, explore="1", steps=2000,
    )  # fmt: skip
    algo = algorithm(env.spec, c)
    engine = hosted(algo, env, overlap=False)
    state = engine.advance(engine.warm_up(engine.init(0), 20), 500)
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.twin.online.params)])
    assert np.abs(values / 10.0 - 1.0).max() < 0.01
    engine.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_no_transition_crosses_an_episode_in_any_way_of_resetting(mode):
    """Row 15: observations count the steps of their episode, so that each return can be held against it."""
    env = from_vector(SyncVectorEnv([Counting] * 3, autoreset_mode=mode), "gym:Counting")
    algo = little_dqn(replay=4096, n_step=3)
    engine = hosted(algo, env, overlap=False)
    state = engine.warm_up(engine.init(0), 30)
    replay = algo.replay.ragged() if env.ragged else algo.replay
    found = jax.tree.map(np.asarray, replay.at(state.replay, np.arange(70)))
    began, reached = found.obs[:, 0], found.next_obs[:, 0]
    assert (reached == np.minimum(began + 3, 7)).all()
    assert np.allclose(found.reward, [sum(0.9**k for k in range(int(n))) for n in reached - began])
    assert np.allclose(found.discount, 0.9 ** (reached - began))
    engine.close()


def held():
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "arrays": len(jax.live_arrays()),
    }


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux tells of a process")
@pytest.mark.parametrize("engine", ["fused", "hosted"])
def test_after_the_first_round_nothing_is_compiled_and_nothing_grows(engine, tmp_path):
    """Row 17: `benchmarks/reliability/soak.py` does it for an hour."""
    algo = little_dqn(replay=64)
    if engine == "fused":
        fleet = FusedFleet(algo, walk(), 4, (0,))
    else:
        fleet = HostedFleet(algo, lambda envs: host_of(walk(), envs), 4, (0,))
    saver = Saver(tmp_path, fleet, Screen(1, 0, True))
    compiled = []
    fleet.warm_up(fleet.turn.warmup_vector_steps)

    def round_of(count):
        fleet.advance(7 + count)
        fleet.evaluate(count)
        fleet.take_tallies(), fleet.clocks(), fleet.faults(), fleet.twin_distances()
        assert saver.save(count)

    round_of(1)
    round_of(2)
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: compiled.append(event))
    before = held()
    for count in range(3, 23):
        round_of(count)
    assert held() == before
    assert not [event for event in compiled if "compile" in event]
    fleet.close()
