"""Soft actor-critic with discrete actions: Christodoulou, "Soft actor-critic for discrete action settings", 2019."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from qtwin import optimisers, rates
from qtwin.acting import exploration, policies
from qtwin.algorithm import Agent, Algorithm, PolicyUpdate
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.nets.ensemble import ensemble
from qtwin.nets.net import side_by_side
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def discrete_sac(env: EnvSpec, c: Config) -> Algorithm:
    """SAC for ``env`` with discrete actions: every expectation over actions is a sum, nothing is sampled to learn."""

    # NETWORK: critics Q_i(s, .) [E, B, A], an actor's logits [B, A], and the temperature alpha of its entropy bonus
    critic = ensemble(q_network(env, c.net, c.init, c.normalise), c.critics)
    actor = q_network(env, c.actor_net or c.net, c.init, c.normalise)
    temperature = policies.temperature_of(env, c)

    def log_pi(variables, obs):
        return jax.nn.log_softmax(actor.apply(variables.part("actor"), obs))

    # TARGET: y = r + gamma sum_a pi(a | s') (min_i Q_target,i(s', a) - alpha log pi(a | s')) (equation 10)
    def td_target(twin, batch):
        log_prob = log_pi(twin.online, batch.next_obs)
        q_next = jnp.min(critic.apply(twin.target.part("critic"), batch.next_obs), axis=0)
        value = jnp.sum(jnp.exp(log_prob) * (q_next - temperature.value(twin.online) * log_prob), axis=-1)
        return targets.value_target(batch.reward, batch.discount, value)

    # LOSS: the distance of every Q_online,i(s, a) from y
    def loss(twin, batch, key):
        q, stats = critic.learn(twin.online.part("critic"), batch.obs, key)
        q_taken = jnp.stack([targets.q_of_action(one, batch.action) for one in q])
        td_error = td_target(twin, batch)[None] - q_taken
        aux = Aux(jnp.mean(td_error, axis=0), jnp.mean(q_taken, axis=0), twin.online.stats_with("critic", stats))
        return losses.of_critics(c.loss, td_error), aux

    # and the actor climbs the smaller critic and its own entropy (equation 12), which the temperature holds (11)
    def improve(twin, batch, key):
        logits, stats = actor.learn(twin.online.part("actor"), batch.obs, key)
        log_prob = jax.nn.log_softmax(logits)
        q = jnp.min(critic.apply(twin.online.part("critic"), batch.obs), axis=0)
        alpha = stop_gradient(temperature.value(twin.online))
        climb = jnp.mean(jnp.sum(jnp.exp(log_prob) * (alpha * log_prob - q), axis=-1))
        entropy = -jnp.sum(jnp.exp(log_prob) * log_prob, axis=-1)
        return climb + temperature.loss(twin.online, entropy), twin.online.stats_with("actor", stats)

    def act(variables, obs, scale, key):
        return policies.categorical(log_pi(variables, obs), scale, key)

    # RATES: with a target of the critics alone
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
