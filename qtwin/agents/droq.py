"""DroQ: Hiraoka et al., "Dropout Q-functions for doubly efficient reinforcement learning", 2022."""

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


def droq(env: EnvSpec, c: Config) -> Algorithm:
    """DroQ for ``env`` (algorithm 2): REDQ's many gradient steps with two critics that drop units, the target's too.

    The network is named with its layers, ``mlp:256,256+layernorm+dropout=0.01``.
    """

    # NETWORK: critics Q_i(s, a) [E, B] with dropout, a stochastic actor pi(a | s), and its temperature alpha
    critic = ensemble(critic_network(env, c.net, 1, c.init, c.normalise), c.critics)
    actor = network(env, c.actor_net or c.net, 2 * env.action_shape[0], c.init, c.normalise)
    temperature = temperature_of(env, c)

    # TARGET: y = r + gamma (min_i Q_target,i(s', a') - alpha log pi(a' | s')), every Q with units dropped
    def td_target(twin, batch, key):
        draw, drop = jax.random.split(key)
        out = actor.apply(twin.online.part("actor"), batch.next_obs)
        action, log_prob = squashed(out).sample_with_log_prob(draw)
        q_next, _ = critic.learn(twin.target.part("critic"), (batch.next_obs, action), drop)
        value = jnp.min(q_next[..., 0], axis=0) - temperature.value(twin.online) * log_prob
        return targets.value_target(batch.reward, batch.discount, value)

    # LOSS: the distance of every Q_online,i(s, a) from y
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        q, stats = critic.learn(twin.online.part("critic"), (batch.obs, batch.action), layers)
        td_error = td_target(twin, batch, draws)[None] - q[..., 0]
        aux = Aux(jnp.mean(td_error, axis=0), jnp.mean(q[..., 0], axis=0), twin.online.stats_with("critic", stats))
        return losses.of_critics(c.loss, td_error), aux

    # and the actor climbs the mean of the critics and its own entropy
    def improve(twin, batch, key):
        layers, draw, drop = jax.random.split(key, 3)
        out, stats = actor.learn(twin.online.part("actor"), batch.obs, layers)
        action, log_prob = squashed(out).sample_with_log_prob(draw)
        q, _ = critic.learn(twin.online.part("critic"), (batch.obs, action), drop)
        alpha = stop_gradient(temperature.value(twin.online))
        climb = jnp.mean(alpha * log_prob - jnp.mean(q[..., 0], axis=0))
        return climb + temperature.loss(twin.online, -log_prob), twin.online.stats_with("actor", stats)

    def act(variables, obs, scale, key):
        return squashed(actor.apply(variables.part("actor"), obs)).sample(key, scale)

    # RATES: G gradient steps of the critics per transition, one of the actor
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
