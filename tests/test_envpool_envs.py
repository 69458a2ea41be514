"""envpool through the one contract, checked against Gymnasium's own environments step by step."""

import sys

import gymnasium as gym
import numpy as np
import pytest

from qtwin.envs.catalog import resolve
from qtwin.envs.make import host_env, make
from qtwin.errors import Diverged, Refusal


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it is


@pytest.fixture
def envpool():
    return pytest.importorskip("envpool")


def cartpole(env, obs):
    env.state, env.steps_beyond_terminated = np.asarray(obs, np.float64), None


def pendulum(env, obs):
    env.state = np.array([np.arctan2(obs[1], obs[0]), obs[2]], np.float64)


def mujoco(env, obs):
    places = env.model.nq - 1  # how far the body has run is not observed, and changes nothing
    env.set_state(np.concatenate([[0.0], obs[:places]]), np.asarray(obs[places:], np.float64))


WORLDS = {
    "CartPole-v1": (cartpole, 1e-5),
    "Pendulum-v1": (pendulum, 1e-5),
    "Hopper-v5": (mujoco, 1e-3),
    "HalfCheetah-v5": (mujoco, 1e-3),
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_row_that_is_kept_is_gymnasium_s_step(envpool, name):
    """From each observation acted on, Gymnasium's environment leads where envpool's did: no row spans a reset."""
    set_state, tolerance = WORLDS[name]
    if set_state is mujoco:
        pytest.importorskip("mujoco")
    from qtwin.envs.envpool_envs import envpool_env

    env = envpool_env(name, 3, max_episode_steps=25)
    theirs = resolve(f"gym:{name}")
    for field in ("obs_shape", "obs_dtype", "num_actions", "action_low", "action_high"):
        assert getattr(env.spec, field) == getattr(theirs, field)
    assert (env.spec.time_limit, env.spec.engine, env.ragged) == (25, "hosted", True)
    peer = gym.make(name, disable_env_checker=True).unwrapped
    peer.reset(seed=0)
    random = np.random.default_rng(0)
    obs, lengths, ends, garbage, compared = env.reset(0), np.zeros(3, int), [], 0, 0
    for _ in range(80):
        if env.spec.continuous:
            action = random.uniform(-1, 1, (3, *env.spec.action_shape)).astype(np.float32)
        else:
            action = random.integers(0, env.spec.num_actions, 3).astype(np.int32)
        following, outcome, valid = env.step(action)
        assert (outcome.next_obs.dtype, outcome.reward.dtype) == (obs.dtype, np.float32)
        for i in range(3):
            if not valid[i]:
                garbage += 1
                assert not outcome.last[i]
                assert lengths[i] == 0
                continue
            set_state(peer, obs[i])
            units = action[i] * np.float32(peer.action_space.high) if env.spec.continuous else int(action[i])
            then, reward, terminated, _, _ = peer.step(units)
            # At its greatest speed envpool's pendulum turns by the speed before it was clipped.
            if name != "Pendulum-v1" or abs(then[2]) < 8.0:
                np.testing.assert_allclose(outcome.next_obs[i], then, atol=tolerance, rtol=tolerance)
                compared += 1
            np.testing.assert_allclose(outcome.reward[i], reward, atol=10 * tolerance)
            lengths[i] += 1
            assert outcome.last[i] == (terminated or lengths[i] == 25)
            if lengths[i] < 25:
                assert outcome.discount[i] == (0.0 if terminated else 1.0)
            if outcome.last[i]:
                ends.append((lengths[i], outcome.discount[i]))
                lengths[i] = 0
        obs = following
    assert compared > 150
    assert len(ends) >= 9
    assert 0 <= len(ends) - garbage <= 3
    if name in ("Pendulum-v1", "HalfCheetah-v5"):
        assert set(ends) == {(25, 1.0)}  # cut, never terminated
    else:
        assert any(discount == 0.0 for _, discount in ends)
    env.close()


def test_a_seed_decides_everything_and_a_reset_starts_over(envpool):
    env = host_env(resolve("envpool:Pendulum-v1"))(4)

    def episode(seed):
        rows = [env.reset(seed)]
        rows += [env.step(np.full((4, 1), 0.5, np.float32))[0] for _ in range(5)]
        return np.stack(rows)

    first, other, again = episode(0), episode(1), episode(0)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first[0], other[0]]), axis=0)) == 8
    env.close()


def test_states_that_are_an_index_and_other_specs(envpool):
    spec = resolve("envpool:FrozenLake-v1")
    assert (spec.num_states, spec.num_actions, spec.obs_dtype, spec.time_limit) == (16, 4, "int32", 100)
    env = make(spec)(2)
    assert env.reset(0).shape == (2,)
    with pytest.raises(Refusal, match="fused engine needs"):
        make(spec, "fused")
    spec = resolve("envpool:HalfCheetah-v5")
    assert (spec.obs_dtype, spec.action_low, spec.time_limit) == ("float32", (-1.0,) * 6, 1000)


def test_an_action_that_is_no_number_is_stopped_here_too(envpool):
    env = host_env(resolve("envpool:Pendulum-v1"))(2)
    env.reset(0)
    with pytest.raises(Diverged, match="envpool:Pendulum-v1"):
        env.step(np.full((2, 1), np.nan, np.float32))


def test_what_cannot_be_taken_is_refused(envpool):
    from qtwin.envs.envpool_envs import envpool_spec

    for name, says in (
        ("CartPol-v1", "did you mean 'CartPole-v1'?"),
        ("CheetahRun-v1", "observations of the kind Dict"),
        ("D1Basic-v1", "finite bounds are needed"),
    ):
        with pytest.raises(Refusal, match=says) as refused:
            envpool_spec(name)
        assert "\n" not in str(refused.value)
    with pytest.raises(Refusal, match="cannot make CartPole-v1 with the options"):
        envpool_spec("CartPole-v1", gravitation=3)


def test_without_envpool_the_line_that_installs_it_is_named(monkeypatch):
    for known in [name for name in sys.modules if name == "envpool" or name.startswith("envpool.")]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(Refusal) as refused:
        resolve("envpool:CartPole-v1")
    assert "which is not installed; write pip install 'qtwin[envpool]', or gym:CartPole-v1" in str(refused.value)
