"""Law 9 with continuous actions: every actor-critic learns every probe environment to its exact value."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.agents.catalog import algorithm, config_of
from qtwin.engine.fused import fused
from qtwin.envs.continuous_probes import best_actions, closed_form, continuous_probe, exact_q, points, tables
from qtwin.envs.probe_specs import CONTINUOUS
from qtwin.nets.build import critic_network
from qtwin.nets.ensemble import ensemble
from qtwin.processes.collect import begin
from qtwin.rates import plan

pytestmark = pytest.mark.optimised
GAMMA = 0.9
ONE_NUMBER = [name for name, spec in CONTINUOUS.items() if len(spec.action_low) == 1]
TWO_NUMBERS = ["continuous-units"]

# A long warm-up: the values of all actions are asked for, and a policy that has learned takes one of them only.
BASE = {
    "discount": GAMMA, "learning_rate": 3e-3, "collect": 4, "regress": 80, "warmup": 2000, "replay": 4000, "batch": 64,
    "explore": "0.3", "envs": 4, "steps": 2300, "target": "soft:0.05", "net": "mlp:32,32",
}  # fmt: skip
SAC = BASE | {"agent": "sac", "explore": "1", "temperature": "0.001"}
AGENTS = {
    "ddpg": BASE | {"agent": "ddpg"},
    "td3": BASE | {"agent": "td3", "actor_every": 2},
    "sac": SAC,
    "redq": SAC | {"agent": "redq", "critics": 4, "subset": 2},
    "droq": SAC | {"agent": "droq", "net": "mlp:32,32+layernorm+dropout=0.001", "actor_net": "mlp:32,32"},
    "tqc": SAC | {"agent": "tqc", "quantiles": 5, "drop": 1},
    "crossq": SAC | {
        "agent": "crossq", "net": "mlp:32,32+batchrenorm", "actor_net": "mlp:32,32", "target": "tied", "batch": 128,
        "learning_rate": 1e-3,
    },
}  # fmt: skip
SOFT = ("sac",)
# Where no reward follows from what an action two steps before has done, half the gradient steps suffice.
SOON = {f"continuous-{name}" for name in ("constant", "action", "bound", "discounting", "final-observation")}
# With batch normalisation a value depends on what else is in the batch, and here on what was in the last hundred. The
# actor goes without: at next to no temperature, nothing brings back a deviation that batch normalisation has pushed
# beyond the bound at which it is clipped, where there is no gradient.
TOLERANCE = {"crossq": 0.15}


def padded(rows):
    """A whole number of hundreds of rows, so that one program does for every probe."""
    rows = np.asarray(rows, np.float32)
    return np.concatenate([rows, np.zeros((-len(rows) % 100, *rows.shape[1:]), np.float32)])


def q_of(c, spec):
    """A function of variables, observations and actions: what the critics make of these, each, and the mean over the
    quantiles of one where it has several. [E, M]"""
    outputs = c.quantiles if c.agent == "tqc" else 1
    net = critic_network(spec, c.net, outputs, c.init, c.normalise)
    critics = net if c.agent == "ddpg" else ensemble(net, c.critics)
    apply = jax.jit(lambda variables, obs, action: critics.apply(variables, (obs, action)))

    def values(variables, obs, action):
        came = np.asarray(apply(variables, padded(obs), padded(action)))
        return came[: len(obs)].T if c.agent == "ddpg" else came.mean(axis=-1)[:, : len(obs)]

    return values


def learned(c, names, soon=()):
    """Runs one compiled program in each of the probes ``names``, which are of one shape, in ``soon`` for half of the
    budget; the network of each."""
    spec = CONTINUOUS[names[0]]
    chosen = algorithm(spec, c)
    program, budget = fused(chosen, continuous_probe(names[0]), c.envs), plan(chosen.rates, c.envs, c.steps)
    act = jax.jit(chosen.agent.act)
    for name in names:
        state = program.init([0])
        world = begin(continuous_probe(name), c.envs, state.key[0])
        world = jax.tree.map(lambda new, old: jax.device_put(new[None], old.sharding), world, state.world)
        state = program.warm_up(state._replace(world=world), budget.cycle.warmup_vector_steps)
        state = program.advance(state, budget.cycles // 2 if name in soon else budget.cycles)
        online = jax.tree.map(lambda leaf: leaf[0], state.twin.online)
        yield name, online, lambda obs: act(online, padded(obs), jnp.float32(0.0), jax.random.key(0))[: len(obs)]


# The units are the adapter's, not the agent's: one agent of each kind of policy looks at them.
@pytest.mark.parametrize(
    ("agent", "names"),
    [(agent, ONE_NUMBER) for agent in AGENTS] + [(agent, TWO_NUMBERS) for agent in ("td3", "sac")],
    ids=[*AGENTS, "td3 in units", "sac in units"],
)
def test_every_agent_learns_every_probe_to_its_exact_values_and_best_actions(agent, names):
    c = config_of(env="probe", **AGENTS[agent])
    close, values = TOLERANCE.get(agent, 0.05), q_of(c, CONTINUOUS[names[0]])
    for name, online, act in learned(c, names, () if agent == "crossq" else SOON):
        obs, action, exact = exact_q(name, c.discount)
        came = values(online.part("critic"), obs, action)
        np.testing.assert_allclose(came, [exact] * len(came), rtol=0.0, atol=close, err_msg=f"{agent}: probe:{name}")
        obs, best = best_actions(name)
        if len(obs):
            np.testing.assert_allclose(act(obs), best, rtol=0, atol=close, err_msg=f"{agent}: probe:{name}")


def entropy_and_mean_under(mean, std, function):
    """Entropy of tanh(N(mean, std^2)), and the mean of ``function`` of it, by Gauss-Hermite quadrature. [...]"""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    u = np.asarray(mean)[..., None] + np.asarray(std)[..., None] * nodes
    weights = weights / weights.sum()
    log_slope = 2 * (np.log(2) - np.abs(u) - np.log1p(np.exp(-2 * np.abs(u))))  # log(1 - tanh(u)^2), which is even
    entropy = 0.5 * np.log(2 * np.pi * np.e * np.asarray(std) ** 2) + (log_slope * weights).sum(-1)
    return entropy, (function(np.tanh(u)) * weights).sum(-1)


def best_soft_value(function, alpha):
    """max over tanh(N(mean, std^2)) of E[function] + alpha entropy: the greatest soft value a squashed policy has."""
    mean, std = np.meshgrid(np.linspace(-1, 2, 301), np.linspace(0.02, 1.5, 149))
    entropy, value = entropy_and_mean_under(mean, std, function)
    return (value + alpha * entropy).max()


def test_the_best_squashed_policy_of_a_constant_reward_is_all_but_uniform():
    """Haarnoja's policy class nearly holds the uniform distribution, whose soft value is alpha log 2: the greatest."""
    assert np.log(2) - 0.01 < best_soft_value(np.zeros_like, 1.0) < np.log(2)
    alpha, a = 0.5, np.linspace(-1, 1, 20_001)
    tent = lambda a: -np.abs(a - 0.5)  # noqa: E731
    exact = alpha * np.log(np.trapezoid(np.exp(tent(a) / alpha), a))
    assert exact - 0.025 < best_soft_value(tent, alpha) < exact


@pytest.mark.parametrize("agent", SOFT)
def test_with_a_temperature_the_value_is_the_exact_soft_value(agent):
    alpha = 0.5
    c = config_of(env="probe", **AGENTS[agent] | {"temperature": f"{alpha}", "learning_rate": 1e-3, "batch": 256})
    tent = lambda a: -np.abs(a - 0.5)  # noqa: E731
    exact = {  # the last state's reward is all there is of its value; what comes before has the soft value after it
        "continuous-endless": (1 + GAMMA * alpha * best_soft_value(np.zeros_like, 1.0)) / (1 - GAMMA),
        "continuous-discounting": GAMMA * (1 + best_soft_value(tent, alpha)),
    }
    values = q_of(c, CONTINUOUS["continuous-endless"])
    for name, online, _ in learned(c, list(exact)):
        obs, action, _ = exact_q(name, GAMMA)
        first = obs[:, 1] == (name == "continuous-endless")
        came = values(online.part("critic"), obs[first], action[first])
        np.testing.assert_allclose(came, np.full(came.shape, exact[name]), rtol=0.0, atol=0.05, err_msg=name)
        np.testing.assert_allclose(came.mean(), exact[name], rtol=0.0, atol=0.02, err_msg=name)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
def test_the_closed_forms_satisfy_the_optimality_equation(name, gamma):
    """Q*(s, a) = r + gamma max_a' Q*(s', a') has one solution, and the closed form is one."""
    world, form = tables(name), closed_form(name, gamma)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 81)] * len(world.low)), axis=-1).reshape(-1, len(world.low))
    for at, kept, _, action in points(name):
        here = jax.tree.map(lambda leaf, at=at: leaf[at], world.places)
        native = world.low + (world.high - world.low) * (action + 1) / 2
        u = here.of_action * native + here.of_kept * kept
        reward = here.constant + np.sum(here.slope * u - here.fall * np.abs(u - here.best))
        after = native if here.keeps else kept
        ahead = 0.0 if world.places.terminal[here.then] else form[here.then](after[None], grid).max()
        np.testing.assert_allclose(form[at](kept, action), reward + gamma * ahead, atol=1e-5)
        for obs, best in zip(*best_actions(name), strict=True):
            if world.places.seen[at].tolist() == obs[:2].tolist() and np.array_equal(obs[2:], here.shows * kept):
                assert form[at](kept, best) >= form[at](kept, grid).max() - 1e-6


@functools.cache
def walk(of_one_shape):
    """A random walk of 100 steps; the tables travel with the state, so one program walks in all worlds of one shape."""
    env = continuous_probe(of_one_shape)

    def step(carry, key):
        state, obs = carry
        action = jax.random.uniform(key, env.spec.action_shape, jnp.float32, -1.5, 1.5)
        after, next_obs, outcome = env.step(key, state, action)
        return (after, next_obs), (state.at, state.kept, state.time, obs, action, outcome, after.time)

    return jax.jit(lambda begun, key: jax.lax.scan(step, begun, jax.random.split(key, 100))[1])


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_probe_steps_as_its_tables_say_and_keeps_the_true_last_observation(name):
    env, world = continuous_probe(name), tables(name)
    program = walk(ONE_NUMBER[0] if name in ONE_NUMBER else name)
    at, kept, time, obs, action, outcome, after = jax.device_get(
        program(env.reset(jax.random.key(1)), jax.random.key(0))
    )
    places = world.places
    native = np.clip(world.low + (world.high - world.low) * (action + 1) / 2, world.low, world.high)
    u = places.of_action[at][:, None] * native + places.of_kept[at][:, None] * kept
    reward = (places.slope[at][:, None] * u - places.fall[at] * np.abs(u - places.best[at])).sum(axis=1)
    then, kept_next = places.then[at], np.where(places.keeps[at][:, None], native, kept)
    seen = lambda at, kept: np.concatenate([places.seen[at], places.shows[at][:, None] * kept], axis=1)  # noqa: E731
    np.testing.assert_allclose(outcome.reward, reward + places.constant[at], atol=1e-6)
    np.testing.assert_array_equal(obs, seen(at, kept))
    np.testing.assert_allclose(outcome.next_obs, seen(then, kept_next), atol=1e-6)
    np.testing.assert_array_equal(outcome.discount, 1.0 - places.terminal[then])
    cut = (time + 1 == world.limit) if world.limit else np.zeros(len(time), bool)
    np.testing.assert_array_equal(outcome.last, places.terminal[then] | cut)
    np.testing.assert_array_equal(after == 0, outcome.last)
    assert env.spec.time_limit == (int(world.limit) or None)
    assert env.spec.obs_shape == obs.shape[1:]


def test_actions_arrive_in_the_units_of_the_environment():
    """Hand-checked: bounds (-1, 3) and (0, 0.5); the reward falls by 1/2 a unit from 2 and by 4 a unit from 0.1."""
    env = continuous_probe("continuous-units")
    state, _ = env.reset(jax.random.key(0))
    for action, reward in {
        (-1.0, -1.0): -(3 / 2 + 0.4),
        (1.0, 1.0): -(1 / 2 + 1.6),
        (0.0, 0.0): -(1 / 2 + 0.6),
        (0.5, -0.6): 0.0,
        (7.0, -7.0): -(1 / 2 + 0.4),
    }.items():
        assert env.step(jax.random.key(0), state, jnp.array(action))[2].reward == pytest.approx(reward, abs=1e-6)
