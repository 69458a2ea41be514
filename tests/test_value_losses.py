"""Heads, targets and losses of the value-based family beside rlax's, its papers in numpy, and what they reduce to."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.agents.catalog import AGENTS, algorithm, becoming
from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.build import distribution_network, q_network, quantile_network
from qtwin.nets.heads import written_out
from qtwin.nets.initial import sparse
from qtwin.optimisers import obgd
from qtwin.rates import Cycle
from qtwin.replay.epochs import epochs
from qtwin.replay.stream import stream
from qtwin.request.check_values import outside_support
from qtwin.request.train import build
from qtwin.run import policy
from qtwin.td import distributions, losses, targets
from qtwin.twin import Twin
from qtwin.types import Aux, Timestep, Transition, Variables

CARTPOLE, BREAKOUT = resolve("CartPole-v1"), resolve("minatar:Breakout")
X = dict(np.load(Path(__file__).parent / "fixtures" / "rlax.npz"))  # made by fixtures/make_rlax.py
X = {name: jnp.asarray(value) for name, value in X.items()}


def check(loss, at, name):
    """``loss`` [B] and the gradient of its mean are what rlax says."""
    np.testing.assert_allclose(loss(at), X[name], rtol=2e-5, atol=2e-5)
    gradient = jax.grad(lambda at: losses.mean_over(loss(at), None))(at)
    np.testing.assert_allclose(gradient, X[f"{name}_gradient"], rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("double", [False, True], ids=["max", "double"])
def test_c51_is_rlaxs(double):
    def loss(logits):
        best = jnp.argmax(distributions.mean_of(jax.nn.softmax(X["chooser" if double else "next"]), X["z"]), axis=-1)
        p_next = jax.nn.softmax(distributions.of_action(X["next"], best))
        y = distributions.categorical_target(X["reward"], X["discount"], p_next, X["z"])
        return distributions.cross_entropy(distributions.of_action(logits, X["action"]), y)

    check(loss, X["logits"], "c51_double" if double else "c51")


def test_quantile_regression_is_rlaxs():
    def of_action(z, action):
        return distributions.of_action(jnp.swapaxes(z, 1, 2), action)

    def loss(z):
        best = jnp.argmax(jnp.mean(X["quantiles_next"], axis=1), axis=-1)
        y = targets.value_target(X["reward"], X["discount"], of_action(X["quantiles_next"], best))
        return distributions.quantile_regression(of_action(z, X["action"]), X["tau"], y)

    check(loss, X["quantiles"], "quantile")


def test_td_errors_are_rlaxs():
    q = targets.q_of_action(X["q"], X["action"])
    y = targets.max_target(X["reward"], X["discount"], X["q_next"])
    np.testing.assert_allclose(y - q, X["td"], rtol=1e-5, atol=1e-6)
    y = targets.double_target(X["reward"], X["discount"], X["q_next"], X["q_next_online"])
    np.testing.assert_allclose(y - q, X["double_td"], rtol=1e-5, atol=1e-6)


def test_lambda_returns_are_rlaxs_and_stop_where_an_episode_does():
    columns = [X[name][:, None] for name in ("rewards", "discounts", "values")]
    never = jnp.zeros((9, 1), bool)
    np.testing.assert_allclose(targets.lambda_returns(*columns, never, 0.65)[:, 0], X["lambda"], rtol=1e-5, atol=1e-6)
    one_step = targets.lambda_returns(*columns, never, 0.0)
    np.testing.assert_allclose(one_step, columns[0] + columns[1] * columns[2], rtol=1e-6)
    cut = targets.lambda_returns(*columns, never.at[4].set(True), 1.0)
    np.testing.assert_allclose(cut[4], columns[0][4] + columns[1][4] * columns[2][4], rtol=1e-6)
    first = targets.lambda_returns(*[column[:5] for column in columns], never[:5], 1.0)
    np.testing.assert_allclose(cut[:5], first, rtol=1e-5)


def test_obgd_is_the_papers_algorithm_3():
    rate, decay, kappa = 1.0, 0.99 * 0.8, 2.0
    step, random = obgd(rate, decay, kappa), np.random.default_rng(0)
    w = {"a": jnp.zeros(3), "b": jnp.zeros((2, 2))}
    state, z, mine = step.init(w), [np.zeros(3), np.zeros((2, 2))], [np.zeros(3), np.zeros((2, 2))]
    for t, delta in enumerate((0.5, -3.0, 0.01, 2.0)):
        g = [0.05 * t * random.normal(size=3), 0.05 * t * random.normal(size=(2, 2))]
        ended = t == 1
        aux = Aux(jnp.array([delta]), jnp.zeros(1), ended=jnp.array([ended]))
        gradient = {"a": jnp.asarray(-g[0], jnp.float32), "b": jnp.asarray(-g[1], jnp.float32)}  # of -Q
        moved, state = step.update(gradient, state, w, aux=aux)
        w = jax.tree.map(jnp.add, w, moved)
        z = [decay * one + new for one, new in zip(z, g, strict=True)]
        bound = rate * kappa * max(abs(delta), 1.0) * sum(np.abs(one).sum() for one in z)
        mine = [one + min(rate, rate / max(bound, 1e-30)) * delta * e for one, e in zip(mine, z, strict=True)]
        z = [one * (not ended) for one in z]
        np.testing.assert_allclose(w["a"], mine[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(w["b"], mine[1], rtol=1e-4, atol=1e-6)


def steps(reward, last):
    columns = jnp.zeros((len(reward), 1)), jnp.float32(reward)[:, None], jnp.array(last)[:, None]
    return Timestep(columns[0], columns[0].astype(int), columns[1], columns[0], columns[0], columns[2])


def test_every_epoch_reads_each_transition_once_in_another_order():
    replay = epochs(4, 0.9)
    state = replay.init(Timestep(*(jnp.zeros(()) for _ in range(6))), Cycle(1, 12, 6, 12, 0))
    state = replay.add(state, steps(np.arange(12.0), [False] * 12))
    read = np.concatenate([replay.sample(state, jax.random.key(0), jnp.int32(i)).reward for i in range(6)])
    for epoch in (read[:12], read[12:]):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(12.0))
    assert not np.array_equal(read[:12], read[12:])
    again = replay.add(state, steps(np.arange(12.0), [False] * 12))
    assert not np.array_equal(again.order, state.order)
    with pytest.raises(Refusal, match="whole epochs in whole batches"):
        replay.init(Timestep(*(jnp.zeros(()) for _ in range(6))), Cycle(1, 10, 6, 10, 0))


def test_rewards_of_a_stream_are_divided_by_the_deviation_of_their_discounted_sum():
    replay, sums, trace = stream(0.9, 0.0), [], 0.0
    state = replay.init(Timestep(*(jnp.zeros(()) for _ in range(6))), Cycle(1, 1, 1, 1, 0))
    for reward, last in ((1.0, False), (-2.0, True), (0.5, False), (3.0, False)):
        state = replay.add(state, steps([reward], [last]))
        trace = 0.9 * trace * (not last) + reward
        sums.append(trace)
        deviation = np.std(sums, ddof=1) if len(sums) > 1 else 1.0
        came = replay.sample(state, jax.random.key(0), 0).reward[0]
        np.testing.assert_allclose(came, reward / np.sqrt(deviation**2 + 1e-8), rtol=1e-5)


def test_a_sparse_kernel_has_nine_in_ten_inputs_of_each_unit_0():
    kernel = np.asarray(sparse(24)(jax.random.key(0), (2, 3, 4, 7))).reshape(24, 7)
    np.testing.assert_array_equal((kernel == 0).sum(axis=0), 22)
    assert 0 < np.abs(kernel).max() <= 24**-0.5


def test_what_falls_outside_of_the_atoms_goes_to_the_last_and_one_atom_holds_all():
    z = distributions.atoms_of("-1:1", 3)
    p = jnp.array([[0.2, 0.3, 0.5]])
    y = distributions.categorical_target(jnp.array([0.25]), jnp.array([1.0]), p, z)
    # atoms at -0.75, 0.25, 1.25: the first 3/4 to -1, the second 3/4 to 0, the third all to 1
    np.testing.assert_allclose(y, [[0.15, 0.05 + 0.225, 0.075 + 0.5]], rtol=1e-6)
    np.testing.assert_array_equal(
        distributions.categorical_target(jnp.array([7.0]), jnp.ones(1), jnp.ones((1, 1)), jnp.zeros(1)), [[1.0]]
    )
    np.testing.assert_allclose(distributions.divergence(jnp.log(p), p), [0.0], atol=1e-6)


def test_hl_gauss_is_the_papers_histogram():
    edges, centres = distributions.classes_of("-2:2", 8)
    y, width = [-1.7, 0.1, 1.99], 0.5
    for sigma in (0.75, 2.0):
        came = distributions.hl_gauss(jnp.array(y), edges, sigma)
        for row, mean in zip(came, y, strict=True):
            cdf = [0.5 * (1 + math.erf((edge - mean) / (sigma * width * math.sqrt(2)))) for edge in np.asarray(edges)]
            np.testing.assert_allclose(row, np.diff(cdf) / (cdf[-1] - cdf[0]), rtol=1e-4, atol=1e-6)
    one_hot = distributions.hl_gauss(jnp.array([*y, 99.0]), edges, 0.0)
    np.testing.assert_array_equal(one_hot, np.eye(8)[[0, 4, 7, 7]])
    np.testing.assert_allclose(distributions.mean_of(one_hot, centres), [-1.75, 0.25, 1.75, 1.75])
    assert not jax.grad(lambda y: distributions.hl_gauss(y, edges, 0.75)[0, 0])(jnp.array([0.1])).any()


def test_one_quantile_is_half_of_hubers_loss_and_weights_of_one_are_none():
    z, y = jnp.array([[0.5], [-3.0]]), jnp.array([[0.0], [1.0]])
    came = distributions.quantile_regression(z, jnp.full((2, 1), distributions.midpoints(1)[0]), y)
    np.testing.assert_allclose(came, 0.5 * losses.smooth(y - z)[:, 0])
    error = jnp.array([0.5, -2.0, 3.0])
    for name in losses.EACH:
        np.testing.assert_allclose(losses.regression(name, error, jnp.ones(3)), losses.LOSSES[name](error), rtol=1e-6)
    np.testing.assert_allclose(losses.regression("half-mse", error, jnp.array([1.0, 0.5, 0.0])), 0.375, rtol=1e-6)


def numpy_stream(p, x, noise=None):
    def layer(p, x, e):
        if noise is None:
            return x @ p["kernel"] + p["bias"]
        f = np.sign(e) * np.sqrt(np.abs(e))
        first, second = f[: len(p["kernel"])], f[len(p["kernel"]) :]
        return x @ (p["kernel"] + p["kernel_sigma"] * np.outer(first, second)) + p["bias"] + p["bias_sigma"] * second

    hidden = np.maximum(layer(p["hidden"], x, noise and noise[0]), 0)
    return layer(p["out"], hidden, noise and noise[1])


def test_a_duelling_head_is_wangs_equation_9():
    net = q_network(CARTPOLE, "mlp:8,4+duelling")
    v, obs = net.init(jax.random.key(0)), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    p = jax.tree.map(np.asarray, v.params)
    psi = np.maximum(obs @ p["body"]["hidden"][0]["kernel"] + p["body"]["hidden"][0]["bias"], 0)
    advantage = numpy_stream(p["advantage"], psi)
    expected = numpy_stream(p["value"], psi) + advantage - advantage.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(net.apply(v, obs), expected, rtol=1e-5, atol=1e-6)
    assert [layer.shape for layer in net.layers(v, obs)] == [(5, 8), (5, 4)]


def test_a_noisy_layer_is_fortunatos_equation_9_and_without_noise_the_layer_of_its_means():
    net, key = q_network(CARTPOLE, "mlp:4+noisy"), jax.random.key(3)
    v, obs = net.init(jax.random.key(0)), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    p = jax.tree.map(np.asarray, v.params)["advantage"]
    np.testing.assert_allclose(net.apply(v, obs), numpy_stream(p, obs), rtol=1e-5, atol=1e-6)
    e = np.asarray(jax.random.normal(key, (4 + 4 + 4 + 2,)))
    for came in (net.noisy(v, obs, key), net.learn(v, obs, key)[0], net.drawn(v, obs, key)):
        np.testing.assert_allclose(came, numpy_stream(p, obs, (e[:8], e[8:])), rtol=1e-4, atol=1e-5)
    assert p["hidden"]["kernel_sigma"][0, 0] == pytest.approx(0.5 / 2)
    silent = q_network(CARTPOLE, "mlp:4+noisy=0")
    v = silent.init(jax.random.key(0))
    np.testing.assert_array_equal(silent.noisy(v, obs, key), silent.apply(v, obs))


@pytest.mark.parametrize("size", [1, 31, 32, 33, 2917])
def test_what_is_written_out_is_what_was_given(size):
    x = jax.random.normal(jax.random.key(size), (size,)) * 1e3
    np.testing.assert_array_equal(jax.jit(written_out)(x), x)


def test_noise_is_drawn_once_and_not_anew_for_every_weight():
    net = q_network(CARTPOLE, "mlp:96,80+noisy")
    v = net.init(jax.random.key(0))

    def loss(params, obs, key):
        return jnp.sum(net.drawn(v._replace(params=params), obs, key))

    compiled = jax.jit(jax.grad(loss)).lower(v.params, jnp.ones((4, 4)), jax.random.key(1)).compile()
    of_weights = [c for c in compiled.as_text().split("\n\n") if "-> f32[96,80] {" in c.partition("\n")[0]]
    assert len(of_weights) > 1, "the hidden layer's weights are not perturbed in a computation of their own"
    assert not any("shift" in c for c in of_weights)  # the bits of random numbers


def test_the_embedding_of_a_quantile_is_equation_4():
    net, random = quantile_network(CARTPOLE, "mlp:8,4"), np.random.default_rng(0)
    v, obs = net.init(jax.random.key(0)), random.normal(size=(5, 4)).astype(np.float32)
    tau, p = random.random((5, 3)).astype(np.float32), jax.tree.map(np.asarray, v.params)
    psi = np.maximum(obs @ p["body"]["hidden"][0]["kernel"] + p["body"]["hidden"][0]["bias"], 0)
    waves = np.cos(np.pi * np.arange(64) * tau[..., None])
    phi = np.maximum(waves @ p["embedding"]["kernel"] + p["embedding"]["bias"], 0)
    expected = numpy_stream(p["advantage"], psi[:, None] * phi)
    np.testing.assert_allclose(net.apply(v, (obs, tau)), expected, rtol=1e-4, atol=1e-5)


def test_heads_go_on_any_body():
    for env, name in ((CARTPOLE, "mlp:8+layernorm+duelling+noisy"), (BREAKOUT, "minatar+layernorm+duelling")):
        obs = jnp.ones((5, *env.obs_shape), env.obs_dtype)
        net = distribution_network(env, name, 7)
        assert net.apply(net.init(jax.random.key(0)), obs).shape == (5, env.num_actions, 7)
    atari = EnvSpec("gym:ALE/X", (36, 36, 4), "uint8", 3)
    q = jax.eval_shape(lambda key: _of(q_network(atari, "nature+duelling+noisy"), key, atari), jax.random.key(0))
    assert q.shape == (5, 3)
    plain = distribution_network(CARTPOLE, "mlp:8", 7)
    assert plain.apply(plain.init(jax.random.key(0)), jnp.ones((5, 4))).shape == (5, 2, 7)


def _of(net, key, env):
    return net.noisy(net.init(key), jnp.ones((5, *env.obs_shape), env.obs_dtype), key)


def test_double_and_munchausen_dqn_are_dqn_with_their_bootstrap():
    env, random = CARTPOLE, np.random.default_rng(0)
    obs, next_obs = random.normal(size=(2, 6, 4)).astype(np.float32)
    batch = Transition(obs, np.int32([0, 1, 1, 0, 1, 0]), random.normal(size=6), np.full(6, 0.9), next_obs)
    for agent in ("double_dqn", "munchausen_dqn"):
        c = AGENTS[agent].defaults
        each = [algorithm(env, c).agent, algorithm(env, becoming(c, "dqn")).agent]
        pair = Twin(each[0].init(jax.random.key(0)), each[0].init(jax.random.key(1)))
        one, two = (jax.value_and_grad(_loss(a, pair, batch))(pair.online.params) for a in each)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, two)


def _loss(agent, pair, batch):
    return lambda p: agent.loss(pair.learn(Variables(p, {})), batch, jax.random.key(2))[0]


@pytest.mark.parametrize("agent", ["c51", "hl_gauss", "qr_dqn", "iqn"])
def test_an_exported_policy_has_the_values_that_its_agent_acts_by(agent, tmp_path):
    few = {"quantiles": 5} if "q" in agent else {"atoms": 7}
    c = dataclasses.replace(AGENTS[agent].defaults, net="mlp:8,4+duelling+noisy", **few)
    made = algorithm(CARTPOLE, c).agent
    v, obs = made.init(jax.random.key(0)), jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)
    policy.export(tmp_path / "policy", CARTPOLE, c, {0: jax.tree.map(np.asarray, v)})
    np.testing.assert_allclose(policy.load(tmp_path).values(obs), made.values(v, obs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"agent": "c51", "bootstrap": "mellowmax:5"}, "from the return distribution of one action"),
        ({"agent": "c51", "loss": "mse"}, "with the cross-entropy loss"),
        ({"agent": "c51", "support": "10:-10"}, "VMIN:VMAX"),
        ({"agent": "c51", "atoms": 1}, "at least 2, not 1"),
        ({"agent": "rainbow", "prioritise": "2:1"}, "0.6:0.4"),
        ({"agent": "qr_dqn", "quantiles": 0}, "at least 1"),
        ({"agent": "qr_dqn", "loss": "half-mse"}, "quantiles with the quantile Huber loss"),
        ({"agent": "iqn", "net": "linear"}, "no hidden layer"),
        ({"agent": "dqn", "loss": "cross-entropy"}, "hl_gauss"),
        ({"agent": "double_dqn", "bootstrap": "max"}, "write --agent dqn"),
        ({"agent": "munchausen_dqn", "n_step": 3}, "only the first one's is known"),
        ({"agent": "dqn", "bootstrap": "munchausen", "n_step": 3}, "only the first one's is known"),
        ({"agent": "online_q", "net": "mlp:8+noisy"}, "leave .noisy out"),
        ({"agent": "fqi", "prioritise": "0.6:0.4"}, "without which prioritised replay is biased"),
        ({"agent": "dqn", "prioritise": "0.6:0.4", "replay": 0, "batch": 1}, "used once and forgotten"),
        ({"agent": "pqn", "replay": 100}, "--replay 0"),
        ({"agent": "pqn", "batch": 100}, "whole epochs"),
        ({"agent": "pqn", "trace": 1.5}, "between 0 and 1, not 1.5"),
        ({"agent": "stream_q", "envs": 2}, "--envs 1"),
        ({"agent": "stream_q", "bootstrap": "double"}, "bootstraps with 'max'"),
        ({"agent": "dqn", "anneal": "yes"}, "is for pqn"),
        ({"agent": "stream_q", "anneal": "yes"}, "is for pqn"),
        ({"agent": "dqn", "reward_scale": "0.1"}, "--reward-scale, which is for pqn or stream_q"),
        ({"agent": "dqn", "support": "-20:20"}, "for c51 or hl_gauss or rainbow"),
        ({"agent": "c51", "sigma": "0.5"}, "for hl_gauss"),
        ({"agent": "stream_q", "optimiser": "sgd"}, "not use --optimiser; leave it out"),
        ({"agent": "sac", "subset": "1"}, "for redq"),
        ({"agent": "dqn", "net": "mlp:8+noisy=-1"}, "SIGMA"),
        ({"agent": "dqn", "net": "mlp:8+noisy", "zeta": "2"}, "the network 'mlp:8.noisy' explores by its own noise"),
        ({"agent": "sac", "zeta": "2"}, "the agent sac explores by its own noise"),
        ({"agent": "dqn", "zeta": "1"}, "greater than 1"),
        ({"agent": "dqn", "net": "mlp:8+dueling"}, "did you mean 'duelling'"),
        ({"agent": "dqn", "net": "mlp:8+batchnorm+duelling"}, "neither batch norm nor dropout"),
    ],
)  # fmt: skip
def test_what_the_mathematics_does_not_allow_is_refused(settings, sentence):
    with pytest.raises(Refusal, match=sentence):
        build("CartPole-v1", agent=settings["agent"], settings={k: v for k, v in settings.items() if k != "agent"})


def test_a_support_that_does_not_cover_the_returns_seen_is_told_with_both():
    c = dataclasses.replace(AGENTS["c51"].defaults, support="-10:10")
    few = {"train_return": [9.0, None], "train_length": [9.0, None]}
    many = {"train_return": [500.0, 20.0], "train_length": [500.0, 20.0]}  # (1 - 0.99^500) / 0.01 = 99.3
    assert outside_support(c, [few]) == ""
    assert "the support -10:10 does not cover the returns seen, discounted about 8.65 to 99.3" in outside_support(
        c, [few, many]
    )
    assert outside_support(dataclasses.replace(c, support="0:100"), [few, many]) == ""
    assert outside_support(AGENTS["dqn"].defaults, [many]) == ""


@pytest.mark.parametrize("agent", ["c51", "hl_gauss", "dqn"])
def test_what_goes_together_is_let_through(agent):
    bootstrap = {"c51": "double", "hl_gauss": "minto", "dqn": "minto"}[agent]
    settings = {"bootstrap": bootstrap, "target": "soft:0.01", "prioritise": "0.6:0.4", "n_step": "3"}
    build("CartPole-v1", agent=agent, settings=settings | {"net": "mlp:8+duelling+noisy"})
