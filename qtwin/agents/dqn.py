"""Deep Q-network: Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015, algorithm 1."""

from __future__ import annotations

from qtwin import explore, optimisers, rates, targets
from qtwin.agent import Agent, Algorithm
from qtwin.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.losses import LOSSES
from qtwin.nets.bodies import q_network
from qtwin.processes import target_specs
from qtwin.replay import remember
from qtwin.types import Aux


def dqn(env: EnvSpec, c: Config) -> Algorithm:
    """DQN for ``env``, and double DQN (van Hasselt et al. 2016) with ``c.bootstrap == "double"``."""

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma max_a' Q_target(s', a')
    def td_target(twin, batch):
        q_next = net.apply(twin.target, batch.next_obs)
        if c.bootstrap == "double":
            return targets.double_target(batch.reward, batch.discount, q_next, net.apply(twin.online, batch.next_obs))
        return targets.max_target(batch.reward, batch.discount, q_next)

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = targets.taken(q, batch.action)
        td_error = td_target(twin, batch) - q_taken
        return LOSSES[c.loss](td_error), Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return explore.epsilon_greedy(net.apply(variables, obs), epsilon, key)

    # RATES: collect and regress a little at a time, with a target that moves once in a while
    return Algorithm(
        agent=Agent(net.init, act, loss),
        rates=rates.Rates(c.collect, c.regress, target_specs.parse(c.target, rates.budget(c)), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=explore.parse(c.explore, c.steps),
    )
