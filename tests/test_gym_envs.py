"""Gymnasium environments through the one contract: true next observations, whichever way a vector resets."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from clockwork import clockwork, length, reward
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from qtwin.envs.gym_envs import from_vector, gym_env, gym_spec
from qtwin.errors import Refusal


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_way_of_resetting_gives_true_transitions(mode):
    env = from_vector(clockwork(3, mode), id="clockwork")
    assert env.spec.id == "gym:clockwork"
    assert (env.spec.obs_shape, env.spec.obs_dtype, env.spec.num_actions) == ((3,), "float32", 3)
    assert env.ragged == (mode is AutoresetMode.NEXT_STEP)
    obs = env.reset(0)
    expected = dict.fromkeys(range(3), (0, 0))  # episode and step that each environment is to act on next
    kept, garbage = [], 0
    for n in range(60):
        following, outcome, valid = env.step(np.full(3, n % 3, np.int32))
        kept.append((obs, outcome, obs.copy(), outcome.next_obs.copy()))
        for i in range(3):
            if valid is not None and not valid[i]:
                garbage += 1
                assert not outcome.last[i]
                assert following[i].tolist() == [i, expected[i][0], 0]
                continue
            episode, t = expected[i]
            end = t + 1 == length(i, episode)
            assert obs[i].tolist() == [i, episode, t]
            assert outcome.next_obs[i].tolist() == [i, episode, t + 1]
            assert outcome.reward[i] == reward(i, episode, t + 1)
            assert outcome.last[i] == end
            assert outcome.discount[i] == (0.0 if end and episode % 2 == 0 else 1.0)
            expected[i] = (episode + 1, 0) if end else (episode, t + 1)
            if mode is not AutoresetMode.NEXT_STEP:
                assert following[i].tolist() == [i, *expected[i]]
        obs = following
    ended = sum(episode for episode, _ in expected.values())
    assert ended > 50
    assert garbage == 0 if mode is not AutoresetMode.NEXT_STEP else 0 <= ended - garbage <= 3
    assert all(
        np.array_equal(o, then) and np.array_equal(outcome.next_obs, next_then) for o, outcome, then, next_then in kept
    )
    for column, dtype in zip((obs, *outcome), ("float32", "float32", "float32", "float32", "bool"), strict=True):
        assert column.dtype == dtype


def test_a_second_reset_forgets_the_resets_that_were_due():
    env = from_vector(clockwork(3, AutoresetMode.NEXT_STEP))
    env.reset(0)
    _, outcome, _ = env.step(np.zeros(3, np.int32))
    assert outcome.last[0]
    env.reset(1)
    assert env.step(np.zeros(3, np.int32))[2].all()


def test_how_a_vector_resets_is_read_from_the_vector_itself():
    # Gymnasium writes the mode into the metadata of the environment's class, which every vector of it shares.
    mine = SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    SyncVectorEnv([lambda: gym.make("CartPole-v1")], autoreset_mode=AutoresetMode.NEXT_STEP)
    assert mine.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert not from_vector(mine).ragged
    assert from_vector(gym.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")).ragged


def test_a_wrapped_vector_and_gymnasium_s_own_vector_classes_are_taken():
    wrapped = gym.wrappers.vector.RecordEpisodeStatistics(clockwork(2, AutoresetMode.SAME_STEP))
    env = from_vector(wrapped)
    env.reset(0)
    assert env.step(np.zeros(2, np.int32))[2] is None
    env = from_vector(gym.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point"))
    assert env.spec.id == "gym:CartPole-v1"
    obs = env.reset(0)
    garbage, ended = 0, 0
    for _ in range(100):
        following, outcome, valid = env.step(np.ones(3, np.int32))
        garbage, ended = garbage + int((~valid).sum()), ended + int(outcome.last.sum())
        assert np.all(np.abs(outcome.next_obs - obs)[valid] < 1.0)  # no step of the pole is as far as a reset
        obs = following
    assert ended > 15
    assert 0 <= ended - garbage <= 3


class Typed(gym.Env):
    def __init__(self, space, actions):
        self.observation_space, self.action_space = space, actions or Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.0, False, False, {}


@pytest.mark.parametrize(
    ("space", "dtype", "shape", "states"),
    [
        (Box(0, 255, (2, 3), np.uint8), "uint8", (2, 3), None),
        (Box(0, 1, (4,), np.bool_), "bool", (4,), None),
        (Box(-1, 1, (4,), np.float32), "float32", (4,), None),
        (Box(-1, 1, (4,), np.float64), "float32", (4,), None),
        (Box(-9, 9, (2,), np.int64), "int32", (2,), None),
        (Box(-9, 9, (2,), np.int8), "int8", (2,), None),
        (Discrete(6, start=10), "int32", (), 6),
        (Discrete(6, start=-3), "int32", (), 6),
    ],
)
def test_observations_keep_their_type_and_states_count_from_zero(space, dtype, shape, states):
    env = from_vector(SyncVectorEnv([lambda: Typed(space, None)] * 2, autoreset_mode=AutoresetMode.SAME_STEP))
    assert (env.spec.obs_dtype, env.spec.obs_shape, env.spec.num_states) == (dtype, shape, states)
    seen = [env.reset(0)]
    for _ in range(60):
        obs, outcome, _ = env.step(np.zeros(2, np.int32))
        seen += [obs, outcome.next_obs]
    assert {(x.dtype.name, x.shape) for x in seen} == {(dtype, (2, *shape))}
    if states:
        assert {int(s) for x in seen for s in x} == set(range(states))


def test_a_seed_decides_everything_and_neighbouring_seeds_share_nothing():
    env = gym_env("CartPole-v1", 4)
    first, again, other = env.reset(0), env.reset(0), env.reset(1)
    assert np.array_equal(first, again)
    assert len(np.unique(np.concatenate([first, other]), axis=0)) == 8
    env.close()


def test_processes_of_their_own_give_the_same_steps():
    steps = []
    for mode in ("sync", "async"):
        env = gym_env("CartPole-v1", 2, mode)
        out = [env.reset(3)]
        for _ in range(30):
            obs, outcome, valid = env.step(np.ones(2, np.int32))
            assert valid is None
            out += [obs, *outcome]
        steps.append(out)
        env.close()
    assert any(last.any() for last in steps[0][5::5])
    assert all(np.array_equal(a, b) for a, b in zip(*steps, strict=True))


def test_specs():
    spec = gym_spec("FrozenLake-v1", map_name="8x8")
    assert (spec.obs_shape, spec.num_states, spec.num_actions, spec.time_limit) == ((), 64, 4, 100)
    assert spec.engine == "hosted"
    assert gym_spec("CartPole-v1").time_limit == 500
    env = gym_env("FrozenLake-v1", 2, map_name="8x8")
    assert env.spec.num_states == 64
    env.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CartPol-v1", "did you mean 'CartPole-v1'?"),
        ("LunarLander-v2", "did you mean 'LunarLander-v3'?"),
        ("HalfCheetah-v2", "was removed from Gymnasium; write HalfCheetah-v5"),
        ("Blackjack-v1", "observations of the kind Tuple"),
        ("os:CartPole-v1", "unknown environment 'gym:os:CartPole-v1'"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_sentence(name, says):
    with pytest.raises(Refusal) as refused:
        gym_spec(name)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def without(monkeypatch, module):
    for known in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("LunarLander-v3", "Box2D", "pip install 'qtwin[box2d]'"),
        ("ALE/Pong-v5", "ale_py", "pip install 'qtwin[atari]'"),
        ("HalfCheetah-v5", "mujoco", "pip install 'qtwin[mujoco]'"),
        ("Hopper-v4", "mujoco", "pip install 'qtwin[mujoco]'"),
    ],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch, name, module, line):
    without(monkeypatch, module)
    for known in [name for name in sys.modules if name.startswith(("gymnasium.envs.box2d", "gymnasium.envs.mujoco"))]:
        monkeypatch.delitem(sys.modules, known)
    with pytest.raises(Refusal) as refused:
        gym_spec(name)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("observations", "actions", "says"),
    [
        (Box(0, 1, (1,)), MultiDiscrete([2, 2]), "actions of the kind MultiDiscrete"),
        (MultiDiscrete([2, 2]), None, "observations of the kind MultiDiscrete"),
        (Dict(a=Discrete(2)), None, "observations of the kind Dict"),
    ],
)
def test_other_spaces_are_refused(observations, actions, says):
    with pytest.raises(Refusal, match=says):
        from_vector(SyncVectorEnv([lambda: Typed(observations, actions)]))


def test_a_wrong_mode_and_wrong_options_are_refused():
    with pytest.raises(Refusal, match="did you mean 'async'"):
        gym_env("CartPole-v1", 2, "asinc")
    with pytest.raises(Refusal, match="does not take the options"):
        gym_spec("CartPole-v1", gravitation=3)


def test_a_vector_that_does_not_say_how_it_resets_or_says_what_it_does_not_do_is_refused():
    class Mute(gym.vector.VectorWrapper):
        metadata = {}  # noqa: RUF012
        unwrapped = property(lambda self: self)
        autoreset_mode = None

    with pytest.raises(Refusal, match="has to say how it resets"):
        from_vector(Mute(clockwork(2, AutoresetMode.SAME_STEP)))

    class Forgetful(gym.vector.VectorWrapper):
        def step(self, actions):
            return *self.env.step(actions)[:4], {}

    env = from_vector(Forgetful(clockwork(2, AutoresetMode.SAME_STEP)))
    env.reset(0)
    with pytest.raises(Refusal, match="no 'final_obs'"):
        env.step(np.zeros(2, np.int32))


def test_specs_and_refusals_do_not_import_jax():
    code = (
        "import sys\nfrom qtwin.envs.gym_envs import gym_spec\nfrom qtwin.errors import Refusal\n"
        "gym_spec('CartPole-v1')\ngym_spec('Pendulum-v1')\n"
        "try: gym_spec('Pendulum-v7')\nexcept Refusal: pass\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stack_of_frames_needs_a_last_axis_that_holds_it():
    env = SyncVectorEnv([lambda: Typed(Box(0, 255, (4, 6, 3), np.uint8), None)])
    assert from_vector(env, stack=3).spec.stack == 3
    with pytest.raises(Refusal, match="not 2 frames along the last axis"):
        from_vector(env, stack=2)
