"""Environments written in JAX keep the one contract: true next observation, discount 0 only on termination."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.acting.exploration import uniform_actions
from qtwin.envs.catalog import resolve
from qtwin.envs.gymnax_specs import GYMNAX, NEEDS_DOWNLOAD
from qtwin.envs.make import jax_env

KNOWN = sorted(name for name in GYMNAX if name not in NEEDS_DOWNLOAD)


def play(name, steps, seed=0):
    """Random steps of one environment: obs, outcome and the observation to act on next, one row per step."""
    spec = resolve(name)
    env = jax_env(spec)

    def step(carry, key):
        state, obs = carry
        act, move = jax.random.split(key)
        action = uniform_actions(spec, 1, act)[0]
        state, after, outcome = env.step(move, state, action)
        return (state, after), (obs, after, outcome)

    begin, rest = jax.random.split(jax.random.key(seed))
    _, rows = jax.lax.scan(step, env.reset(begin), jax.random.split(rest, steps))
    return spec, jax.tree.map(np.asarray, rows)


@pytest.mark.parametrize("name", KNOWN)
def test_every_environment_of_gymnax(name):
    spec, (obs, after, outcome) = play(f"gymnax:{name}", 300)
    assert obs.shape == (300, *spec.obs_shape)
    assert obs.dtype == spec.obs_dtype
    assert outcome.next_obs.shape == obs.shape
    assert (outcome.reward.dtype, outcome.reward.shape) == (np.float32, (300,))
    assert np.isfinite(outcome.reward).all()
    assert set(np.unique(outcome.discount)) <= {0.0, 1.0}
    going_on = ~outcome.last
    np.testing.assert_array_equal(outcome.next_obs[going_on], after[going_on])
    assert (outcome.discount[going_on] == 1.0).all(), "discount 0 only on termination"
    np.testing.assert_array_equal(after[:-1], obs[1:])


def test_a_time_limit_is_no_termination():
    """MountainCar under random actions never arrives: cut after 200 steps, each with discount 1."""
    _, (_, after, outcome) = play("MountainCar-v0", 450)
    assert np.flatnonzero(outcome.last).tolist() == [199, 399]
    assert (outcome.discount == 1.0).all()
    assert not np.array_equal(outcome.next_obs[199], after[199]), (
        "the true last observation, not the next episode's first"
    )


def test_a_swung_pendulum_never_terminates():
    spec, (_, after, outcome) = play("Pendulum-v1", 450)
    assert spec.continuous
    assert np.flatnonzero(outcome.last).tolist() == [199, 399]
    assert (outcome.discount == 1.0).all()
    assert not np.array_equal(outcome.next_obs[199], after[199])


def test_a_fallen_pole_is_a_termination():
    _, (_, after, outcome) = play("CartPole-v1", 200)
    assert outcome.last.sum() > 3
    np.testing.assert_array_equal(outcome.discount == 0.0, outcome.last)
    fallen = outcome.next_obs[outcome.last]
    assert ((np.abs(fallen[:, 2]) > 0.2) | (np.abs(fallen[:, 0]) > 2.4)).all()
    assert (np.abs(after[outcome.last]) <= 0.05).all()


def test_cartpole_is_gymnasiums():
    """The fused CartPole-v1 and Gymnasium's, from the same state with the same actions."""
    import gymnasium

    env = jax_env(resolve("CartPole-v1"))
    peer = gymnasium.make("CartPole-v1").unwrapped
    state, obs = env.reset(jax.random.key(0))
    peer.reset(seed=0)
    peer.state = np.asarray(obs, np.float64)
    step = jax.jit(env.step)
    for t in range(60):
        action = (t // 2) % 2
        state, _, outcome = step(jax.random.key(t), state, jnp.int32(action))
        theirs, reward, terminated, _, _ = peer.step(action)
        np.testing.assert_allclose(outcome.next_obs, theirs, atol=2e-4)
        assert float(outcome.reward) == reward
        assert bool(outcome.discount == 0.0) == terminated
        if terminated:
            return
    raise AssertionError("the pole should have fallen")
