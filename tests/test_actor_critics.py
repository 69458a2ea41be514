"""Targets, losses and gradients of the soft-update family against numpy transcriptions of the papers, and by hand."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transcriptions as papers

from qtwin.acting import policies
from qtwin.agents.catalog import algorithm, config_of
from qtwin.envs.spec import EnvSpec
from qtwin.td.losses import quantile_huber
from qtwin.twin import twin
from qtwin.types import Transition, Variables

BATCH, OBS, ACTION = 7, 3, 2
CONTINUOUS = EnvSpec("gym:Nowhere", (OBS,), "float32", None, action_low=(-2.0, 0.0), action_high=(2.0, 3.0))
DISCRETE = EnvSpec("gym:Nowhere", (OBS,), "float32", 4)
SHARED = {"env": "gym:Nowhere", "net": "mlp:6,5", "warmup": 0, "replay": 100, "batch": BATCH, "target": "soft:0.005"}
RANDOM = np.random.default_rng(3)
EPS = RANDOM.normal(size=(BATCH, ACTION))
EPS_ACTOR = RANDOM.normal(size=(BATCH, ACTION))
SIGMA, CLIP = 0.4, 0.5

# Of each agent its settings; then by its paper: y of (online, target, batch), the critics' loss and the actor's loss.
PAPERS = {
    "ddpg": (
        {"loss": "mse"},
        lambda online, target, batch: papers.ddpg_target(target, batch),
        papers.ddpg_critic_loss,
        papers.ddpg_actor_loss,
    ),
    "td3": (
        {"loss": "mse", "critics": 2, "smoothing": f"{SIGMA}:{CLIP}"},
        lambda online, target, batch: papers.td3_target(target, batch, EPS, SIGMA, CLIP),
        papers.td3_critic_loss,
        papers.td3_actor_loss,
    ),
    "sac": (
        {"loss": "half-mse", "critics": 2, "temperature": "auto:0.2"},
        lambda online, target, batch: papers.sac_target(online, target, batch, EPS),
        papers.sac_critic_loss,
        lambda online, batch: papers.sac_actor_loss(online, batch, EPS_ACTOR),
    ),
    "redq": (
        {"loss": "mse", "critics": 4, "subset": 4, "temperature": "auto:0.2"},
        lambda online, target, batch: papers.redq_target(online, target, batch, EPS, (0, 1, 2, 3)),
        papers.redq_critic_loss,
        lambda online, batch: papers.redq_actor_loss(online, batch, EPS_ACTOR),
    ),
    "droq": (  # without dropout it is REDQ whose target takes all critics, with layer norms (Hiraoka 2022, algorithm 2)
        {"net": "mlp:6,5+layernorm", "actor_net": "mlp:6,5", "loss": "mse", "critics": 2, "temperature": "auto:0.2"},
        lambda online, target, batch: papers.redq_target(online, target, batch, EPS, (0, 1)),
        papers.redq_critic_loss,
        lambda online, batch: papers.redq_actor_loss(online, batch, EPS_ACTOR),
    ),
    "tqc": (
        {"critics": 3, "quantiles": 4, "drop": 1, "temperature": "auto:0.2"},
        lambda online, target, batch: papers.tqc_target(online, target, batch, EPS, drop=1),
        lambda online, y, batch: papers.tqc_critic_losses(online, y, batch).sum(),
        lambda online, batch: papers.tqc_actor_loss(online, batch, EPS_ACTOR),
    ),
    "discrete sac": (
        {"loss": "half-mse", "critics": 2, "temperature": "auto:0.2"},
        papers.discrete_sac_target,
        papers.discrete_sac_critic_loss,
        papers.discrete_sac_actor_loss,
    ),
}


def problem(agent, **settings):
    """An algorithm, a twin whose two networks differ in every number, and a batch."""
    spec = DISCRETE if agent.startswith("discrete") else CONTINUOUS
    chosen = algorithm(spec, config_of(agent=agent.removeprefix("discrete "), **SHARED | settings))
    random = np.random.default_rng(5)

    def drawn(leaf):
        return jnp.asarray(random.normal(scale=0.6, size=leaf.shape), jnp.float32)

    shapes = jax.eval_shape(chosen.agent.init, jax.random.key(0))
    online = Variables(jax.tree.map(drawn, shapes.params), jax.tree.map(lambda s: jnp.abs(drawn(s)), shapes.stats))
    pair = twin(online, chosen.rates.target_update, parts=chosen.target_parts)
    if pair.target_variables is not None:
        target_variables = Variables(jax.tree.map(drawn, pair.target_variables.params), pair.target_variables.stats)
        pair = dataclasses.replace(pair, target_variables=target_variables)
    if spec.continuous:
        action = random.uniform(-1, 1, size=(BATCH, ACTION))
    else:
        action = random.integers(0, DISCRETE.num_actions, size=BATCH)
    batch = Transition(
        obs=random.normal(size=(BATCH, OBS)),
        action=action,
        reward=random.normal(size=BATCH),
        discount=np.array([0.9, 0.0, 0.9, 0.81, 0.9, 0.0, 0.9]),  # one step on; terminal; two steps on
        next_obs=random.normal(size=(BATCH, OBS)),
    )
    return chosen, pair, batch


def device(batch):
    """A float64 batch as the replay gives it."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32 if a.dtype == np.float64 else jnp.int32), batch)


def double(tree):
    """Parameters in float64, as the transcriptions take them."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def drawing(monkeypatch, eps):
    """From here on every policy draws ``eps``."""
    monkeypatch.setattr(policies, "noise", lambda key, shape: jnp.asarray(eps, jnp.float32).reshape(shape))


def regression(chosen, pair, batch, key=0):
    """The regression's loss, what it reports, and its gradient by all online parameters."""

    def objective(params):
        return chosen.agent.loss(pair.learn(Variables(params, pair.online.stats)), device(batch), jax.random.key(key))

    (loss, aux), slope = jax.jit(jax.value_and_grad(objective, has_aux=True))(pair.online.params)
    return loss, aux, slope


def improvement(chosen, pair, batch):
    """The actor's loss, its new statistics, and its gradient by the parts that it moves."""
    others = pair.online.params

    def objective(params):
        online = Variables({**others, **params}, pair.online.stats)
        return chosen.policy_update.loss(pair.learn(online), device(batch), jax.random.key(1))

    moved = {part: others[part] for part in chosen.policy_update.parts}
    (loss, stats), slope = jax.jit(jax.value_and_grad(objective, has_aux=True))(moved)
    return loss, stats, slope


def same(came, expected, rtol=1e-4, atol=2e-6):
    """Two trees of one structure agree, leaf by leaf."""
    came, expected = (dict(jax.tree_util.tree_leaves_with_path(tree)) for tree in (came, expected))
    assert came.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_allclose(came[path], leaf, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path))


def only(params, part, loss):
    """``loss`` of one part of the parameters, for finite differences."""
    return papers.finite_differences(lambda moved: loss({**params, part: moved[part]}), {part: params[part]})[part]


@pytest.mark.parametrize("agent", PAPERS)
def test_critics_loss_and_gradient_equal_the_papers(agent, monkeypatch):
    settings, target_of, critic_loss, _ = PAPERS[agent]
    chosen, pair, batch = problem(agent, **settings)
    drawing(monkeypatch, EPS)
    loss, aux, slope = regression(chosen, pair, batch)

    online, target = double(pair.online.params), double(pair.target_variables.params)
    y = target_of(online, target, batch)
    np.testing.assert_allclose(loss, critic_loss(online, y, batch), rtol=1e-5)
    mean_y = y if y.ndim == 1 else y.mean(axis=1)
    np.testing.assert_allclose(aux.td_error + aux.q, mean_y, rtol=1e-4, atol=1e-5)
    same(slope["critic"], only(online, "critic", lambda params: critic_loss(params, y, batch)))
    for part in set(slope) - {"critic"}:  # nothing passes through the target
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(slope[part])), part


@pytest.mark.parametrize("agent", PAPERS)
def test_actors_loss_and_gradient_equal_the_papers(agent, monkeypatch):
    settings, _, _, actor_loss = PAPERS[agent]
    chosen, pair, batch = problem(agent, **settings)
    drawing(monkeypatch, EPS_ACTOR)
    _, _, slope = improvement(chosen, pair, batch)
    online = double(pair.online.params)
    assert "critic" not in slope
    same(slope["actor"], only(online, "actor", lambda params: actor_loss(params, batch)))


@pytest.mark.parametrize("agent", ["sac", "redq", "droq", "tqc", "discrete sac"])
def test_the_temperature_falls_as_the_papers_objective_says(agent, monkeypatch):
    chosen, pair, batch = problem(agent, **PAPERS[agent][0])
    drawing(monkeypatch, EPS_ACTOR)
    slope = improvement(chosen, pair, batch)[2]["temperature"]
    out = papers.mlp(double(pair.online.params)["actor"], batch.obs)
    # The papers' J(alpha), with log alpha in alpha's place, as their released code has it.
    if agent == "discrete sac":
        expected = papers.discrete_temperature_slope(papers.softmax(out), 0.98 * math.log(4))
    else:
        expected = papers.temperature_slope(papers.squashed(out, EPS_ACTOR)[1], -ACTION)
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_a_constant_temperature_is_no_parameter(monkeypatch):
    settings, target_of, critic_loss, actor_loss = PAPERS["sac"]
    chosen, pair, batch = problem("sac", **settings | {"temperature": "0.7"})
    assert set(pair.online.params) == {"critic", "actor"}
    online = double(pair.online.params) | {"temperature": np.log(0.7)}
    drawing(monkeypatch, EPS)
    y = target_of(online, double(pair.target_variables.params), batch)
    np.testing.assert_allclose(regression(chosen, pair, batch)[0], critic_loss(online, y, batch), rtol=1e-5)
    drawing(monkeypatch, EPS_ACTOR)
    np.testing.assert_allclose(improvement(chosen, pair, batch)[0], actor_loss(online, batch), rtol=1e-5)


@pytest.mark.parametrize("agent", PAPERS)
def test_a_soft_target_follows_as_the_papers_say(agent):
    chosen, pair, _ = problem(agent, **PAPERS[agent][0])
    _, moved = pair.follow(chosen.rates.target_update, chosen.rates.target_update.init(pair.target_variables.params))
    # DDPG and TD3 have a target actor, the others a target of the critics alone.
    assert set(pair.target_variables.params) == ({"critic", "actor"} if agent in ("ddpg", "td3") else {"critic"})
    online = {part: pair.online.params[part] for part in pair.target_variables.params}
    expected = jax.tree.map(lambda t, o: papers.soft(t, o, 0.005), double(pair.target_variables.params), double(online))
    same(moved.target_variables.params, expected, rtol=1e-5, atol=1e-7)


def test_redqs_target_is_the_least_of_a_random_pair(monkeypatch):
    chosen, pair, batch = problem("redq", loss="mse", critics=3, subset=2, temperature="auto:0.2")
    drawing(monkeypatch, EPS)
    online, target = double(pair.online.params), double(pair.target_variables.params)
    subsets = list(itertools.combinations(range(3), 2))
    each = np.stack([papers.redq_target(online, target, batch, EPS, chosen) for chosen in subsets])
    each, differ = each[:, batch.discount > 0], 0
    loss = jax.jit(lambda key: chosen.agent.loss(pair, device(batch), key)[1])
    drawn = []
    for key in range(60):
        aux = loss(jax.random.key(key))
        gap = np.abs((aux.td_error + aux.q)[batch.discount > 0][None] - each).max(axis=1)
        differ += (gap > 1e-3).sum() >= 1
        assert gap.min() < 1e-4  # one pair for the whole batch
        drawn.append(int(gap.argmin()))
    assert differ == 60
    # Each pair in a third of 60 draws: 20, and five deviations of sqrt(60 / 3 * 2 / 3) = 3.65 either way.
    assert all(2 <= drawn.count(pair) <= 38 for pair in range(3))


def test_droq_drops_units_of_both_networks_and_each_time_others(monkeypatch):
    net = {"net": "mlp:6,5+layernorm+dropout=0.5", "actor_net": "mlp:6,5"}
    chosen, pair, batch = problem("droq", critics=2, **net)
    drawing(monkeypatch, EPS)
    loss = jax.jit(lambda key: chosen.agent.loss(pair, device(batch), key)[1])
    first, again, second = (loss(jax.random.key(key)) for key in (0, 0, 1))
    gap = np.abs((first.td_error + first.q) - (second.td_error + second.q))
    assert np.abs(first.q - second.q).max() > 0.01  # the online network's
    assert gap[batch.discount > 0].max() > 0.01  # the target's, on the same action
    np.testing.assert_allclose(gap[batch.discount == 0], 0, atol=1e-6)
    np.testing.assert_array_equal(first.q, again.q)


# BY HAND: networks that are constants


def constant(tree, outputs):
    """An mlp whose output is ``outputs``, whatever goes in."""
    zeros = jax.tree.map(jnp.zeros_like, tree)
    return {**zeros, "head": {**zeros["head"], "bias": jnp.asarray(outputs, jnp.float32)}}


def by_hand(agent, target_critics, actor, rewards=1.0, **settings):
    """y of a batch whose second and sixth s' are terminal, gamma 0.5, all networks being constants."""
    chosen, pair, batch = problem(agent, **settings)
    critics = pair.target_variables.params["critic"]
    if agent == "ddpg":
        critics = constant(critics, target_critics[0])
    else:
        critics = {name: constant(critics[name], out) for name, out in zip(critics, target_critics, strict=True)}
    target_variables = {**pair.target_variables.params, "critic": critics}
    online = {**pair.online.params, "actor": constant(pair.online.params["actor"], actor)}
    pair = dataclasses.replace(pair, online=Variables(online, {}), target_variables=Variables(target_variables, {}))
    batch = batch._replace(reward=np.full(BATCH, rewards), discount=np.array([0.5, 0, 0.5, 0.5, 0.5, 0, 0.5]))
    aux = jax.jit(chosen.agent.loss)(pair, device(batch), jax.random.key(0))[1]
    y = np.asarray(aux.td_error + aux.q)
    np.testing.assert_allclose(y[[1, 5]], rewards, rtol=1e-5)
    np.testing.assert_allclose(y[[2, 3, 4, 6]], y[0], rtol=1e-5)
    return y[0]


def test_targets_by_hand(monkeypatch):
    drawing(monkeypatch, np.zeros((BATCH, ACTION)))
    # 1 + 0.5 * 3, with one critic and with the smaller of two
    np.testing.assert_allclose(by_hand("ddpg", [[3.0]], [0.0, 0.0]), 2.5, rtol=1e-5)
    np.testing.assert_allclose(by_hand("td3", [[5.0], [3.0]], [0.0, 0.0]), 2.5, rtol=1e-5)
    # tanh(0) = 0 without noise, where each of two numbers has density 1 / sqrt(2 pi) and tanh the slope 1:
    # log pi = -log(2 pi), so 1 + 0.5 (3 + 0.2 * 1.837877)
    actor = [0.0, 0.0, 0.0, 0.0]
    y = 1 + 0.5 * (3 + 0.2 * 1.837877)
    np.testing.assert_allclose(by_hand("sac", [[5.0], [3.0]], actor, temperature="0.2"), y, rtol=1e-5)
    np.testing.assert_allclose(
        by_hand("redq", [[5.0], [3.0], [4.0]], actor, critics=3, subset=3, temperature="0.2"), y, rtol=1e-5
    )
    # twice the deviation is half the density: log pi = -log(2 pi) - 2 log 2
    wide = [0.0, 0.0, math.log(2), math.log(2)]
    y = 1 + 0.5 * (3 + 0.2 * (1.837877 + 2 * 0.693147))
    np.testing.assert_allclose(by_hand("sac", [[5.0], [3.0]], wide, temperature="0.2"), y, rtol=1e-5)
    # of 1, 2, 3, 4, 9 and 10 the two largest go, both of them the top of a critic: mean 2.5
    settings = {"quantiles": 3, "drop": 1, "temperature": "0"}
    y = by_hand("tqc", [[1.0, 9.0, 2.0], [10.0, 4.0, 3.0]], actor, **settings)
    np.testing.assert_allclose(y, 1 + 0.5 * 2.5, rtol=1e-5)
    # both are the second critic's: it is the pool that is cut, not each critic. Mean of 1, 2, 3 and 4
    y = by_hand("tqc", [[1.0, 3.0, 2.0], [10.0, 4.0, 9.0]], actor, **settings)
    np.testing.assert_allclose(y, 1 + 0.5 * 2.5, rtol=1e-5)
    # two actions of four at even odds (the others at e^-40): mean of min(2, 3) and min(4, 3), and an entropy of log 2
    y = by_hand(
        "discrete sac", [[2.0, 4.0, 0.0, 0.0], [3.0, 3.0, 0.0, 0.0]], [0.0, 0.0, -40.0, -40.0], temperature="0.2"
    )
    np.testing.assert_allclose(y, 1 + 0.5 * (2.5 + 0.2 * 0.693147), rtol=1e-5)


def test_quantile_huber_by_hand():
    # Quantiles 0 at 1/4 and 1 at 3/4, samples 1/2 and -2. For the first a quarter of 0.5^2 / 2 and three quarters of
    # 2 - 1/2, for the second a quarter of each, 0.5^2 / 2 and 3 - 1/2.
    expected = (0.25 * 0.125 + 0.75 * 1.5 + 0.25 * 0.125 + 0.25 * 2.5) / 4
    z, y = np.array([[0.0, 1.0]]), np.array([[0.5, -2.0]])
    np.testing.assert_allclose(quantile_huber(jnp.asarray(z), jnp.asarray(y)), expected, rtol=1e-6)
    pairs = [papers.quantile_huber(u, tau) for u, tau in ((0.5, 0.25), (-2.0, 0.25), (-0.5, 0.75), (-3.0, 0.75))]
    np.testing.assert_allclose(np.mean(pairs), expected)


# SQUASHING


def log_prob(mean, log_std, eps, monkeypatch):
    """Action and log-density of one number, at mean + exp(log_std) eps before squashing. [N] each"""
    monkeypatch.setattr(policies, "noise", lambda key, shape: jnp.asarray(eps, jnp.float32)[:, None])
    shape = (len(eps), 1)
    policy = policies.Squashed(jnp.full(shape, mean, jnp.float32), jnp.full(shape, log_std, jnp.float32))
    action, log_pi = policy.sample_with_log_prob(jax.random.key(0))
    return np.asarray(action)[:, 0], np.asarray(log_pi)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.5), (0.3, -3.0)])
def test_the_squashed_density_integrates_to_one(mean, log_std, monkeypatch):
    # Over a grid of u: the integral of pi(a) da is that of pi(tanh u) (1 - tanh^2 u) du.
    eps = np.linspace(-9, 9, 4001)
    u = mean + np.exp(log_std) * eps
    _, log_pi = log_prob(mean, log_std, eps, monkeypatch)
    np.testing.assert_allclose(np.trapezoid(np.exp(log_pi) / np.cosh(u) ** 2, u), 1, rtol=1e-4)
    # And over a grid of actions in (-1, 1), without a word of u, where the density has no pole at its ends.
    if np.exp(log_std) < 0.5:
        a = np.linspace(-1, 1, 40_003)[1:-1]
        _, log_pi = log_prob(mean, log_std, (np.arctanh(a) - mean) / np.exp(log_std), monkeypatch)
        np.testing.assert_allclose(np.trapezoid(np.exp(log_pi), a), 1, rtol=1e-4)


@pytest.mark.optimised
def test_the_squashed_density_is_finite_where_tanh_rounds_to_one(monkeypatch):
    eps = np.array([-200.0, -20.0, -9.5, 0.0, 9.5, 20.0, 200.0])
    action, log_pi = log_prob(0.0, 0.0, eps, monkeypatch)
    assert set(action[[0, 1, 2, 4, 5, 6]]) == {-1.0, 1.0}
    # log N(u) - log(1 - tanh^2 u), and 1 - tanh^2 u -> 4 e^{-2|u|}
    far = -0.5 * eps**2 - 0.5 * math.log(2 * math.pi) - math.log(4) + 2 * np.abs(eps)
    np.testing.assert_allclose(log_pi[[0, 1, 2, 4, 5, 6]], far[[0, 1, 2, 4, 5, 6]], rtol=1e-5)
    np.testing.assert_allclose(log_pi[3], -0.918939, rtol=1e-5)

    def density(mean):
        policy = policies.Squashed(mean, jnp.zeros_like(mean))
        return jnp.sum(policy.sample_with_log_prob(jax.random.key(0))[1])

    # d log pi / d mean at fixed eps is 2 tanh(u), the pull of the squashing alone.
    drawing(monkeypatch, np.zeros((5, 1)))
    mean = jnp.array([[-200.0], [-20.0], [0.0], [20.0], [200.0]])
    np.testing.assert_allclose(jax.grad(density)(mean)[:, 0], [-2, -2, 0, 2, 2], rtol=1e-6)


def test_the_transcriptions_own_squashing_by_hand():
    out = np.array([[0.5, -1.0, 0.2, -0.3]])
    eps = np.array([[0.4, 1.5]])
    a, log_pi = papers.squashed(out, eps)
    u = np.array([0.5 + math.exp(0.2) * 0.4, -1.0 + math.exp(-0.3) * 1.5])
    np.testing.assert_allclose(a[0], np.tanh(u))
    density = np.exp(-0.5 * eps[0] ** 2) / np.sqrt(2 * np.pi) / np.exp([0.2, -0.3]) / (1 - np.tanh(u) ** 2)
    np.testing.assert_allclose(np.exp(log_pi), density.prod())


def test_finite_differences_by_hand():
    # x y + y^2: gradient (y, x + 2 y)
    came = papers.finite_differences(
        lambda p: p["x"] * p["in"]["y"][0] + p["in"]["y"][0] ** 2, {"x": np.array(3.0), "in": {"y": np.array([2.0])}}
    )
    np.testing.assert_allclose([came["x"], came["in"]["y"][0]], [2.0, 7.0], rtol=1e-8)


# CROSSQ


def crossq(**settings):
    """CrossQ with plain batch norms."""
    net = {"net": "mlp:6,5+batchnorm", "critics": 2, "loss": "half-mse", "temperature": "auto:0.2", "target": "tied"}
    return problem("crossq", **net | settings)


@pytest.mark.parametrize("target", ["tied", "soft:0.005"])
def test_crossqs_joint_pass_equals_the_paper(target, monkeypatch):
    chosen, pair, batch = crossq(target=target)
    drawing(monkeypatch, EPS)
    loss, aux, slope = regression(chosen, pair, batch)

    online, seen = double(pair.online.params), double(pair.online.stats)
    out = papers.normed_mlp(online["actor"], batch.next_obs, seen["actor"])  # the actor by what it has seen before
    action, log_pi = papers.squashed(out, EPS)
    following = online if target == "tied" else double(pair.target_variables.params)
    _, q_next = papers.crossq_joint(following["critic"], batch, action)
    y = batch.reward + batch.discount * (q_next.min(axis=0) - np.exp(online["temperature"]) * log_pi)

    def critic_loss(params):
        q, _ = papers.crossq_joint(params["critic"], batch, action)
        return np.sum(np.mean(0.5 * (q - y) ** 2, axis=1))

    np.testing.assert_allclose(loss, critic_loss(online), rtol=1e-5)
    np.testing.assert_allclose(aux.td_error + aux.q, y, rtol=1e-4, atol=1e-5)
    same(slope["critic"], only(online, "critic", critic_loss), rtol=1e-3, atol=2e-5)

    # What the first layer's norm has now seen: 0.99 of before and 0.01 of the moments of both halves together.
    both = np.concatenate([np.c_[batch.obs, batch.action], np.c_[batch.next_obs, action]])
    for name in ("0", "1"):
        before, after = seen["critic"][name]["norms"][0], aux.stats["critic"][name]["norms"][0]
        np.testing.assert_allclose(after["mean"], 0.99 * before["mean"] + 0.01 * both.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(after["var"], 0.99 * before["var"] + 0.01 * both.var(axis=0), rtol=1e-5)
    same(aux.stats["actor"], pair.online.stats["actor"])


def test_crossqs_actor_learns_with_critics_that_gather_nothing(monkeypatch):
    chosen, pair, batch = crossq()
    drawing(monkeypatch, EPS_ACTOR)
    _, stats, slope = improvement(chosen, pair, batch)
    online, seen = double(pair.online.params), double(pair.online.stats)

    def actor_loss(params):
        action, log_pi = papers.squashed(papers.normed_mlp(params["actor"], batch.obs), EPS_ACTOR)
        pairs = np.c_[batch.obs, action]
        q = [papers.normed_mlp(online["critic"][name], pairs, seen["critic"][name])[:, 0] for name in ("0", "1")]
        return np.mean(np.exp(online["temperature"]) * log_pi - np.min(q, axis=0))

    same(slope["actor"], only(online, "actor", actor_loss), rtol=1e-3, atol=2e-5)
    same(stats["critic"], pair.online.stats["critic"], rtol=0, atol=0)
    before, after = seen["actor"]["norms"][0], stats["actor"]["norms"][0]
    np.testing.assert_allclose(after["mean"], 0.99 * before["mean"] + 0.01 * batch.obs.mean(axis=0), rtol=1e-5)
