"""Truncated quantile critics: Kuznetsov et al., "Controlling overestimation bias with truncated mixture of continuous
distributional quantile critics", 2020."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.acting.policies import squashed, temperature_of
from qtwin.algorithm import Agent, Algorithm, PolicyUpdate
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import critic_network, network
from qtwin.nets.ensemble import ensemble
from qtwin.nets.net import side_by_side
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def tqc(env: EnvSpec, c: Config) -> Algorithm:
    """TQC for ``env``: SAC whose critics are distributions; the largest quantiles of all of them are left out."""

    # NETWORK: N critics of M quantiles of Z(s, a) [N, B, M], a stochastic actor pi(a | s), and its temperature alpha
    critic = ensemble(critic_network(env, c.net, c.quantiles, c.init, c.normalise), c.critics)
    actor = network(env, c.actor_net or c.net, 2 * env.action_shape[0], c.init, c.normalise)
    temperature = temperature_of(env, c)
    kept = c.critics * (c.quantiles - c.drop)

    # TARGET: y_k = r + gamma (z_(k) - alpha log pi(a' | s')) for the smallest of the target's N M quantiles (9 to 11)
    def td_target(twin, batch, key):
        action, log_prob = squashed(actor.apply(twin.online.part("actor"), batch.next_obs)).sample_with_log_prob(key)
        z = critic.apply(twin.target.part("critic"), (batch.next_obs, action))
        pooled = jnp.sort(jnp.moveaxis(z, 0, 1).reshape(z.shape[1], -1), axis=-1)[:, :kept]
        value = pooled - (temperature.value(twin.online) * log_prob)[:, None]
        return targets.value_target(batch.reward, batch.discount, value)

    # LOSS: the quantile Huber distance of every critic's quantiles from all y_k (equations 12 and 13)
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        z, stats = critic.learn(twin.online.part("critic"), (batch.obs, batch.action), layers)
        y, q = td_target(twin, batch, draws), jnp.mean(z, axis=(0, 2))
        aux = Aux(jnp.mean(y, axis=-1) - q, q, twin.online.stats_with("critic", stats))
        return sum(losses.quantile_huber(one, y) for one in z), aux

    # and the actor climbs the mean of all quantiles, none left out, and its own entropy (equation 15)
    def improve(twin, batch, key):
        layers, draws = jax.random.split(key)
        out, stats = actor.learn(twin.online.part("actor"), batch.obs, layers)
        action, log_prob = squashed(out).sample_with_log_prob(draws)
        z = critic.apply(twin.online.part("critic"), (batch.obs, action))
        alpha = stop_gradient(temperature.value(twin.online))
        climb = jnp.mean(alpha * log_prob - jnp.mean(z, axis=(0, 2)))
        return climb + temperature.loss(twin.online, -log_prob), twin.online.stats_with("actor", stats)

    def act(variables, obs, scale, key):
        return squashed(actor.apply(variables.part("actor"), obs)).sample(key, scale)

    # RATES: a gradient step per transition, with a target of the critics that follows softly
    return Algorithm(
        agent=Agent(temperature.init(side_by_side(critic=critic, actor=actor)), act, loss),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
        policy_update=PolicyUpdate(
            temperature.parts, improve, optimisers.of_policy_update(c, temperature.parts), c.actor_every
        ),
        target_parts=("critic",),
    )
