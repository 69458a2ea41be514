"""Online Q-learning: Watkins, "Learning from delayed rewards", PhD thesis 1989; Watkins & Dayan 1992, equation 1."""

from __future__ import annotations

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def online_q(env: EnvSpec, c: Config) -> Algorithm:
    """Q-learning for ``env``, with a table, a linear function or a multi-layer perceptron.

    With ``table``, ``sgd`` and ``half-mse`` a gradient step is Watkins' Q(s, a) += learning_rate * (y - Q(s, a)).
    """

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma max_a' Q_target(s', a'), where the target is the online network itself (tied)
    def td_target(twin, batch):
        return targets.max_target(batch.reward, batch.discount, net.apply(twin.target, batch.next_obs))

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = targets.q_of_action(q, batch.action)
        td_error = td_target(twin, batch) - q_taken
        return losses.LOSSES[c.loss](td_error), Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return exploration.epsilon_greedy(net.apply(variables, obs), epsilon, key)

    # RATES: 1 : 1 : 1, each transition learned from once and forgotten
    return Algorithm(
        agent=Agent(net.init, act, loss, net.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
