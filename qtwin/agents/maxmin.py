"""Lan, Pan, Fyshe & White, "Maxmin Q-learning: controlling the estimation bias of Q-learning", 2020."""

from __future__ import annotations

import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.config.bootstrap_specs import parse
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.nets.ensemble import ensemble
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def maxmin(env: EnvSpec, c: Config) -> Algorithm:
    """DQN with K networks for ``env``, which is what ``c.bootstrap == "maxmin:K"`` asks for (algorithm 1).

    All K learn from every batch; in the paper's algorithm a random one of them.
    """

    # NETWORK: K of them, obs [B, *obs_shape] -> action values [K, B, A]; the policy is greedy in their least
    one = q_network(env, c.net, c.init, c.normalise)
    net = ensemble(one, parse(c.bootstrap).networks)

    def values(variables, obs):
        return jnp.min(net.apply(variables, obs), axis=0)

    # TARGET: y = r + gamma max_a' min_k Q_target,k(s', a') (equation 2), the same for all K
    def td_target(twin, batch):
        return targets.maxmin_target(batch.reward, batch.discount, net.apply(twin.target, batch.next_obs))

    # LOSS: the distance of every Q_online,k(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = jnp.stack([targets.q_of_action(member, batch.action) for member in q])
        td_error = td_target(twin, batch)[None] - q_taken
        regressed = sum(losses.regression(c.loss, error, batch.weight) for error in td_error)
        return regressed, Aux(jnp.mean(td_error, axis=0), jnp.mean(q_taken, axis=0), stats)

    def act(variables, obs, epsilon, key):
        return exploration.epsilon_greedy(values(variables, obs), epsilon, key)

    def layers(variables, obs):
        return one.layers(variables.part("0"), obs)

    # RATES: DQN's
    return Algorithm(
        agent=Agent(net.init, act, loss, values, one.layers and layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
