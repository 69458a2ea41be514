"""CrossQ: Bhatt et al., "CrossQ: batch normalization in deep reinforcement learning for greater sample efficiency and
simplicity", 2024."""

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


def crossq(env: EnvSpec, c: Config) -> Algorithm:
    """CrossQ for ``env``: SAC without a target network, (s, a) and (s', a') through one batch-normalised pass.

    The network is named with its layer, ``mlp:256,256+batchrenorm``. With ``--target tied``, as published, the twins
    are one; with any other the target network makes the same joint pass (the paper's ablation).
    """

    # NETWORK: critics Q_i(s, a) [E, B], a stochastic actor pi(a | s), and the temperature alpha of its entropy bonus
    critic = ensemble(critic_network(env, c.net, 1, c.init, c.normalise), c.critics)
    actor = network(env, c.actor_net or c.net, 2 * env.action_shape[0], c.init, c.normalise)
    temperature = temperature_of(env, c)

    def joint(variables, batch, action, key):  # one pass over both halves, so that one set of statistics fits both
        both = jnp.concatenate([batch.obs, batch.next_obs]), jnp.concatenate([batch.action, action])
        q, stats = critic.learn(variables.part("critic"), both, key)
        return *jnp.split(q[..., 0], 2, axis=1), stats

    # LOSS: the distance of every Q_online,i(s, a) from y
    # TARGET: y = r + gamma (min_i Q_target,i(s', a') - alpha log pi(a' | s')), a' ~ pi_online(s') (figure 2)
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        policy = squashed(actor.apply(twin.online.part("actor"), batch.next_obs))
        action, log_prob = stop_gradient(policy.sample_with_log_prob(draws))
        q, q_next, stats = joint(twin.online, batch, action, layers)
        if twin.target_variables is not None:
            _, q_next, _ = joint(twin.target, batch, action, layers)
        value = jnp.min(q_next, axis=0) - temperature.value(twin.online) * log_prob
        td_error = targets.value_target(batch.reward, batch.discount, value)[None] - q
        aux = Aux(jnp.mean(td_error, axis=0), jnp.mean(q, axis=0), twin.online.stats_with("critic", stats))
        return losses.of_critics(c.loss, td_error), aux

    # and the actor climbs the smaller critic and its own entropy, the critics with their running statistics
    def improve(twin, batch, key):
        layers, draws = jax.random.split(key)
        out, stats = actor.learn(twin.online.part("actor"), batch.obs, layers)
        action, log_prob = squashed(out).sample_with_log_prob(draws)
        q = critic.apply(twin.online.part("critic"), (batch.obs, action))[..., 0]
        alpha = stop_gradient(temperature.value(twin.online))
        climb = jnp.mean(alpha * log_prob - jnp.min(q, axis=0))
        return climb + temperature.loss(twin.online, -log_prob), twin.online.stats_with("actor", stats)

    def act(variables, obs, scale, key):
        return squashed(actor.apply(variables.part("actor"), obs)).sample(key, scale)

    # RATES: a gradient step per transition, the actor at every third
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
