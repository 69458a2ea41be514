"""Deep Q-network: Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015, algorithm 1."""

from __future__ import annotations

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.td.bootstrap import bootstrap, make_regulariser
from qtwin.types import Aux


def dqn(env: EnvSpec, c: Config) -> Algorithm:
    """DQN for ``env``; with ``c.bootstrap == "double"`` double DQN (van Hasselt et al. 2016), and so on."""

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma max_a' Q_target(s', a'); or what c.bootstrap puts in its place
    td_target, regulariser = bootstrap(c.bootstrap, net), make_regulariser(c.regularise, net)

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = targets.q_of_action(q, batch.action)
        td_error = td_target(twin, batch, key) - q_taken
        regressed = losses.regression(c.loss, td_error, batch.weight)
        return regressed + regulariser(twin, batch, q_taken), Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return exploration.choose(net, variables, obs, epsilon, key)

    # RATES: collect and regress a little at a time, with a target that moves once in a while
    return Algorithm(
        agent=Agent(net.init, act, loss, net.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
