"""NoisyNet (Fortunato et al. 2018): environments that see the same explore each by a draw of its own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin import rng
from qtwin.agents.catalog import AGENTS, algorithm
from qtwin.engine import host_programs
from qtwin.engine.fused import new_state
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.build import distribution_network, q_network
from qtwin.processes.collect import collect
from qtwin.rates import cycle_of
from qtwin.request.train import build

ENV, N = EnvSpec("test:alike", (4,), "float32", 4), 64
ALIKE = jnp.broadcast_to(jnp.array([[0.3, -1.0, 0.5, 2.0]], jnp.float32), (N, 4))


def perturbed(x, layer, e):
    """Equations 9 to 11 for one row x [inputs], e [inputs + outputs]; the weights as a matrix of their own."""
    f = np.sign(e) * np.sqrt(np.abs(e))
    inputs, outputs = f[: len(x)], f[len(x) :]
    kernel = layer["kernel"] + layer["kernel_sigma"] * np.outer(inputs, outputs)
    return x @ kernel + layer["bias"] + layer["bias_sigma"] * outputs


@pytest.mark.parametrize("key", [jax.random.key(3), rng.root(3)], ids=["jax", "qtwin"])
def test_each_row_has_exactly_one_factorised_draw_of_its_own(key):
    net = q_network(ENV, "mlp:5+noisy")
    v, obs = net.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (6, 4))
    p, e = jax.tree.map(np.asarray, v.params)["advantage"], np.asarray(jax.random.normal(key, (6, 4 + 5 + 5 + 4)))
    for row, came in enumerate(net.noisy_each(v, obs, key)):
        hidden = np.maximum(perturbed(np.asarray(obs[row]), p["hidden"], e[row, :9]), 0)
        np.testing.assert_allclose(came, perturbed(hidden, p["out"], e[row, 9:]), rtol=1e-4, atol=1e-5)


def test_one_environment_explores_by_the_draw_that_a_batch_would_have():
    net, key = q_network(ENV, "mlp:8,5+layernorm+duelling+noisy", normalise="running"), jax.random.key(7)
    v = net.init(jax.random.key(0))
    draws = jax.jit(lambda draw, obs: (net.noisy_each(v, obs, draw), net.noisy(v, obs, draw)))
    np.testing.assert_array_equal(*draws(key, ALIKE[:1]))
    each, one = draws(key, ALIKE)
    assert len(np.unique(np.asarray(each), axis=0)) == N  # no two rows had the same draw
    assert len(np.unique(np.asarray(one), axis=0)) == 1  # a target's batch has one


def test_no_row_has_a_matrix_of_its_own():
    net = distribution_network(ENV, "mlp:96,80+noisy", 7)
    v = net.init(jax.random.key(0))
    text = jax.jit(net.noisy_each).lower(v, ALIKE, jax.random.key(1)).as_text()
    assert f"{N}x96x80" not in text


@pytest.mark.parametrize("agent", ["munchausen_dqn", "iqn", "rainbow"])
def test_64_environments_that_see_the_same_act_differently_and_greedily_alike(agent):
    few = {"iqn": {"quantiles": 5}, "rainbow": {"atoms": 7}}.get(agent, {})
    c = dataclasses.replace(AGENTS[agent].defaults, net="mlp:8,6+duelling+noisy=3", prioritise="", explore="1", **few)
    made = algorithm(ENV, c)
    v, act = made.agent.init(jax.random.key(0)), jax.jit(made.agent.act)
    counts = np.bincount(act(v, ALIKE, jnp.float32(1.0), rng.root(5)), minlength=4)
    assert np.count_nonzero(counts) >= 3, counts
    if agent != "iqn":  # it draws the fractions that it asks its network for
        greedy = int(jnp.argmax(made.agent.values(v, ALIKE[:1])))
        np.testing.assert_array_equal(act(v, ALIKE, jnp.float32(0.0), rng.root(5)), np.full(N, greedy))


def test_environments_of_both_engines_explore_apart_and_by_the_same_draws():
    outcome = Outcome(jnp.float32(0.0), jnp.float32(1.0), ALIKE[0], jnp.bool_(False))
    env = JaxEnv(ENV, lambda key: ((), ALIKE[0]), lambda key, state, action: ((), ALIKE[0], outcome))
    c = dataclasses.replace(
        AGENTS["dqn"].defaults, net="mlp:8+noisy=3", explore="1", replay=4 * N, envs=N, warmup=0, collect=4 * N
    )
    made = algorithm(ENV, c)
    turn = cycle_of(made.rates, N)
    made = made._replace(replay=made.replay._replace(add=lambda state, chunk: chunk))
    state = new_state(made, env, turn, rng.root(0))
    actions = np.asarray(jax.jit(collect(made, env, N, 4))(state).replay.action)  # [T, N]
    hosted = host_programs.programs(made, ENV, turn, False, "cpu")
    keys = hosted.keys(rng.root(0), jnp.int32(0))[0]
    for step in range(4):
        assert np.count_nonzero(np.bincount(actions[step], minlength=4)) >= 3
        acted = hosted.act(state.twin.online, ALIKE, keys[step], jnp.int32(step * N), ())[0]
        np.testing.assert_array_equal(acted, actions[step])
    assert len(np.unique(actions, axis=0)) == 4  # drawn anew at every step


def test_several_networks_side_by_side_take_no_noise_of_their_own():
    for settings in ({"bootstrap": "maxmin:2"}, {"target": "chain:2:100"}):
        with pytest.raises(Refusal, match="explore by epsilon"):
            build("CartPole-v1", settings=settings | {"net": "mlp:8+noisy"})
