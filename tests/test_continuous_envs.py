"""Continuous actions are in [-1, 1] for every agent, and in the environment's own units for every environment."""

import json

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import ClipAction, TransformAction

from qtwin.cli.listing import listing
from qtwin.envs.actions import to_bounds
from qtwin.envs.catalog import resolve
from qtwin.envs.gym_envs import from_vector, gym_env, gym_spec
from qtwin.envs.make import jax_env
from qtwin.errors import Diverged, Refusal
from qtwin.run import evaluate, policy

LOW, HIGH = (-0.4, -2.0, 0.1, -1.0), (0.4, 7.3, 0.3, -1.0)


class Told(gym.Env):
    """Observes the action that it was handed, as numbers of the action's own type."""

    stepped = 0

    def __init__(self, space):
        self.action_space = space
        self.observation_space = Box(-np.inf, np.inf, (max(1, space.low.size),), space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape, self.observation_space.dtype), {}

    def step(self, action):
        type(self).stepped += 1
        assert self.action_space.contains(action)
        return action.ravel(), 0.0, False, False, {}


def told(space, envs=2):
    return from_vector(SyncVectorEnv([lambda: Told(space)] * envs, autoreset_mode=AutoresetMode.SAME_STEP), id="Told")


@pytest.mark.parametrize("in_jax", [False, True])
def test_one_and_minus_one_give_the_bounds_exactly(in_jax):
    low, high = np.float32(LOW), np.float32(HIGH)
    rescale = jax.jit(to_bounds) if in_jax else to_bounds
    ones = np.ones(4, np.float32)
    np.testing.assert_array_equal(rescale(-ones, low, high), low)
    np.testing.assert_array_equal(rescale(ones, low, high), high)
    np.testing.assert_allclose(rescale(0 * ones, low, high), [0.0, 2.65, 0.2, -1.0], atol=1e-7)
    np.testing.assert_array_equal(rescale(3 * ones, low, high), high)
    np.testing.assert_array_equal(rescale(-3 * ones, low, high), low)
    for action in np.random.default_rng(0).uniform(-1, 1, (200, 4)).astype(np.float32):
        came = np.asarray(rescale(action, low, high))
        assert ((low <= came) & (came <= high)).all()
        np.testing.assert_allclose(came, low + (high - low) * (action + 1) / 2, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_vector_in_python_is_handed_its_own_units_type_and_shape(dtype):
    space = Box(np.array(LOW, dtype).reshape(2, 2), np.array(HIGH, dtype).reshape(2, 2), dtype=dtype)
    env = told(space)
    assert env.spec.action_shape == (4,)
    assert env.spec.obs_dtype == "float32"
    np.testing.assert_array_equal(np.asarray(env.spec.action_low, dtype), space.low.ravel())
    env.reset(0)
    obs, _, _ = env.step(np.float32([[-1, -1, -1, -1], [1, 1, 1, 1]]))
    np.testing.assert_array_equal(obs, np.float32([LOW, HIGH]))
    obs, _, _ = env.step(np.zeros((2, 4), np.float32))
    np.testing.assert_allclose(obs[0], [0.0, 2.65, 0.2, -1.0], atol=1e-7)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_no_finite_number_ends_the_run_before_any_environment_is_stepped(wrong):
    env = told(Box(-1, 1, (2,)))
    env.reset(0)
    before = Told.stepped
    with pytest.raises(Diverged, match=r"Told received an action that is not finite.*smaller --lr") as raised:
        env.step(np.float32([[0, 0], [0, wrong]]))
    assert Told.stepped == before
    assert isinstance(raised.value, ValueError)
    assert not isinstance(raised.value, Refusal)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (Box(-np.inf, np.inf, (2,)), r"actions in \[-inf, inf\], and finite bounds are needed; wrap it in"),
        (Box(np.float32([-1, -1]), np.float32([1, np.inf])), r"in \[-1, inf\], and finite bounds"),
        (Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (1,)), "finite bounds are needed"),
        (Box(0, 2**60, (2,), np.int64), r"in \[0, 1.15292e\+18\], and whole numbers from -2\^53 to 2\^53 are needed"),
        (Box(0, 1, (0,)), "a box that holds no number"),
    ],
)
def test_boxes_that_cannot_be_rescaled_are_refused(space, says):
    with pytest.raises(Refusal, match=says) as refused:
        told(space)
    assert "\n" not in str(refused.value)


def test_the_way_out_that_the_refusal_of_unbounded_actions_offers_is_one():
    def make():
        return ClipAction(gym.make("Pendulum-v1"))  # whose actions are unbounded

    with pytest.raises(Refusal, match="finite bounds"):
        from_vector(SyncVectorEnv([make]))
    bounded = from_vector(SyncVectorEnv([lambda: TransformAction(make(), lambda a: a, Box(-1.0, 1.0, (1,)))]))
    assert (bounded.spec.action_low, bounded.spec.action_high) == ((-1.0,), (1.0,))


def test_discrete_observations_go_with_continuous_actions():
    env = Told(Box(-1, 1, (1,)))
    env.observation_space = Discrete(4)
    spec = from_vector(SyncVectorEnv([lambda: env])).spec
    assert (spec.num_states, spec.num_actions, spec.continuous) == (4, None, True)


def pendulum(theta, speed, torque):
    """Gymnasium's Pendulum-v1, written out: the next angle and speed, and the reward."""
    u = np.clip(torque, -2.0, 2.0)
    wrapped = (theta + np.pi) % (2 * np.pi) - np.pi
    reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * u**2)
    speed = np.clip(speed + (15.0 * np.sin(theta) + 3.0 * u) * 0.05, -8.0, 8.0)
    return theta + speed * 0.05, speed, reward


STATES = [(0.0, 0.0, 1.0), (np.pi, 0.0, -1.0), (1.5, -7.9, -0.5), (-3.0, 7.99, 0.25), (4.0, 1.0, 0.0)]


@pytest.mark.parametrize(("theta", "speed", "action"), STATES)
def test_pendulum_in_jax_and_in_python_is_pendulum_as_written(theta, speed, action):
    """An action of [-1, 1] is a torque of [-2, 2]."""
    then, faster, reward = pendulum(theta, speed, 2.0 * action)
    expected = [np.cos(then), np.sin(then), faster]

    env = jax_env(resolve("Pendulum-v1"))
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(theta=jnp.float32(theta), theta_dot=jnp.float32(speed))
    _, _, outcome = env.step(jax.random.key(1), state, jnp.float32([action]))
    np.testing.assert_allclose(outcome.next_obs, expected, atol=1e-5)
    assert outcome.reward.shape == ()
    np.testing.assert_allclose(outcome.reward, reward, rtol=1e-5)
    assert (float(outcome.discount), bool(outcome.last)) == (1.0, False)

    vector = SyncVectorEnv([lambda: gym.make("Pendulum-v1")], autoreset_mode=AutoresetMode.SAME_STEP)
    env = from_vector(vector)
    env.reset(0)
    vector.envs[0].unwrapped.state = np.array([theta, speed])
    _, outcome, _ = env.step(np.float32([[action]]))
    np.testing.assert_allclose(outcome.next_obs[0], expected, atol=1e-5)
    np.testing.assert_allclose(outcome.reward[0], reward, rtol=1e-5)


def test_pendulum_in_python_is_cut_and_never_terminates():
    env = gym_env("Pendulum-v1", 2)
    env.reset(0)
    for t in range(400):
        obs, outcome, _ = env.step(np.zeros((2, 1), np.float32))
        assert (outcome.discount == 1.0).all()
        assert outcome.last.all() == (t % 200 == 199)
        assert np.array_equal(outcome.next_obs, obs) == (t % 200 != 199)
    env.close()


def test_half_cheetah_is_stepped(tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it is
    spec = gym_spec("HalfCheetah-v5")
    assert (spec.obs_shape, spec.obs_dtype, spec.action_shape) == ((17,), "float32", (6,))
    assert (spec.action_low, spec.action_high) == ((-1.0,) * 6, (1.0,) * 6)
    assert spec.time_limit == 1000
    env, peer = gym_env("HalfCheetah-v5", 1), gym.make("HalfCheetah-v5")
    obs = env.reset(0)
    peer.reset(seed=int(np.random.SeedSequence(0).generate_state(1)[0] >> 2))
    random = np.random.default_rng(0)
    for _ in range(50):
        action = random.uniform(-1, 1, (1, 6)).astype(np.float32)
        obs, outcome, valid = env.step(action)
        theirs, reward, _, _, _ = peer.step(action[0])
        assert (obs.dtype, outcome.next_obs.dtype, valid) == (np.float32, np.float32, None)
        np.testing.assert_array_equal(outcome.next_obs[0], theirs.astype(np.float32))
        assert outcome.reward[0] == np.float32(reward)
    env.close()


def test_a_hopper_that_falls_terminates(tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it is
    env = gym_env("Hopper-v5", 2)
    env.reset(0)
    ends = []
    for _ in range(200):
        obs, outcome, _ = env.step(np.ones((2, 3), np.float32))
        ends += [(d, o) for d, o, last in zip(outcome.discount, outcome.next_obs, outcome.last, strict=True) if last]
        assert (obs[:, 0] > 1.2)[outcome.last].all()  # the next episode stands upright
    assert len(ends) > 2
    for discount, obs in ends:
        assert discount == 0.0
        assert obs[0] < 0.7 or abs(obs[1]) > 0.2 or np.abs(obs[2:]).max() >= 10
    env.close()


def test_the_two_continuous_mountain_cars_differ_at_the_left_wall_as_the_list_says():
    start, then = np.array([-1.19, -0.05]), []
    env = jax_env(resolve("MountainCarContinuous-v0"))
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(position=jnp.float32(start[0]), velocity=jnp.float32(start[1]))
    then.append(env.step(jax.random.key(0), state, -jnp.ones(1))[2].next_obs)
    peer = gym.make("MountainCarContinuous-v0").unwrapped
    peer.reset()
    peer.state = start
    then.append(peer.step(np.float32([-1]))[0])
    assert then[0][0] == then[1][0] == np.float32(-1.2)
    assert then[0][1] < -0.04
    assert then[1][1] == 0.0
    assert "left wall" in listing("envs")["MountainCarContinuous-v0"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Pendulum-v1", "[3] float32, actions of 1 number in [-2, 2], at most 200 steps"),
        ("PointRobot", "[6] float32, actions of 2 numbers in [-0.1, 0.1], at most 100 steps"),
        ("CartPole-v1", "[4] float32, 2 actions, at most 500 steps"),
    ],
)
def test_the_list_says_what_actions_are(name, line):
    assert listing("envs")[name] == line


def test_a_policy_is_evaluated_only_where_its_actions_mean_the_same(tmp_path):
    description = {
        "format": policy.FORMAT, "env": "gymnax:Pendulum-v1", "obs_shape": [3], "obs_dtype": "float32",
        "num_actions": None, "num_states": None, "action_low": [-3.0], "action_high": [2.0], "net": "mlp:8",
        "normalise": "none", "output": "tanh", "seeds": [0],
    }  # fmt: skip
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(Refusal, match=r"with action_low \(-3.0,\) and gymnax:Pendulum-v1 has \(-2.0,\); name another"):
        evaluate.run(str(tmp_path), 1, None, 0)
    with pytest.raises(Refusal, match=r"with obs_shape \(3,\) and gymnax:CartPole-v1 has \(4,\)"):
        evaluate.run(str(tmp_path), 1, "CartPole-v1", 0)
