"""Data sets: written, read back, checked, sampled; and recorded from every kind of environment."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from qtwin.agents.catalog import algorithm
from qtwin.config.config import Config
from qtwin.engine.fused import fused
from qtwin.envs.base import Outcome
from qtwin.envs.models import model
from qtwin.envs.probe_specs import PROBES
from qtwin.envs.probes import exact_q, probe
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.replay.dataset import Dataset, dataset, load_dataset, save_dataset
from qtwin.run.record import enumerate_outcomes, record
from qtwin.types import Timestep

SPEC = EnvSpec("gym:Line-v0", (2,), "float32", 3)


def steps(total=12, ends=(4, 9, 11), terminal=(4,)):
    """Streams of a counter, an episode ending at each of ``ends``."""
    number = np.arange(total, dtype=np.float32)
    last = np.isin(np.arange(total), ends)
    obs = np.stack([number, -number], axis=1)
    next_obs = np.where(last[:, None], obs + 0.5, obs + np.float32([1, -1]))
    return Timestep(
        obs, (np.arange(total) % 3).astype(np.int32), 10 * number,
        np.where(np.isin(np.arange(total), terminal), 0.0, 1.0).astype(np.float32), next_obs.astype(np.float32), last,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return save_dataset(tmp_path / "line.safetensors", steps(), SPEC, "random", 7)


def test_what_is_written_is_read_back(path):
    came = load_dataset(path, SPEC)
    assert (came.spec, came.behaviour, came.seed) == (SPEC, "random", 7)
    for name, column in steps()._asdict().items():
        np.testing.assert_array_equal(getattr(came.steps, name), column)
        assert getattr(came.steps, name).dtype == column.dtype
    assert (
        load_dataset(path, dataclasses.replace(SPEC, id="gymnax:Line-v0")).spec == SPEC
    )  # another home, the same world
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_recording_that_stops_within_an_episode_is_truncated_there(tmp_path):
    path = save_dataset(tmp_path / "cut.safetensors", steps(ends=(4, 9)), SPEC, "random", 0)
    came = load_dataset(path).steps
    assert came.last[-1]
    assert came.discount[-1] == 1


def changed(path, **arrays_or_metadata):
    """The file written anew with some arrays replaced (None leaves one out) and some metadata."""
    from safetensors import safe_open

    arrays = load_file(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    for name, value in arrays_or_metadata.items():
        where = arrays if name in arrays else metadata
        if value is None:
            del where[name]
        else:
            where[name] = value
    path.unlink()
    save_file(arrays, path, metadata=metadata)


def rows(column, row, value):
    column = column.copy()
    column[row] = value
    return column


GOOD = steps()
REFUSED = {
    "no such array": ({"action": None}, "has no action"),
    "a length": ({"action": GOOD.action[:-1]}, r"\[12\] of int32 in action, and \[11\] of int32 came"),
    "a shape": ({"obs": GOOD.obs[:, :1]}, r"\[12, 2\] of float32 in obs, and \[12, 1\] of float32 came"),
    "a type": ({"reward": GOOD.reward.astype(np.float64)}, r"in reward, and \[12\] of float64 came"),
    "not finite": ({"reward": rows(GOOD.reward, 3, np.nan)}, r"finite numbers in reward, .* \(row 3\)"),
    "infinite": ({"obs": rows(GOOD.obs, 5, np.inf)}, r"finite numbers in obs, .* \(row 5\)"),
    "an action": ({"action": rows(GOOD.action, 2, 3)}, r"from 0 to 2 in action, and 3 \(row 2\) came"),
    "a negative action": ({"action": rows(GOOD.action, 2, -1)}, r"from 0 to 2 in action, and -1 \(row 2\) came"),
    "a discount": ({"discount": rows(GOOD.discount, 6, 0.99)}, r"0 or 1 in discount, and 0.99 \(row 6\) came"),
    "terminal, not last": ({"discount": rows(GOOD.discount, 1, 0.0)}, r"true where discount is 0 in last, .*\(row 1\)"),
    "a gap": ({"last": rows(GOOD.last, 9, False)}, r"row 9 equal to obs of row 10, .* in next_obs"),
    "a format": ({"format": "other"}, "format 'qtwin-dataset-1', not 'other'"),
    "no environment": ({"env": None}, "as env, and nothing came"),
    "a shape that is none": ({"obs_shape": "2"}, "a list of sizes as obs_shape, and '2' came"),
    "a count that is none": ({"num_actions": "three"}, "num_actions, and 'three' came"),
    "a type that is none": ({"obs_dtype": "float33"}, "a numpy type as obs_dtype, and 'float33' came"),
    "transitions": ({"transitions": "13"}, "says transitions 13, and 12 came"),
    "another environment": ({"env": "gym:Plane-v0"}, "recorded in gym:Plane-v0, and gym:Line-v0 was asked for"),
    "more actions": ({"num_actions": "4"}, "num_actions 3 for gym:Line-v0, and 4 came"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_says_what_cannot_be_is_refused_in_one_sentence(path, what):
    change, sentence = REFUSED[what]
    changed(path, **change)
    with pytest.raises(Refusal) as refused:
        load_dataset(path, SPEC)
    assert re.search(sentence, str(refused.value)), str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_states_out_of_range_are_refused(tmp_path):
    spec = PROBES["chain"]
    path, _ = enumerate_outcomes(spec, tmp_path / "chain.safetensors")
    changed(path, next_obs=rows(load_file(path)["next_obs"], 1, 6))
    with pytest.raises(Refusal, match=r"from 0 to 5 in next_obs, and 6 \(row 1\) came"):
        load_dataset(path, spec)


def test_files_that_are_not_there_or_no_data_sets_are_refused(tmp_path, path):
    with pytest.raises(Refusal, match=r"does not exist; write one with qtwin record"):
        load_dataset(tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("not a data set", encoding="utf-8")
    with pytest.raises(Refusal, match="expected to be a safetensors file"):
        load_dataset(tmp_path / "text.safetensors")
    save_file({"weights": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(Refusal, match="format 'qtwin-dataset-1', not 'None'"):
        load_dataset(tmp_path / "weights.safetensors")
    whole = path.read_bytes()
    for cut in (4, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(Refusal, match="expected to be a safetensors file"):
            load_dataset(path)


def test_nothing_is_overwritten_and_nothing_wrong_is_written(tmp_path, path):
    with pytest.raises(Refusal, match="already a file"):
        save_dataset(path, steps(), SPEC, "random", 0)
    with pytest.raises(Refusal, match="does not exist; make it first"):
        save_dataset(tmp_path / "no" / "x.safetensors", steps(), SPEC, "random", 0)
    with pytest.raises(Refusal, match="in action"):
        save_dataset(tmp_path / "x.safetensors", steps()._replace(action=GOOD.action + 1), SPEC, "random", 0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_discrete_data_set_is_the_file_it_always_was(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        assert file.metadata() == {
            "format": "qtwin-dataset-1", "env": "gym:Line-v0", "obs_shape": "[2]", "obs_dtype": "float32",
            "num_actions": "3", "num_states": "", "transitions": "12", "behaviour": "random", "seed": "7",
        }  # fmt: skip
    assert load_file(path)["action"].dtype == np.int32


REACH = EnvSpec("gym:Reach-v0", (2,), "float32", None, action_low=(-2.0, 0.0), action_high=(2.0, 5.0))
REACHED = GOOD._replace(action=np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2))
REFUSED_REACH = {
    "a type": ({"action": GOOD.action}, r"\[12, 2\] of float32 in action, and \[12\] of int32 came"),
    "a size": ({"action": REACHED.action[:, :1].copy()}, r"\[12, 2\] of float32 in action, and \[12, 1\] of"),
    "its own units": ({"action": 2 * REACHED.action}, r"numbers between -1 and 1 in action, and \[-2.0, .*\(row 0\)"),
    "not finite": ({"action": rows(REACHED.action, 5, np.nan)}, r"finite numbers in action, .* \(row 5\)"),
    "no bounds": ({"action_low": None}, "a list of finite numbers as action_low, and nothing came"),
    "a bound that is none": ({"action_high": "[2, Infinity]"}, r"finite numbers as action_high, and '\[2, Infinity\]'"),
    "fewer bounds": ({"action_high": "[2.0]"}, "2 numbers as action_high, as it has as action_low, and 1 came"),
    "other bounds": ({"action_high": "[2.0, 4.0]"}, r"\(2.0, 5.0\) for gym:Reach-v0, and \(2.0, 4.0\) came"),
    "discrete": ({"num_actions": "3"}, r"\[12, 2\] of float32 came|num_actions None for gym:Reach-v0, and 3 came"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_REACH)
def test_continuous_actions_that_cannot_be_are_refused_in_one_sentence(tmp_path, what):
    path = save_dataset(tmp_path / "reach.safetensors", REACHED, REACH, "random", 0)
    change, sentence = REFUSED_REACH[what]
    changed(path, **change)
    with pytest.raises(Refusal) as refused:
        load_dataset(path, REACH)
    assert re.search(sentence, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)


def test_continuous_actions_are_written_and_read_back(tmp_path):
    path = save_dataset(tmp_path / "reach.safetensors", REACHED, REACH, "random", 0)
    came = load_dataset(path, dataclasses.replace(REACH, id="envpool:Reach-v0"))
    assert came.spec == REACH
    np.testing.assert_array_equal(came.steps.action, REACHED.action)
    batch = dataset(came, batch=12, gamma=0.9)
    drawn = batch.sample(batch.init(None, None), jax.random.key(0), 0)
    assert (drawn.action.shape, drawn.action.dtype) == ((12, 2), jnp.float32)
    with pytest.raises(Refusal, match="between -1 and 1 in action"):
        save_dataset(tmp_path / "x", REACHED._replace(action=REACHED.action * 2), REACH, "random", 0)


def test_bounds_that_are_the_same_32_bit_numbers_are_the_same(tmp_path):
    rounded = dataclasses.replace(REACH, action_low=(float(np.float32(-0.4)), 0.1))
    path = save_dataset(tmp_path / "reach.safetensors", REACHED, rounded, "random", 0)
    load_dataset(path, dataclasses.replace(REACH, action_low=(-0.4, float(np.float32(0.1)))))


def test_pendulum_is_recorded_from_every_home(tmp_path):
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import host_env

    for home in ("gymnax", "gym"):
        spec = resolve(f"{home}:Pendulum-v1")
        env = host_env(spec)(3)
        path = record(env, 400, None, 0, tmp_path / f"{home}.safetensors")
        came = load_dataset(path, resolve("Pendulum-v1")).steps
        assert came.action.shape == (400, 1)
        assert 0.9 < np.abs(came.action).max() <= 1.0
        # The action in the file moves the pendulum by its torque, twice as great.
        angle = np.arctan2(came.obs[:, 1], came.obs[:, 0])
        speed = np.clip(came.obs[:, 2] + 0.05 * (15 * np.sin(angle) + 3 * 2 * came.action[:, 0]), -8, 8)
        np.testing.assert_allclose(came.next_obs[:, 2], speed, atol=1e-4)
        env.close()


def test_a_policy_with_continuous_actions_acts_in_a_recording(tmp_path):
    from qtwin.envs.gym_envs import gym_env

    env = gym_env("Pendulum-v1", 2)
    came = load_dataset(record(env, 10, lambda obs: obs[:, 1:2], 0, tmp_path / "p")).steps
    np.testing.assert_array_equal(came.action, came.obs[:, 1:2])
    came = load_dataset(record(env, 400, lambda obs: obs[:, 1:2], 0, tmp_path / "e", 0.5)).steps
    assert 0.4 < np.mean(came.action != came.obs[:, 1:2]) < 0.6
    with pytest.raises(Refusal, match=r"needs actions between -1 and 1, and 1.5 came"):
        record(env, 10, lambda obs: np.full((2, 1), 1.5), 0, tmp_path / "x")
    with pytest.raises(Refusal, match="and nan came"):
        record(env, 10, lambda obs: np.full((2, 1), np.nan), 0, tmp_path / "x")
    env.close()


def test_the_whole_data_set_comes_in_its_order():
    replay = dataset(Dataset(GOOD, SPEC, "", 0), batch=0, gamma=0.9)
    assert (replay.capacity, replay.batch) == (12, 12)
    state = replay.init(None, None)
    came = replay.sample(state, jax.random.key(0), jnp.int32(0))
    np.testing.assert_array_equal(came.obs, GOOD.obs)
    np.testing.assert_array_equal(came.next_obs, GOOD.next_obs)
    np.testing.assert_allclose(came.discount, 0.9 * GOOD.discount)


def test_n_step_returns_stop_where_an_episode_or_a_stream_ends():
    replay = dataset(Dataset(GOOD, SPEC, "", 0), batch=0, gamma=0.5, n_step=3)
    came = replay.sample(replay.init(None, None), jax.random.key(0), jnp.int32(0))
    np.testing.assert_allclose(came.reward[0], 0 + 0.5 * 10 + 0.25 * 20)
    np.testing.assert_allclose(came.reward[3], 30 + 0.5 * 40)  # the episode ends with row 4, by termination
    np.testing.assert_allclose(came.reward[8], 80 + 0.5 * 90)  # and with row 9, by truncation
    np.testing.assert_allclose(came.reward[11], 110)  # nothing follows the last row
    np.testing.assert_allclose(came.discount[np.array([0, 3, 8, 11])], [0.125, 0.0, 0.25, 0.5])
    np.testing.assert_array_equal(came.next_obs[np.array([0, 3, 8, 11])], GOOD.next_obs[np.array([2, 4, 9, 11])])


def test_rows_are_drawn_uniformly():
    replay = dataset(Dataset(GOOD, SPEC, "", 0), batch=12, gamma=0.9)
    state = replay.init(None, None)
    drawn = jax.vmap(lambda key: replay.sample(state, key, 0))(jax.random.split(jax.random.key(0), 1000))
    counts = np.bincount(np.asarray(drawn.obs[..., 0], int).ravel(), minlength=12)
    assert ((counts - 1000) ** 2 / 1000).sum() < 31.3  # chi-square, 11 degrees of freedom, 0.999


def test_batches_that_make_no_sense_are_refused():
    with pytest.raises(Refusal, match="holds 12 transitions and a batch needs 13"):
        dataset(Dataset(GOOD, SPEC, "", 0), batch=13)
    with pytest.raises(Refusal, match="n of at least 1"):
        dataset(Dataset(GOOD, SPEC, "", 0), batch=1, n_step=0)


OFFLINE = Config(
    "chain", agent="fqi", net="table", discount=0.9, loss="half-mse", optimiser="sgd", learning_rate=10.0, collect=0,
    regress=1, target="hard:1", batch=0, explore="0", envs=1,
)  # fmt: skip


@pytest.mark.parametrize("agent", ["fqi", "dqn", "online_q"])
def test_agents_learn_offline_and_the_data_is_an_argument_of_the_program(tmp_path, agent):
    spec = PROBES["chain"]
    path, count = enumerate_outcomes(spec, tmp_path / "chain.safetensors")
    c = dataclasses.replace(OFFLINE, agent=agent, data=str(path))
    program = fused(algorithm(spec, c), probe("chain"), 1)
    state = program.init([0])
    assert state.replay.data.reward.shape[-1] == count
    state = program.advance(state, 50)
    assert np.all(np.asarray(state.clock.transitions) == 0)
    obs, action, exact = (np.array(column) for column in zip(*exact_q("chain", 0.9), strict=True))
    np.testing.assert_allclose(np.asarray(state.twin.online.params["table"])[0][obs, action], exact, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(state.replay.data.next_obs)[0], load_dataset(path).steps.next_obs)


def test_nothing_is_collected_into_a_data_set(tmp_path):
    spec = PROBES["chain"]
    path, _ = enumerate_outcomes(spec, tmp_path / "chain.safetensors")
    c = dataclasses.replace(OFFLINE, data=str(path), collect=4)
    program = fused(algorithm(spec, c), probe("chain"), 1)
    with pytest.raises(Refusal, match="write --collect 0"):
        program.advance(program.init([0]), 1)


class Counter:
    """Two environments in Python: the observation counts the episode's steps; a row is lost after each episode."""

    spec = EnvSpec("gym:Counter-v0", (), "int32", 2, num_states=50)
    num_envs = 2
    lengths = (3, 5)

    def reset(self, seed):
        self.time, self.fresh = np.zeros(2, np.int32), np.zeros(2, bool)
        return self.time.copy()

    def step(self, actions):
        assert actions.dtype == np.int32
        valid = ~self.fresh
        next_obs = np.where(valid, self.time + 1, 0).astype(np.int32)
        last = valid & (next_obs >= self.lengths)
        self.time, self.fresh = next_obs, last
        outcome = Outcome(actions.astype(np.float32), np.where(last, [0, 1], 1).astype(np.float32), next_obs, last)
        return next_obs.copy(), outcome, valid


def test_streams_are_recorded_one_behind_another_without_the_rows_that_are_no_steps(tmp_path):
    came = load_dataset(record(Counter(), 33, None, 3, tmp_path / "c.safetensors"), Counter.spec)
    assert came.behaviour == "random"
    obs, last, discount = came.steps.obs, came.steps.last, came.steps.discount
    assert len(obs) == 33
    np.testing.assert_array_equal(came.steps.next_obs, obs + 1)
    time, counts = 0, [0, 0]
    while sum(counts) < 33:
        counts = [counts[0] + (time % 4 != 3), counts[1] + (time % 6 != 5)]
        time += 1
    border = counts[0]
    first, second = obs[:border], obs[border:]
    np.testing.assert_array_equal(first, np.arange(len(first)) % 3)
    np.testing.assert_array_equal(second, np.arange(len(second)) % 5)
    assert last[border - 1]
    assert last[-1]
    np.testing.assert_array_equal(discount[:border] == 0, first == 2)
    np.testing.assert_array_equal(discount[border:], 1)
    assert set(came.steps.action) == {0, 1}


def test_a_policy_acts_in_a_recording(tmp_path):
    came = load_dataset(record(Counter(), 40, lambda obs: obs % 2, 0, tmp_path / "p.safetensors")).steps
    np.testing.assert_array_equal(came.action, came.obs % 2)
    came = load_dataset(record(Counter(), 400, lambda obs: obs % 2, 0, tmp_path / "e.safetensors", 0.5)).steps
    assert 0.15 < np.mean(came.action != came.obs % 2) < 0.35
    with pytest.raises(Refusal, match="at least 1 transition"):
        record(Counter(), 0, None, 0, tmp_path / "n.safetensors")
    with pytest.raises(Refusal, match="between 0 and 1"):
        record(Counter(), 10, None, 0, tmp_path / "n.safetensors", 1.5)


def test_environments_written_in_jax_are_recorded_the_same_for_the_same_seed(tmp_path):
    from qtwin.envs.make import host_env

    spec = PROBES["delayed"]
    files = [record(host_env(spec)(4), 50, None, seed, tmp_path / f"{i}", 0.0) for i, seed in enumerate((0, 0, 1))]
    first, again, other = (load_dataset(file, spec).steps for file in files)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.action, other.action)
    assert len(first.obs) == 50
    for obs, action, value in exact_q("delayed", 1.0):
        here = (first.obs == obs).all(axis=1) & (first.action == action) & (first.discount == 0)
        np.testing.assert_array_equal(first.reward[here], value)


def test_gymnax_and_gymnasium_tell_the_same_model_of_frozen_lake():
    ours = model(EnvSpec("gymnax:FrozenLake-misc", (), "int32", 4, num_states=16))
    theirs = model(EnvSpec("gym:FrozenLake-v1", (), "int64", 4, num_states=16))
    assert len(ours.state) == len(theirs.state) == 11 * 4 * 3

    def sorted_rows(m):
        return sorted(zip(*(np.round(column, 6).tolist() for column in m), strict=True))

    assert sorted_rows(ours) == sorted_rows(theirs)


def test_every_outcome_is_written_once_only_where_all_are_equally_likely(tmp_path):
    lake = EnvSpec("gymnax:FrozenLake-misc", (), "int32", 4, num_states=16)
    path, count = enumerate_outcomes(lake, tmp_path / "lake.safetensors")
    came = load_dataset(path, lake)
    assert count == len(came.steps.reward) == 132
    assert came.steps.last.all()
    with pytest.raises(Refusal, match="not known in advance"):
        enumerate_outcomes(EnvSpec("gymnax:CartPole-v1", (4,), "float32", 2), tmp_path / "x")


def test_outcomes_that_are_not_equally_likely_are_refused(tmp_path, monkeypatch):
    lake = EnvSpec("gymnax:FrozenLake-misc", (), "int32", 4, num_states=16)
    known = model(lake)
    uneven = known._replace(probability=np.where(np.arange(132) % 3 == 0, 0.8, 0.1))
    monkeypatch.setattr("qtwin.envs.models.model", lambda spec: uneven)
    with pytest.raises(Refusal, match=r"action 0 in state 0 of .* has the probabilities 0.8, 0.1, 0.1"):
        enumerate_outcomes(lake, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
