"""Small worlds and algorithms that the tests share."""

import jax
import jax.numpy as jnp
import optax

from qtwin.acting.exploration import constant, epsilon_greedy
from qtwin.algorithm import Agent, Algorithm
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec
from qtwin.nets.net import from_functions
from qtwin.rates import Rates
from qtwin.replay.ring import ring
from qtwin.target_update import specs
from qtwin.td.targets import max_target, q_of_action
from qtwin.types import Aux, Variables

WALK = EnvSpec("test:walk", (2,), "float32", 2, time_limit=7)


def walk() -> JaxEnv:
    """A walk on the line from a random start: ends at +-3, is cut after 7 steps, pays the position it reaches."""

    def obs_of(state):
        return jnp.stack([state[0], state[1]]).astype(jnp.float32)

    def reset(key):
        state = (jax.random.randint(key, (), -2, 3), jnp.int32(0))
        return state, obs_of(state)

    def step(key, state, action):
        reached = (state[0] + 2 * action - 1, state[1] + 1)
        terminated = jnp.abs(reached[0]) >= 3
        last = terminated | (reached[1] >= 7)
        fresh, fresh_obs = reset(key)
        after = jax.tree.map(lambda new, old: jnp.where(last, new, old), fresh, reached)
        outcome = Outcome(reached[0].astype(jnp.float32), 1.0 - terminated.astype(jnp.float32), obs_of(reached), last)
        return after, jnp.where(last, fresh_obs, obs_of(reached)), outcome

    return JaxEnv(WALK, reset, step)


def tick() -> JaxEnv:
    """A world with nothing in it, for tests that only count: it compiles in no time."""
    spec = EnvSpec("test:tick", (), "int32", 1, num_states=1)
    outcome = Outcome(jnp.float32(0.0), jnp.float32(1.0), jnp.int32(0), jnp.bool_(False))
    return JaxEnv(spec, lambda key: ((), jnp.int32(0)), lambda key, state, action: ((), jnp.int32(0), outcome))


def counting(rates: Rates, replay: int) -> Algorithm:
    """An algorithm with nothing to learn, for tests that only count."""

    def loss(twin, batch, key):
        error = batch.reward - twin.online.params["w"] * twin.target.params["w"]
        return jnp.mean(error**2), Aux(error, error)

    return Algorithm(
        agent=Agent(lambda key: Variables({"w": jnp.float32(1.0)}, {}), lambda v, obs, e, key: obs, loss),
        rates=rates,
        replay=ring(replay, 1),
        optimiser=optax.sgd(0.1),
        explore=constant(0.0),
    )


def little_dqn(
    target="hard:5", collect=4, regress=1, warmup=8, replay=64, batch=8, n_step=1, stats_policy="copied"
) -> Algorithm:
    """DQN with a small network of plain arrays: quick to compile."""

    def init(key):
        one, two = jax.random.split(key)
        return {"one": jax.random.normal(one, (2, 8)) * 0.5, "two": jax.random.normal(two, (8, 2)) * 0.5}

    net = from_functions(init, lambda p, obs: jax.nn.relu(obs @ p["one"]) @ p["two"])

    def loss(twin, batch, key):
        q = q_of_action(net.apply(twin.online, batch.obs), batch.action)
        td_error = max_target(batch.reward, batch.discount, net.apply(twin.target, batch.next_obs)) - q
        return jnp.mean(td_error**2), Aux(td_error, q)

    return Algorithm(
        agent=Agent(net.init, lambda v, obs, e, key: epsilon_greedy(net.apply(v, obs), e, key), loss),
        rates=Rates(collect, regress, specs.parse(target), warmup),
        replay=ring(replay, batch, 0.9, n_step),
        optimiser=optax.adam(1e-2),
        explore=constant(0.2),
        stats_policy=stats_policy,
    )
