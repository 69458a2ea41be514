"""What a policy takes and gives is the environment's own, whatever its spaces are."""

import dataclasses
import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spaces import action_spaces, random_space

from qtwin.config.option_specs import target_entropy_choice
from qtwin.envs.actions import translator
from qtwin.envs.gym_envs import from_vector, spec_of
from qtwin.envs.spaces import from_json, space_of, to_json
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Diverged, Refusal
from qtwin.run.observe import observed
from qtwin.run.policy import Policy, read_description
from qtwin.types import Variables

VECTOR = Box(-np.inf, np.inf, (3,), np.float32)
AT_LENGTH = settings(
    max_examples=1000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def members(space, actions):
    """Does the space hold every action of a batch? Its own ``contains`` decides."""
    return all(space.contains(action if isinstance(space, Box) else action[()]) for action in map(np.asarray, actions))


def policy_in(observations, actions, scale=1.0, seed=0):
    """A whole policy with a random linear network in numpy."""
    spec = spec_of("gym:X-v0", observations, actions, None)
    inputs = spec.num_states or int(np.prod(spec.obs_shape))
    outputs = spec.num_actions or 2 * len(spec.action_low)
    kernel = np.random.default_rng(seed).normal(size=(inputs, outputs)).astype(np.float32) * np.float32(scale)

    def apply(variables, obs):
        flat = np.eye(spec.num_states, dtype=np.float32)[obs] if spec.num_states else obs.reshape(len(obs), -1)
        return np.float32(flat) @ variables.params

    return Policy(spec, 0, Variables(kernel, {}), apply, "tanh of the mean" if spec.continuous else "values")


@AT_LENGTH
@given(action_spaces(), st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=4), st.integers(0, 2**30))
def test_every_action_of_every_space_is_contained_in_it(space, numbers, index):
    own = space_of("X", "actions", space)
    assert from_json("X", json.loads(json.dumps(to_json(own), allow_nan=False))) == own
    translate = translator("X", own)
    if isinstance(space, Discrete):
        action = translate(np.int32(index % int(space.n)))
        assert int(action) == int(space.start) + index % int(space.n)
        assert space.contains(action)
        return
    tiled = np.resize(np.float32([-1, 1, *numbers]), (7, own.size))
    batch = translate(tiled)
    assert (batch.dtype, batch.shape) == (space.dtype, (7, *space.shape))
    assert members(space, batch)
    ends = translate(np.float32([[-1] * own.size, [1] * own.size]))
    np.testing.assert_array_equal(ends, [space.low, space.high])


def test_ten_thousand_whole_policies_answer_within_their_space():
    random = np.random.default_rng(1)
    for i in range(10_000):
        space = random_space(random)
        if i % 5 == 0:
            start = int(random.choice([0, -4, 2**62]))
            policy = policy_in(Discrete(6, start=start), space, 10.0 ** random.integers(-2, 3), i)
            obs = start + random.integers(0, 6, 3)
        else:
            policy = policy_in(VECTOR, space, 10.0 ** random.integers(-2, 3), i)
            obs = random.normal(size=(3, 3)).astype(np.float32)
        one, batch = policy(obs[0]), policy(obs)
        assert space.contains(one), (space, one)
        assert isinstance(one, np.ndarray if isinstance(space, Box) else int)
        assert members(space, batch), (space, batch)
        np.testing.assert_array_equal(batch[0], one)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64])
def test_each_whole_number_of_a_box_is_reached(kind):
    space = Box(kind(3), kind(9), (1,), kind)
    actions = translator("X", space_of("X", "actions", space))(np.linspace(-1, 1, 1001, dtype=np.float32)[:, None])
    values, counts = np.unique(actions, return_counts=True)
    assert values.tolist() == list(range(3, 10))
    assert counts[1:-1].min() > 1001 / 6 - 2  # the two ends are half as wide as the others
    assert counts[[0, -1]].min() > 1001 / 12 - 2


class Told(gym.Env):
    """Remembers the actions that it is handed, and asks its own space whether they belong to it."""

    def __init__(self, observations, actions):
        self.observation_space, self.action_space, self.came = observations, actions, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(np.asarray(action) if isinstance(self.action_space, Box) else action)
        self.came.append(np.array(action))
        return self.observation_space.sample(), 0.0, False, False, {}


SPACES = {
    "a start": Discrete(3, start=-7),
    "a start at the end of 64 bits": Discrete(3, start=2**63 - 4),
    "a matrix": Box(np.float32([[0, -2, 5], [1, 1, 1]]), np.float32([[1, 2, 6], [3, 3, 3]])),
    "64 bits": Box(0.1, 0.3, (1,), np.float64),
    "16 bits": Box(0.1, 0.3, (2,), np.float16),
    "whole numbers": Box(np.int32([0, -3]), np.int32([10, 4]), dtype=np.int32),
    "bytes": Box(0, 255, (2, 2), np.uint8),
    "one point": Box(0.1, 0.1, (2,), np.float64),
}


@pytest.mark.parametrize("name", SPACES)
def test_training_and_the_policy_hand_the_environment_the_same_action(name):
    space = SPACES[name]
    start = 2**40 + 5
    observations = Discrete(5, start=start) if name.startswith("a start") else Box(-1, 1, (3,), np.float64)
    vector = SyncVectorEnv([lambda: Told(observations, space)], autoreset_mode=AutoresetMode.SAME_STEP)
    env, policy = from_vector(vector, id="X-v0"), policy_in(observations, space, 3.0)
    seen, told = env.reset(0), vector.envs[0]
    for _ in range(40):
        own = seen[0]
        if isinstance(observations, Discrete):
            assert 0 <= seen[0] < 5
            own = int(seen[0]) + start
        inside = policy.inside(seen)
        action = policy(own)
        assert space.contains(action)
        seen, _, _ = env.step(inside)
        np.testing.assert_array_equal(told.came[-1], action)
    assert env.spec == policy.spec


def test_a_discrete_space_of_fewer_bits_is_handed_its_own_type():
    try:
        space = Discrete(3, start=5, dtype=np.int16)
    except TypeError:
        pytest.skip("this version of Gymnasium knows 64 bits only")
    vector = SyncVectorEnv([lambda: Told(VECTOR, space)], autoreset_mode=AutoresetMode.SAME_STEP)
    env = from_vector(vector)
    env.reset(0)
    env.step(np.int32([2]))
    assert vector.envs[0].came == [7]
    assert members(space, policy_in(VECTOR, space)(np.ones((4, 3), np.float32)))


@pytest.mark.parametrize(
    ("observations", "actions", "says"),
    [
        (VECTOR, Discrete(4, start=2**63 - 4), "reaches the end of int64"),
        (Discrete(4, start=2**63 - 4), Discrete(2), "observations from 9223372036854775804 to"),
        (VECTOR, Box(-(2**53) - 1, 0, (1,), np.int64), r"whole numbers from -2\^53 to 2\^53 are needed"),
        (VECTOR, Box(0, 2**60, (1,), np.uint64), r"whole numbers from -2\^53 to 2\^53 are needed"),
        (VECTOR, Box(-1e39, 1e39, (1,), np.float64), "finite bounds are needed"),
        (VECTOR, Box(0, 1, (2,), np.bool_), "a box of bool, and a box of floating-point or whole numbers"),
        (VECTOR, Box(-1, 1, (2,), np.longdouble), "a box of (float128|longdouble), and a box of floating-point"),
    ],
)
def test_spaces_that_cannot_be_exact_are_refused(observations, actions, says):
    with np.errstate(over="ignore"), pytest.raises(Refusal, match=says) as refused:
        spec_of("gym:X-v0", observations, actions, None)
    assert "\n" not in str(refused.value)


def test_the_target_entropy_counts_every_number_of_an_action():
    spec = spec_of("gym:X-v0", VECTOR, SPACES["a matrix"], None)
    assert target_entropy_choice("auto", spec) == -6.0
    assert (spec.action_shape, spec.action_space.shape) == ((6,), (2, 3))


def test_spaces_that_nobody_has_told_are_those_that_agents_see():
    spec = EnvSpec("gym:X-v0", (4, 4, 1), "uint8", None, action_low=(-0.1, 0.0), action_high=(0.1, 2.0))
    own = spec.own_actions
    assert (own.dtype, own.shape, own.low) == ("float32", (2,), (float(np.float32(-0.1)), 0.0))
    assert to_json(spec.own_observations) == {
        "kind": "box", "shape": [4, 4, 1], "dtype": "uint8", "low": 0, "high": 255,
    }  # fmt: skip
    unbounded = to_json(dataclasses.replace(spec, obs_dtype="float32").own_observations)
    assert (unbounded["low"], unbounded["high"]) == ("-inf", "inf")
    assert EnvSpec("gym:X-v0", (), "int32", 3, 5).own_observations.n == 5


def test_observations_of_more_than_64_bits_are_described_in_64():
    own = space_of("X", "observations", Box(-0.1, 1, (2,), np.longdouble))
    assert (own.dtype, own.low) == ("float64", (-0.1,))
    np.testing.assert_array_equal(observed(own, np.longdouble([0.1, 2]), "float32"), np.float32([0.1, 2]))


BYTES = space_of("X", "observations", Box(0, 255, (4, 5, 2), np.uint8))
FLAGS = space_of("X", "observations", Box(0, 1, (2,), np.bool_))
SCALED = space_of("X", "observations", Box(0.0, 1.0, (4, 5, 2), np.float32))
STATES = space_of("X", "observations", Discrete(4, start=10))
MONEY = space_of("X", "observations", Box(0, 10**12, (1,), np.int64))
FREE = space_of("X", "observations", VECTOR)
PICTURE = np.random.default_rng(0).integers(0, 256, (4, 5, 2), dtype=np.uint8)
PICTURE[0, 0] = 0, 255


@pytest.mark.parametrize(
    ("space", "obs", "kind", "expected"),
    [
        (BYTES, PICTURE.astype(np.int64), "uint8", PICTURE),
        (BYTES, PICTURE.astype(np.float32), "uint8", PICTURE),
        (BYTES, PICTURE.tolist(), "uint8", PICTURE),
        (BYTES, np.zeros((3, 4, 5, 2)), "uint8", np.zeros((3, 4, 5, 2))),
        (BYTES, PICTURE // 255, "uint8", PICTURE // 255),
        (FLAGS, np.float64([0, 1]), "bool", [False, True]),
        (FLAGS, [1, 0], "bool", [True, False]),
        (STATES, 12, "int32", 2),
        (STATES, np.uint8(13), "int32", 3),
        (STATES, np.array(10.0), "int32", 0),
        (STATES, [10, 13, 11], "int32", [0, 3, 1]),
        (MONEY, [2**31 - 1], "int32", [2**31 - 1]),
        (MONEY, [3_000_000_000], "float32", [3e9]),
        (FREE, np.float64([0.5, -2, 1e9]), "float32", [0.5, -2, 1e9]),
        (FREE, [1, 2, 300], "float32", [1, 2, 300]),
        (FREE, [True, False, True], "float32", [1, 0, 1]),
        (SCALED, np.ones((4, 5, 2), int), "float32", np.ones((4, 5, 2))),
        (FREE, np.zeros((0, 3)), "float32", np.zeros((0, 3))),
    ],
)
def test_what_loses_nothing_is_converted(space, obs, kind, expected):
    seen = observed(space, obs, kind)
    assert seen.dtype == kind
    np.testing.assert_array_equal(seen, np.array(expected, kind))


@pytest.mark.parametrize(
    ("space", "obs", "says"),
    [
        (BYTES, PICTURE / 255, "between 0 and 1 came; multiply by 255 and cast to uint8"),
        (BYTES, np.float32(PICTURE > 99), "multiply by 255 and cast to uint8, or cast alone"),
        (BYTES, PICTURE + 0.5, "takes whole numbers"),
        (BYTES, PICTURE.astype(int) - 300, "uint8, which reaches from 0 to 255, and -"),
        (BYTES, np.full((4, 5, 2), 256.0), "reaches from 0 to 255, and 256.0 came"),
        (BYTES, np.full((4, 5, 2), np.nan), "takes whole numbers, .*, and nan came"),
        (BYTES, np.full((4, 5, 2), np.inf), "and inf came"),
        (BYTES, PICTURE.transpose(2, 0, 1), r"\[2, 4, 5\] came, with the channels first; .*\(obs, \(1, 2, 0\)\)"),
        (BYTES, PICTURE.transpose(2, 0, 1)[None], r"channels first; hand in np.transpose\(obs, \(0, 2, 3, 1\)\)"),
        (BYTES, PICTURE[..., 0], r"shape \[4, 5, 2\], or a batch \[B, 4, 5, 2\] of them, and \[4, 5\] came$"),
        (SCALED, PICTURE, "float32.* from 0 to 1, and uint8 from 0 to 255 came; scale the numbers"),
        (FLAGS, [0, 255], "bool, which reaches from 0 to 1, and 255 came"),
        (FLAGS, [0.5, 1.0], "takes whole numbers"),
        (STATES, 3, "a whole number from 10 to 13 as observation, and 3 came"),
        (STATES, [10, 14], "and 14 came"),
        (STATES, 10.5, "and 10.5 came"),
        (STATES, [[10]], r"shape \[\], or a batch \[B\] of them, and \[1, 1\] came"),
        (STATES, 2**70, "and object came"),
        (MONEY, [3_000_000_000], "int32, which reaches from -2147483648 to 2147483647, and 3000000000 came"),
        (FREE, [0, np.nan, 0], "finite numbers, .*, and nan came"),
        (FREE, np.float64([0, 1e300, 0]), "finite numbers, .*, and 1e\\+300 came"),
        (FREE, ["a", "b", "c"], "an observation of numbers"),
        (FREE, [1j, 0, 0], "an observation of numbers"),
        (FREE, [[1], [1, 2]], "a list that makes none came"),
        (FREE, (np.zeros(3), {}), r"\(obs, info\) came, as reset gives it"),
    ],
)
def test_what_is_no_observation_of_the_space_is_refused(space, obs, says):
    kind = "int32" if space in (STATES, MONEY) else space.dtype
    with pytest.raises(Refusal, match=says) as refused:
        observed(space, obs, kind)
    assert "\n" not in str(refused.value)


def test_a_state_as_a_float_is_no_other_state_where_floats_are_too_coarse():
    space = space_of("X", "observations", Discrete(4, start=2**60 + 1))
    assert observed(space, np.int64(2**60 + 4), "int32") == 3
    with pytest.raises(Refusal, match="a whole number from"):
        observed(space, float(2**60 + 1), "int32")


@pytest.mark.parametrize("actions", [Discrete(3), Box(-1, 1, (2,))])
def test_a_network_that_has_diverged_gives_no_action(actions):
    with pytest.raises(Diverged, match="diverged"):
        policy_in(VECTOR, actions, np.nan)(np.ones(3, np.float32))


BOX = {"kind": "box", "shape": [2, 2], "dtype": "float64", "low": [0.1, 0.1, 0.1, -1.0], "high": 2.0}
GOOD = {
    "format": 3, "env": "gym:X-v0", "obs_shape": [], "obs_dtype": "int32", "num_actions": None, "num_states": 4,
    "action_low": [0.1, 0.1, 0.1, -1.0], "action_high": [2.0] * 4, "net": "mlp:8", "normalise": "none",
    "output": "tanh", "seeds": [0], "action_space": BOX,
    "observation_space": {"kind": "discrete", "n": 4, "start": 10, "shape": [], "dtype": "int64"},
}  # fmt: skip
LIES = {
    "obs: no space": ("observation_space", 7, "is expected to be a space"),
    "obs: no kind": ("observation_space", {"kind": None}, "'kind' is expected"),
    "obs: a kind that is a list": ("observation_space", {"kind": ["box"]}, "'kind' is expected"),
    "obs: other states": ("observation_space", {"n": 5}, "does not fit 'obs_shape'"),
    "obs: n of none": ("observation_space", {"n": 0}, "'n' is expected to be a whole number"),
    "obs: n of a float": ("observation_space", {"n": 4.0}, "'n' is expected to be a whole number"),
    "obs: start of a float": ("observation_space", {"start": 1.5}, "'start' is expected to be a whole number"),
    "obs: start of a flag": ("observation_space", {"start": True}, "'start' is expected to be a whole number"),
    "obs: start beyond 64 bits": ("observation_space", {"start": 2**63 - 2}, "4 of them fit into int64"),
    "obs: a shape": ("observation_space", {"shape": [1]}, "'shape' is expected to be \\[\\]"),
    "obs: a float's type": ("observation_space", {"dtype": "float32"}, "'dtype' is expected"),
    "obs: code": ("observation_space", {"dtype": "O"}, "'dtype' is expected"),
    "no number": ("action_space", {"high": float("nan")}, "'high' is expected to be bounds"),
    "no end": ("action_space", {"high": "inf"}, "does not fit 'num_actions'"),
    "upside down": ("action_space", {"high": 0.0}, "'low' is expected to be not above 'high'"),
    "too few bounds": ("action_space", {"low": [0.1, 0.1]}, "'low' is expected to be 4 bounds"),
    "other bounds": ("action_space", {"low": -2.0}, "does not fit 'num_actions'"),
    "bounds of another type": ("action_space", {"dtype": "float32"}, "that are numbers of float32"),
    "fractions of whole numbers": ("action_space", {"dtype": "int8"}, "that are numbers of int8"),
    "words": ("action_space", {"low": "low"}, "'low' is expected to be bounds"),
    "a bound of a list": ("action_space", {"low": [[0.1], 0.1, 0.1, -1.0]}, "'low' is expected to be bounds"),
    "a shape of none": ("action_space", {"shape": [0]}, "'shape' is expected"),
    "a shape of 2^60": ("action_space", {"shape": [2**20, 2**20, 2**20]}, "'shape' is expected"),
    "another kind": ("action_space", {"kind": "discrete"}, "'dtype' is expected"),
    "flags": ("action_space", {"dtype": "bool", "low": 0, "high": 1}, "no action can have"),
}


def described(folder, description):
    (folder / "policy").mkdir(exist_ok=True)
    (folder / "policy" / "policy.json").write_text(json.dumps(description))
    return read_description(folder)


def test_spaces_in_policy_json_are_read_carefully(tmp_path):
    assert described(tmp_path, GOOD)["action_space"] == BOX
    for field, change, says in LIES.values():
        change = GOOD[field] | change if isinstance(change, dict) else change
        with pytest.raises(Refusal, match=says) as refused:
            described(tmp_path, GOOD | {field: change})
        assert "\n" not in str(refused.value)
        assert field in str(refused.value)
    with pytest.raises(Refusal, match="'observation_space' stands alone"):
        described(tmp_path, {field: value for field, value in GOOD.items() if field != "action_space"})
    with pytest.raises(Refusal, match="'action_low' 1 is above 'action_high' 0"):
        described(tmp_path, OLD | {"action_low": [1.0], "action_high": [0.0]})
    assert described(tmp_path, OLD)["num_states"] == 4
    with pytest.raises(Refusal, match="has format 4 and this version reads"):
        described(tmp_path, GOOD | {"format": 4})


OLD = {field: value for field, value in GOOD.items() if not field.endswith("_space")} | {"format": 2}
