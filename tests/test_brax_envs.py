"""Brax through the one contract."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.envs.brax_specs import BRAX
from qtwin.envs.catalog import resolve
from qtwin.envs.make import make
from qtwin.errors import Refusal


@pytest.fixture
def envs(tmp_path, monkeypatch):
    pytest.importorskip("brax")
    monkeypatch.chdir(tmp_path)  # MuJoCo, which reads the bodies, writes its log where it is
    from brax import envs

    return envs


def test_the_table_is_brax_s_own(envs):
    assert set(BRAX) | {"fast"} == set(envs._envs)  # "fast" is for Brax's own tests
    for name, (obs, actions) in BRAX.items():
        env = envs.get_environment(name)
        with jax.numpy_rank_promotion("allow"):
            begun = jax.eval_shape(env.reset, jax.random.key(0))
        assert (begun.obs.shape, begun.obs.dtype, env.action_size) == ((obs,), np.float32, actions)
        spec = resolve(f"brax:{name}")
        assert (spec.obs_shape, spec.action_shape, spec.engine) == ((obs,), (actions,), "fused")


@pytest.mark.parametrize(("name", "limit"), [("inverted_pendulum", 1000), ("reacher", 7)])
def test_true_transitions(envs, name, limit):
    """A fall is a termination and a limit is none; what followed the action is Brax's own step."""
    import dataclasses

    spec = dataclasses.replace(resolve(f"brax:{name}"), time_limit=limit)
    env, peer = make(spec), envs.get_environment(name)

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def play(key):
        def one(carry, key):
            state, obs = carry
            after_state, after, outcome = env.step(key, state, jnp.ones(spec.action_shape))
            with jax.numpy_rank_promotion("allow"):
                theirs = peer.step(state.body, jnp.ones(spec.action_shape))
            return (after_state, after), (obs, after, outcome, theirs.obs, theirs.reward, theirs.done)

        begin, rest = jax.random.split(key)
        return jax.lax.scan(one, env.reset(begin), jax.random.split(rest, 30))[1]

    obs, after, outcome, theirs, reward, done = jax.tree.map(np.asarray, play(jax.random.key(0)))
    np.testing.assert_allclose(outcome.next_obs, theirs, atol=1e-5)
    np.testing.assert_allclose(outcome.reward, reward, atol=1e-5)
    np.testing.assert_array_equal(outcome.discount, 1 - done)
    assert (outcome.reward.shape, outcome.reward.dtype, outcome.last.dtype) == ((30,), np.float32, np.bool_)
    np.testing.assert_array_equal(after[:-1], obs[1:])
    np.testing.assert_array_equal(outcome.next_obs[~outcome.last], after[~outcome.last])
    if name == "reacher":
        assert np.flatnonzero(outcome.last).tolist() == [6, 13, 20, 27]
        assert (outcome.discount == 1.0).all()
    else:
        assert outcome.last.sum() > 1
        np.testing.assert_array_equal(outcome.last, done == 1)
        assert (np.abs(outcome.next_obs[outcome.last, 1]) > 0.2).all()
    begun = after[outcome.last]
    assert len(np.unique(begun, axis=0)) == len(begun), "every episode begins anew"
    assert not np.isclose(begun, outcome.next_obs[outcome.last]).all(axis=1).any()


def test_names_that_are_none_and_a_missing_brax_are_refused(monkeypatch):
    with pytest.raises(Refusal, match="did you mean 'brax:halfcheetah'"):
        resolve("brax:half-cheetah")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Refusal, match=r"needs brax, which is not installed; write pip install 'qtwin\[brax\]'"):
        resolve("brax:ant")
    monkeypatch.undo()
    if "brax" not in sys.modules:
        monkeypatch.setitem(sys.modules, "brax", None)
        from qtwin.envs.brax_envs import brax_env

        with pytest.raises(Refusal, match="brax:ant needs brax, which cannot be imported"):
            brax_env(type("Spec", (), {"id": "brax:ant"}), "ant")
