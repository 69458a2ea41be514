"""Rainbow: Hessel et al., "Rainbow: combining improvements in deep reinforcement learning", 2018.

Every part has a name of its own and can be left out by it: ``--bootstrap max`` the double choice, ``--net`` without
``+noisy`` or ``+duelling`` these, ``--n-step 1`` multi-step returns, ``--prioritise ''`` the priorities.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import distribution_network
from qtwin.replay import remember
from qtwin.td import distributions, losses
from qtwin.types import Aux


def rainbow(env: EnvSpec, c: Config) -> Algorithm:
    """Rainbow for ``env``: distributional, double, duelling, noisy, n steps, prioritised."""

    # NETWORK: obs [B, *obs_shape] -> logits of the K atoms z of Z(s, a) [B, A, K], in two streams, with learned noise
    net = distribution_network(env, c.net, c.atoms, c.init, c.normalise)
    z = distributions.atoms_of(c.support, c.atoms)

    def values(logits):
        return distributions.mean_of(jax.nn.softmax(logits), z)

    # TARGET: R_n + gamma^n Z_target(s_n, argmax_a E Z_online(s_n, a)), projected onto the atoms; noise drawn for each
    def td_target(twin, batch, key):
        draw, choose = jax.random.split(key)
        logits = net.drawn(twin.target, batch.next_obs, draw)
        chooser = net.drawn(twin.online, batch.next_obs, choose) if c.bootstrap == "double" else logits
        best = jnp.argmax(values(chooser), axis=-1)
        p_next = jax.nn.softmax(distributions.of_action(logits, best))
        return distributions.categorical_target(batch.reward, batch.discount, p_next, z)

    # LOSS: the Kullback-Leibler divergence from it, weighed by importance; transitions are ranked by it
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        logits, stats = net.learn(twin.online, batch.obs, layers)
        logits, y = distributions.of_action(logits, batch.action), td_target(twin, batch, draws)
        q = values(logits)
        aux = Aux(distributions.mean_of(y, z) - q, q, stats, priority=distributions.divergence(logits, y))
        return losses.mean_over(distributions.cross_entropy(logits, y), batch.weight), aux

    def act(variables, obs, epsilon, key):
        return exploration.choose(net, variables, obs, epsilon, key, values)

    # RATES: DQN's, from a replay that draws by priority
    return Algorithm(
        agent=Agent(net.init, act, loss, lambda v, obs: values(net.apply(v, obs)), net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
