"""Fitted Q-iteration: Ernst, Geurts & Wehenkel, JMLR 2005, figure 1; with a neural network Riedmiller, ECML 2005."""

from __future__ import annotations

import dataclasses

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


def fqi(env: EnvSpec, c: Config) -> Algorithm:
    """Fitted Q-iteration for ``env``: offline from the data set ``c.data``, or on data that grows as it is gathered.

    A sweep is one regression towards targets that stand still. It lasts S gradient steps (``hard:S``) or until it has
    converged (``until:TOLERANCE/N``), and starts from the weights of the sweep before. ``c.regress`` holds K sweeps.
    """

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma max_a' Q_target(s', a'), the same for the whole sweep; or what c.bootstrap puts in its place
    td_target, regulariser = bootstrap(c.bootstrap, net), make_regulariser(c.regularise, net)

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = targets.q_of_action(q, batch.action)
        td_error = td_target(twin, batch, key) - q_taken
        return losses.LOSSES[c.loss](td_error) + regulariser(twin, batch, q_taken), Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return exploration.epsilon_greedy(net.apply(variables, obs), epsilon, key)

    # RATES: collect M (0 offline), then K sweeps of S gradient steps on everything there is
    everything = dataclasses.replace(c, replay=min(c.replay, c.steps))  # a ring as large as the budget
    return Algorithm(
        agent=Agent(net.init, act, loss, net.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, everything),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
