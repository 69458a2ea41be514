"""A network of several parts: which of them learn, when, and which have a target twin."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from worlds import walk

from qtwin import rng
from qtwin.acting.exploration import constant, uniform_actions
from qtwin.agents.catalog import AGENTS, algorithm
from qtwin.algorithm import Agent, Algorithm, PolicyUpdate
from qtwin.engine.fused import fused
from qtwin.engine.hosted import hosted
from qtwin.envs.base import JaxEnv
from qtwin.envs.jax_on_host import host_of
from qtwin.envs.spec import EnvSpec
from qtwin.processes.regress import gradient_step, optimiser_state
from qtwin.rates import Rates
from qtwin.replay.ring import ring
from qtwin.target_update import specs
from qtwin.twin import distance, twin
from qtwin.types import Aux, Transition, Variables

PUSH = EnvSpec("test:push", (2,), "float32", None, time_limit=7, action_low=(-1.0,), action_high=(3.0,))


def push() -> JaxEnv:
    """The walk of `worlds`, whose step goes right where the action is positive."""
    env = walk()
    return JaxEnv(PUSH, env.reset, lambda key, state, action: env.step(key, state, (action[0] > 0).astype(jnp.int32)))


def by_hand(every=1, target_parts=("critic",), target="soft:0.5"):
    """Two scalars: the critic c is regressed towards reward, the actor a climbs c a - a^2 / 2, so it moves to c."""

    def loss(twin, batch, key):
        error = batch.reward - twin.online.params["critic"]
        return 0.5 * jnp.mean(error**2), Aux(error, error)

    def improve(twin, batch, key):
        a, c = twin.online.params["actor"], twin.online.params["critic"]
        return a**2 / 2 - c * a, None

    def init(key):
        return Variables({"critic": jnp.float32(0.0), "actor": jnp.float32(0.0)}, {})

    return Algorithm(
        agent=Agent(init, lambda v, obs, e, key: jnp.zeros(obs.shape[0], jnp.int32), loss),
        rates=Rates(1, 1, specs.parse(target), 0),
        replay=ring(8, 1),
        optimiser=optax.sgd(0.5),
        explore=constant(0.0),
        policy_update=PolicyUpdate(("actor",), improve, optax.sgd(1.0), every),
        target_parts=target_parts,
    )


def begun(chosen, key=None):
    online = chosen.agent.init(rng.root(0) if key is None else key)
    pair = twin(online, chosen.rates.target_update, chosen.stats_policy, chosen.target_parts)
    return pair, optimiser_state(chosen, online.params)


BATCH = Transition(jnp.zeros((4, 1)), jnp.zeros(4, jnp.int32), jnp.full(4, 8.0), jnp.zeros(4), jnp.zeros((4, 1)))


def test_the_actor_follows_the_critic_that_the_regression_has_left():
    """By hand: the critic goes 0, 4, 6, 7 (half of the way to 8); the actor, at rate 1, is at each of them at once."""
    chosen = by_hand()
    pair, optimiser = begun(chosen)
    for count, there in enumerate((4.0, 6.0, 7.0)):
        _, _, pair, optimiser = gradient_step(chosen, pair, optimiser, BATCH, rng.root(0), jnp.int32(count))
        assert pair.online.params == {"critic": there, "actor": there}


def test_a_delayed_actor_waits():
    chosen = by_hand(every=3)
    pair, optimiser = begun(chosen)
    seen = []
    for count in range(6):
        _, _, pair, optimiser = gradient_step(chosen, pair, optimiser, BATCH, rng.root(0), jnp.int32(count))
        seen.append(float(pair.online.params["actor"]))
    assert seen == [0.0, 0.0, 7.0, 7.0, 7.0, 7.875]


def test_only_the_twinned_parts_have_a_target_and_the_others_are_tied():
    chosen = by_hand()
    pair, optimiser = begun(chosen)
    assert set(pair.target_variables.params) == {"critic"}
    _, _, pair, _ = gradient_step(chosen, pair, optimiser, BATCH, rng.root(0), jnp.int32(0))
    assert pair.target.params == {"critic": 0.0, "actor": 4.0}
    _, pair = pair.follow(chosen.rates.target_update, ())
    assert pair.target.params == {"critic": 2.0, "actor": 4.0}
    assert float(distance(pair)) == pytest.approx(0.5)  # |4 - 2| / |4|: the tied part is no distance


def test_all_parts_have_a_target_where_none_is_named():
    pair, _ = begun(by_hand(target_parts=()))
    assert set(pair.target_variables.params) == {"critic", "actor"}


def test_no_gradient_reaches_the_target_through_any_part():
    pair, _ = begun(by_hand())

    def through(target_variables):
        import dataclasses

        target = dataclasses.replace(pair, target_variables=target_variables).target.params
        return target["critic"] * 3.0 + target["actor"]

    assert jax.grad(through)(pair.target_variables).params["critic"] == 0.0


def little(agent, **more):
    base = AGENTS[agent].defaults
    net = "mlp:8+batchrenorm" if agent == "crossq" else "mlp:8+layernorm+dropout=0.1" if agent == "droq" else "mlp:8"
    few = {"critics": 3, "subset": 2, "regress": 2, "actor_every": 2} if agent in ("redq", "droq") else {}
    common = {
        "env": "test", "net": net, "actor_net": "mlp:8", "warmup": 8, "replay": 64, "batch": 8, "quantiles": 4,
        "drop": 1, "collect": 4,
    }  # fmt: skip
    wanted = {name: value for name, value in (common | few | more).items() if hasattr(base, name)}
    return dataclasses.replace(base, **wanted)


@pytest.mark.parametrize("agent", [name for name, record in AGENTS.items() if record.acts])
def test_the_optimisers_hold_no_target_leaf_and_every_part_learns(agent):
    chosen = algorithm(PUSH, little(agent))
    pair, optimiser = begun(chosen)
    count = lambda tree: sum(np.size(leaf) for leaf in jax.tree.leaves(tree))  # noqa: E731
    counters = 2 + ("temperature" in pair.online.params)  # Adam's step counts
    assert count(optimiser) == 2 * count(pair.online.params) + counters
    batch = Transition(
        jax.random.normal(rng.root(1), (8, 2)), jnp.full((8, 1), 0.5), jnp.ones(8), jnp.full(8, 0.9),
        jax.random.normal(rng.root(2), (8, 2)),
    )  # fmt: skip
    before, target_variables = pair.online.params, pair.target_variables
    step = jax.jit(lambda *state: gradient_step(chosen, *state))
    for i in range(chosen.policy_update.every):
        _, _, pair, optimiser = step(pair, optimiser, batch, rng.root(0), jnp.int32(i))
    for part, old in before.items():
        assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (old, pair.online.params[part])), strict=True))
    if target_variables is not None:
        jax.tree.map(np.testing.assert_array_equal, target_variables.params, pair.target_variables.params)


def same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize("agent", ["td3", "sac"])
def test_law_7_with_an_actor(agent):
    """Fused is hosted without overlap: every byte of the twins, the optimisers and the replay."""
    chosen, env = algorithm(PUSH, little(agent, n_step=2)), push()
    inside, outside = fused(chosen, env, 2), hosted(chosen, host_of(env, 2), overlap=False)
    one, two = inside.init([7]), outside.init(7)
    for step in (0, 1, 7):
        one = inside.advance(one, step) if step else inside.warm_up(one, 4)
        two = outside.advance(two, step) if step else outside.warm_up(two, 4)
        alone = jax.tree.map(lambda leaf: leaf[0], one)
        same(alone._replace(world=(), key=()), two._replace(world=(), key=()))


def test_a_hard_target_of_the_critics_stands_still_between_two_moves():
    chosen, env = algorithm(PUSH, little("sac", target="hard:3")), push()
    program = fused(chosen, env, 2)
    state = program.warm_up(program.init([0]), 4)
    ages = []
    for _ in range(7):
        before = jax.tree.map(np.asarray, state.twin.target_variables.params)
        state = program.advance(state, 1)
        ages.append(int(state.clock.age[0]))
        if ages[-1]:
            same(before, jax.tree.map(np.asarray, state.twin.target_variables.params))
        else:
            same(state.twin.online.params["critic"], state.twin.target_variables.params["critic"])
    assert ages == [1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(("spec", "low", "high"), [(PUSH, -1.0, 1.0), (EnvSpec("x", (2,), "float32", 5), 0, 4)])
def test_the_warm_up_acts_uniformly(spec, low, high):
    actions = np.asarray(uniform_actions(spec, 4_000, rng.root(3)))
    assert actions.shape == (4_000, *spec.action_shape)
    assert actions.dtype == spec.action_dtype
    assert low <= actions.min() < low + 0.01
    assert high - 0.01 < actions.max() <= high
    width = (high - low) if spec.continuous else (high - low + 1)
    assert abs(actions.mean() - (low + high) / 2) < 4 * width / np.sqrt(12 * 4_000)
