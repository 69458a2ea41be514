"""IQN: Dabney, Ostrovski, Silver & Munos, "Implicit quantile networks for distributional RL", 2018."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import quantile_network
from qtwin.replay import remember
from qtwin.td import distributions, losses, targets
from qtwin.types import Aux

POLICY_SAMPLES = 32  # K, fractions over which the value of an action is averaged where one is chosen (section 3)


def iqn(env: EnvSpec, c: Config) -> Algorithm:
    """Implicit quantile network for ``env``: asked for any fraction tau, it gives that quantile of each action."""

    # NETWORK: (obs [B, *obs_shape], tau [B, N]) -> the quantiles Z_tau(s, a) [B, N, A]
    net = quantile_network(env, c.net, c.init, c.normalise)

    def values(z):
        return jnp.mean(z, axis=1)

    def fractions(key, obs, count):
        return jax.random.uniform(key, (obs.shape[0], count))

    def of_action(z, action):
        return distributions.of_action(jnp.swapaxes(z, 1, 2), action)

    # asked for evenly spaced fractions, where no chance is wanted
    def mean_values(variables, obs):
        tau = jnp.broadcast_to(distributions.midpoints(POLICY_SAMPLES)[None, :], (obs.shape[0], POLICY_SAMPLES))
        return values(net.apply(variables, (obs, tau)))

    # TARGET: y_j = r + gamma Z_target,tau_j'(s', argmax_a' mean_k Z_target,tau_k(s', a')), all tau drawn anew
    def td_target(twin, batch, key):
        keys, s = jax.random.split(key, 4), batch.next_obs
        z_next = net.drawn(twin.target, (s, fractions(keys[0], s, c.quantiles)), keys[1])
        chooser = twin.target if c.bootstrap == "max" else twin.online
        best = jnp.argmax(values(net.drawn(chooser, (s, fractions(keys[2], s, POLICY_SAMPLES)), keys[3])), axis=-1)
        return targets.value_target(batch.reward, batch.discount, of_action(z_next, best))

    # LOSS: the quantile Huber distance of every Z_online,tau_i(s, a) from all y_j (equation 3)
    def loss(twin, batch, key):
        layers, own, draws = jax.random.split(key, 3)
        tau = fractions(own, batch.obs, c.quantiles)
        z, stats = net.learn(twin.online, (batch.obs, tau), layers)
        z, y = of_action(z, batch.action), td_target(twin, batch, draws)
        q = jnp.mean(z, axis=1)
        aux = Aux(jnp.mean(y, axis=1) - q, q, stats)
        return losses.mean_over(distributions.quantile_regression(z, tau, y), batch.weight), aux

    def act(variables, obs, epsilon, key):
        samples, rest = jax.random.split(key)
        return exploration.choose(net, variables, (obs, fractions(samples, obs, POLICY_SAMPLES)), epsilon, rest, values)

    # RATES: DQN's
    return Algorithm(
        agent=Agent(net.init, act, loss, mean_values),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
    )
