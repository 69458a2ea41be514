"""Gradient steps of SAC, TD3 and TQC equal Stable-Baselines3's own, number by number.

The fixtures hold networks, batches, random draws and what the library's ``train`` made of them in two consecutive steps
(tests/fixtures/make_sb3_steps.py writes them; nothing of it is needed here).
"""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors import safe_open

from qtwin.acting import policies
from qtwin.agents.catalog import algorithm, config_of
from qtwin.envs.spec import EnvSpec
from qtwin.processes.regress import gradient_step, optimiser_state
from qtwin.twin import twin
from qtwin.types import Clock, Transition, Variables

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
SPEC = EnvSpec("gym:Nowhere", (5,), "float32", None, action_low=(-2.0, -1.0), action_high=(2.0, 3.0))
SHARED = {
    "env": "gym:Nowhere", "net": "mlp:16,16", "discount": 0.98, "optimiser": "adam:1e-8",
    "learning_rate": 1e-3, "batch": 8, "replay": 100, "warmup": 0,
}  # fmt: skip
CONFIGS = {
    "sac": config_of(agent="sac", loss="half-mse", temperature="auto:0.3", target="soft:0.02", **SHARED),
    "td3": config_of(agent="td3", loss="mse", smoothing="0.2:0.25", actor_every=2, target="soft:0.02/2", **SHARED),
    "tqc": config_of(agent="tqc", quantiles=7, drop=2, temperature="auto:0.3", target="soft:0.02", **SHARED),
}
# Their TQC takes the mean over the critics where the paper, and this library, take the sum.
CRITICS_LOSS = {"sac": 1.0, "td3": 1.0, "tqc": 2.0}


def recorded(name):
    """A fixture's arrays, and the settings that its library was given."""
    with safe_open(FIXTURES / f"sb3_{name}.safetensors", "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["made"])["settings"]  # noqa: SIM118


def section(arrays, prefix):
    """Those arrays of a fixture whose name begins with ``prefix/``, without it."""
    return {key.removeprefix(f"{prefix}/"): array for key, array in arrays.items() if key.startswith(f"{prefix}/")}


def params_of(arrays, target=False):
    """torch's parameters (or their gradients) in this library's layout; parts that are not there are left out."""
    end = "_target" if target else ""

    def layer(*names):
        weights = [arrays[f"{name}.weight"].T for name in names]
        return {"kernel": np.concatenate(weights, 1), "bias": np.concatenate([arrays[f"{n}.bias"] for n in names])}

    def mlp(first, second, *head):
        return {"hidden": {0: layer(first), 1: layer(second)}, "head": layer(*head)}

    params = {}
    if f"critic{end}.qf0.0.weight" in arrays:
        params["critic"] = {str(i): mlp(*[f"critic{end}.qf{i}.{n}" for n in (0, 2, 4)]) for i in range(2)}
    if f"actor{end}.mu.0.weight" in arrays:
        params["actor"] = mlp(*[f"actor{end}.mu.{n}" for n in (0, 2, 4)])
    elif f"actor{end}.latent_pi.0.weight" in arrays:  # one head for the means and the logs of the deviations
        params["actor"] = mlp(*[f"actor{end}.{n}" for n in ("latent_pi.0", "latent_pi.2", "mu", "log_std")])
    if not target and "log_ent_coef" in arrays:
        params["temperature"] = arrays["log_ent_coef"][0]
    return params


def moments(state):
    """Adam's first moments in an optimiser's state, by part."""
    found = {}
    for _, moment in optax.tree_utils.tree_get_all_with_path(state, "mu"):
        found |= {part: tree for part, tree in moment.items() if jax.tree.leaves(tree)}  # others are masked
    return found


def close(came, expected, what, rtol, atol):
    """Two trees of one structure agree, leaf by leaf."""
    came, expected = (dict(jax.tree_util.tree_leaves_with_path(tree)) for tree in (came, expected))
    assert came.keys() == expected.keys()
    for path, array in expected.items():
        note = f"{what}: {jax.tree_util.keystr(path)}"
        np.testing.assert_allclose(came[path], array, rtol=rtol, atol=atol, err_msg=note)


@pytest.mark.parametrize("name", CONFIGS)
def test_two_steps_equal_stable_baselines3s(name, monkeypatch):
    arrays, settings = recorded(name)
    c = CONFIGS[name]
    assert (settings["learning_rate"], settings["gamma"]) == (c.learning_rate, c.discount)
    chosen = algorithm(SPEC, c)
    rule = chosen.rates.target_update

    online = jax.tree.map(jnp.asarray, params_of(section(arrays, "before")))
    target_variables = jax.tree.map(jnp.asarray, params_of(section(arrays, "before"), target=True))
    assert jax.tree.structure(jax.eval_shape(chosen.agent.init, jax.random.key(0)).params) == jax.tree.structure(online)
    pair = twin(Variables(online, {}), rule, chosen.stats_policy, chosen.target_parts)
    assert jax.tree.structure(pair.target_variables.params) == jax.tree.structure(target_variables)
    pair = dataclasses.replace(pair, target_variables=Variables(target_variables, {}))
    optimiser, memory, age = optimiser_state(chosen, online), rule.init(target_variables), 0

    @jax.jit
    def take(pair, optimiser, batch, count, draws):
        left = iter(draws)  # in the order in which they are asked for: the regression's, then the improvement's
        monkeypatch.setattr(policies, "noise", lambda key, shape: next(left).reshape(shape))
        after = gradient_step(chosen, pair, optimiser, batch, jax.random.key(0), count)
        assert next(left, None) is None
        return after

    for step in (1, 2):
        raw = section(arrays, f"batch{step}")
        batch = Transition(raw["obs"], raw["action"], raw["reward"], c.discount * (1 - raw["done"]), raw["next_obs"])
        drawn = section(arrays, f"noise{step}")
        before = optimiser
        loss, _, pair, optimiser = take(
            pair, before, batch, step - 1, [drawn[draw] for draw in ("critic", "actor") if draw in drawn]
        )
        age += 1
        if rule.due(memory, Clock(0, step, 0, age)):
            memory, pair = pair.follow(rule, memory)
            age = 0

        np.testing.assert_allclose(loss, CRITICS_LOSS[name] * arrays[f"loss{step}/critic"][0], rtol=1e-5)
        # What Adam was given: mu <- 0.9 mu + 0.1 gradient. Its own steps hardly depend on a gradient's size.
        given = jax.tree.map(lambda new, old: (new - 0.9 * old) / 0.1, moments(optimiser), moments(before))
        theirs = params_of(section(arrays, f"gradient{step}"))
        theirs["critic"] = jax.tree.map(lambda leaf: CRITICS_LOSS[name] * leaf, theirs["critic"])
        # They add 1e-6 inside log(1 - tanh^2), which moves the gradients of a stochastic actor by up to 5e-6.
        atol = 1e-6 if name == "td3" else 1e-5
        close({part: given[part] for part in theirs}, theirs, f"{name}, gradient {step}", 1e-4, atol)
        after = section(arrays, f"after{step}")
        close(pair.online.params, params_of(after), f"{name}, online after step {step}", 1e-5, 2e-6)
        target = params_of(after, target=True)
        close(pair.target_variables.params, target, f"{name}, target after step {step}", 1e-5, 1e-7)


def test_the_fixtures_reach_what_they_are_to_tell_apart():
    arrays, _ = recorded("td3")
    for step in (1, 2):
        assert 0 < arrays[f"batch{step}/done"].sum() < 8
    assert (np.abs(0.2 * arrays["noise1/critic"]) > 0.25).any()  # noise that the smoothing cuts
    before, first, second = (section(arrays, part) for part in ("before", "after1", "after2"))
    for key in before:  # only the critics move at the first step; the actor and the targets wait for the second
        np.testing.assert_equal((before[key] != first[key]).any(), key.startswith("critic."), key)
        assert (first[key] != second[key]).any()
