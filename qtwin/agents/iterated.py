"""Iterated Q-network: Vincent et al., "Iterated Q-network: beyond one-step Bellman updates in deep RL", 2025 (i-QN)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.nets.ensemble import ensemble
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def iterated(env: EnvSpec, c: Config) -> Algorithm:
    """DQN with a row of K networks for ``env``, which is what ``c.target == "chain:K:C/D"`` asks for (algorithm 1)."""
    row = rates_of.target_of(c)
    networks = row.row

    # NETWORK: Q_1 ... Q_K, obs [B, *obs_shape] -> action values [K, B, A]; the last has gone through most backups
    one = q_network(env, c.net, c.init, c.normalise)
    net = ensemble(one, networks)

    def values(variables, obs):
        return one.apply(variables.part(str(networks - 1)), obs)

    # TARGET: y_k = r + gamma max_a' Q_target,k-1(s', a'), so that Q_k is one Bellman backup ahead of Q_k-1
    def td_target(twin, batch):
        q_next = net.apply(twin.target, batch.next_obs)
        return jnp.stack([targets.max_target(batch.reward, batch.discount, q) for q in q_next])

    # LOSS: the distance of every Q_online,k(s, a) from its own y_k, added up
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = jnp.stack([targets.q_of_action(member, batch.action) for member in q])
        td_error = td_target(twin, batch) - q_taken
        regressed = sum(losses.regression(c.loss, error, batch.weight) for error in td_error)
        return regressed, Aux(td_error[-1], q_taken[-1], stats)

    # collecting, one of them drawn for each vector step acts; greedily the last
    def act(variables, obs, epsilon, key):
        which, toss = jax.random.split(key)
        q = net.apply(variables, obs)
        drawn = jnp.where(epsilon > 0, jax.random.randint(which, (), 0, networks), networks - 1)
        return exploration.epsilon_greedy(q[drawn], epsilon, toss)

    def layers(variables, obs):
        return one.layers(variables.part(str(networks - 1)), obs)

    # RATES: DQN's, with a window over the row that shifts where DQN copies
    return Algorithm(
        agent=Agent(net.init, act, loss, values, one.layers and layers),
        rates=rates.Rates(c.collect, c.regress, row, c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
