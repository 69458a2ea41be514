"""Soft actor-critic: Haarnoja et al., "Soft actor-critic algorithms and applications", 2018 (arXiv 1812.05905)."""

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


def sac(env: EnvSpec, c: Config) -> Algorithm:
    """SAC for ``env``, with continuous actions and, unless ``c.temperature`` is a number, a learned temperature."""

    # NETWORK: critics Q_i(s, a) [E, B], a stochastic actor pi(a | s), and the temperature alpha of its entropy bonus
    critic = ensemble(critic_network(env, c.net, 1, c.init, c.normalise), c.critics)
    actor = network(env, c.actor_net or c.net, 2 * env.action_shape[0], c.init, c.normalise)
    temperature = temperature_of(env, c)

    def pi(variables, obs):
        return squashed(actor.apply(variables.part("actor"), obs))

    # TARGET: y = r + gamma (min_i Q_target,i(s', a') - alpha log pi(a' | s')), a' ~ pi_online(s') (equation 3)
    def td_target(twin, batch, key):
        action, log_prob = pi(twin.online, batch.next_obs).sample_with_log_prob(key)
        q_next = critic.apply(twin.target.part("critic"), (batch.next_obs, action))[..., 0]
        value = jnp.min(q_next, axis=0) - temperature.value(twin.online) * log_prob
        return targets.value_target(batch.reward, batch.discount, value)

    # LOSS: the distance of every Q_online,i(s, a) from y (equation 5)
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        q, stats = critic.learn(twin.online.part("critic"), (batch.obs, batch.action), layers)
        td_error = td_target(twin, batch, draws)[None] - q[..., 0]
        aux = Aux(jnp.mean(td_error, axis=0), jnp.mean(q[..., 0], axis=0), twin.online.stats_with("critic", stats))
        return losses.of_critics(c.loss, td_error), aux

    # and the actor climbs the smaller critic and its own entropy (equation 9), which the temperature holds (18)
    def improve(twin, batch, key):
        layers, draws = jax.random.split(key)
        out, stats = actor.learn(twin.online.part("actor"), batch.obs, layers)
        action, log_prob = squashed(out).sample_with_log_prob(draws)
        q = critic.apply(twin.online.part("critic"), (batch.obs, action))[..., 0]
        alpha = stop_gradient(temperature.value(twin.online))
        climb = jnp.mean(alpha * log_prob - jnp.min(q, axis=0))
        return climb + temperature.loss(twin.online, -log_prob), twin.online.stats_with("actor", stats)

    def act(variables, obs, scale, key):
        return pi(variables, obs).sample(key, scale)

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
