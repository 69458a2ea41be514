"""QR-DQN: Dabney, Rowland, Bellemare & Munos, "Distributional RL with quantile regression", 2018."""

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
from qtwin.td import distributions, losses, targets
from qtwin.types import Aux


def qr_dqn(env: EnvSpec, c: Config) -> Algorithm:
    """Quantile regression DQN for ``env``: the return of each action as N quantiles at fixed fractions."""

    # NETWORK: obs [B, *obs_shape] -> N quantiles of Z(s, a), at the fractions tau_i = (i + 1/2) / N [B, A, N]
    net = distribution_network(env, c.net, c.quantiles, c.init, c.normalise)
    tau = distributions.midpoints(c.quantiles)

    def values(z):
        return jnp.mean(z, axis=-1)

    # TARGET: y_j = r + gamma z_target,j(s', argmax_a' mean_j z_target,j(s', a')) (algorithm 1)
    def td_target(twin, batch, key):
        draw, choose = jax.random.split(key)
        z_next = net.drawn(twin.target, batch.next_obs, draw)
        chooser = z_next if c.bootstrap == "max" else net.drawn(twin.online, batch.next_obs, choose)
        best = jnp.argmax(values(chooser), axis=-1)
        return targets.value_target(batch.reward, batch.discount, distributions.of_action(z_next, best))

    # LOSS: the quantile Huber distance of every z_online,i(s, a) from all y_j (equation 10)
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        z, stats = net.learn(twin.online, batch.obs, layers)
        z, y = distributions.of_action(z, batch.action), td_target(twin, batch, draws)
        each = distributions.quantile_regression(z, jnp.broadcast_to(tau[None, :], z.shape), y)
        return losses.mean_over(each, batch.weight), Aux(values(y) - values(z), values(z), stats)

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
