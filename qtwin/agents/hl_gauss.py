"""HL-Gauss: Farebrother et al., "Stop regressing: training value functions via classification for scalable deep RL",
2024; the loss is Imani & White's, "Improving regression performance with distributional losses", 2018."""

from __future__ import annotations

import jax

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import distribution_network
from qtwin.replay import remember
from qtwin.td import distributions, losses
from qtwin.td.bootstrap import bootstrap, make_regulariser
from qtwin.types import Aux


def hl_gauss(env: EnvSpec, c: Config) -> Algorithm:
    """DQN for ``env`` whose regression is a classification: the target is a number, as DQN's, spread over classes."""

    # NETWORK: obs [B, *obs_shape] -> logits of K classes of values [B, A, K]
    net = distribution_network(env, c.net, c.atoms, c.init, c.normalise)
    edges, centres = distributions.classes_of(c.support, c.atoms)

    def values(logits):
        return distributions.mean_of(jax.nn.softmax(logits), centres)

    # TARGET: y = r + gamma max_a' Q_target(s', a'), Q the mean over the classes; or what c.bootstrap puts in its place
    means = net._replace(
        apply=lambda variables, obs: values(net.apply(variables, obs)),
        noisy=net.noisy and (lambda variables, obs, key: values(net.noisy(variables, obs, key))),
    )
    td_target, regulariser = bootstrap(c.bootstrap, means), make_regulariser(c.regularise, means)

    # LOSS: the cross-entropy to a normal distribution around y (section 3.2)
    def loss(twin, batch, key):
        logits, stats = net.learn(twin.online, batch.obs, key)
        logits, y = distributions.of_action(logits, batch.action), td_target(twin, batch, key)
        q, each = values(logits), distributions.cross_entropy(logits, distributions.hl_gauss(y, edges, c.sigma))
        return losses.mean_over(each, batch.weight) + regulariser(twin, batch, q), Aux(y - q, q, stats)

    def act(variables, obs, epsilon, key):
        return exploration.choose(net, variables, obs, epsilon, key, values)

    # RATES: DQN's
    return Algorithm(
        agent=Agent(net.init, act, loss, means.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
