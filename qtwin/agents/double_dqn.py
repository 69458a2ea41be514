"""Double DQN: van Hasselt, Guez & Silver, "Deep reinforcement learning with double Q-learning", 2016, equation 4."""

from __future__ import annotations

import jax

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def double_dqn(env: EnvSpec, c: Config) -> Algorithm:
    """Double DQN for ``env``: the online network chooses the next action, its frozen twin says what it is worth."""

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma Q_target(s', argmax_a' Q_online(s', a'))
    def td_target(twin, batch, key):
        draw, choose = jax.random.split(key)
        q_next, q_next_online = (
            net.drawn(twin.target, batch.next_obs, draw), net.drawn(twin.online, batch.next_obs, choose)
        )  # fmt: skip
        return targets.double_target(batch.reward, batch.discount, q_next, q_next_online)

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
