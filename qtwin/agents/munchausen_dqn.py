"""Munchausen DQN: Vieillard, Pietquin & Geist, "Munchausen reinforcement learning", 2020, equation 1, section 4.1."""

from __future__ import annotations

import jax

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.config.bootstrap_specs import parse
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def munchausen_dqn(env: EnvSpec, c: Config) -> Algorithm:
    """M-DQN for ``env``: the reward is raised by the scaled log-policy of the action taken, and the max is soft."""
    numbers = parse(c.bootstrap).numbers or (0.9, 0.03, -1.0)  # alpha, tau, l0

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]; the policy pi is their softmax at the temperature tau
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + alpha [tau log pi(a | s)]_l0^0 + gamma sum_a' pi(a' | s') (Q(s', a') - tau log pi(a' | s')), Q and
    # pi the target network's
    def td_target(twin, batch, key):
        here, there = jax.random.split(key)
        q_here, q_next = net.drawn(twin.target, batch.obs, here), net.drawn(twin.target, batch.next_obs, there)
        return targets.munchausen_target(batch.reward, batch.discount, q_next, q_here, batch.action, *numbers)

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        q, stats = net.learn(twin.online, batch.obs, layers)
        q_taken = targets.q_of_action(q, batch.action)
        td_error = td_target(twin, batch, draws) - q_taken
        return losses.regression(c.loss, td_error, batch.weight), Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return exploration.choose(net, variables, obs, epsilon, key)

    # RATES: DQN's
    return Algorithm(
        agent=Agent(net.init, act, loss, net.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
