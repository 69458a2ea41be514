"""C51: Bellemare, Dabney & Munos, "A distributional perspective on reinforcement learning", 2017, algorithm 1."""

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


def c51(env: EnvSpec, c: Config) -> Algorithm:
    """Categorical DQN for ``env``: the return of each action as a distribution over fixed atoms."""

    # NETWORK: obs [B, *obs_shape] -> logits of the K atoms z of Z(s, a) [B, A, K]
    net = distribution_network(env, c.net, c.atoms, c.init, c.normalise)
    z = distributions.atoms_of(c.support, c.atoms)

    def values(logits):
        return distributions.mean_of(jax.nn.softmax(logits), z)

    # TARGET: r + gamma Z_target(s', argmax_a' E Z_target(s', a')), projected onto the atoms (equation 7)
    def td_target(twin, batch, key):
        draw, choose = jax.random.split(key)
        logits = net.drawn(twin.target, batch.next_obs, draw)
        chooser = logits if c.bootstrap == "max" else net.drawn(twin.online, batch.next_obs, choose)
        best = jnp.argmax(values(chooser), axis=-1)
        p_next = jax.nn.softmax(distributions.of_action(logits, best))
        return distributions.categorical_target(batch.reward, batch.discount, p_next, z)

    # LOSS: the cross-entropy of Z_online(s, a) to it
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        logits, stats = net.learn(twin.online, batch.obs, layers)
        logits, y = distributions.of_action(logits, batch.action), td_target(twin, batch, draws)
        q = values(logits)
        aux = Aux(distributions.mean_of(y, z) - q, q, stats, priority=distributions.divergence(logits, y))
        return losses.mean_over(distributions.cross_entropy(logits, y), batch.weight), aux

    def act(variables, obs, epsilon, key):
        return exploration.choose(net, variables, obs, epsilon, key, values)

    # RATES: DQN's
    return Algorithm(
        agent=Agent(net.init, act, loss, lambda v, obs: values(net.apply(v, obs)), net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
