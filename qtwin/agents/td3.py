"""Twin delayed DDPG: Fujimoto, van Hoof & Meger, "Addressing function approximation error in actor-critic methods",
2018."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration, policies
from qtwin.algorithm import Agent, Algorithm, PolicyUpdate
from qtwin.config import Config, option_specs, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import critic_network, network
from qtwin.nets.ensemble import ensemble
from qtwin.nets.net import side_by_side
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def td3(env: EnvSpec, c: Config) -> Algorithm:
    """TD3 for ``env`` (algorithm 1): two critics and the smaller value, a smoothed target policy, a delayed actor."""

    # NETWORK: critics Q_i(s, a) [E, B], and an actor mu(s)
    one = critic_network(env, c.net, 1, c.init, c.normalise)
    critic = ensemble(one, c.critics)
    actor = network(env, c.actor_net or c.net, env.action_shape[0], c.init, c.normalise)
    sigma, clip = option_specs.smoothing_choice(c.smoothing)

    def mu(variables, obs):
        return jnp.tanh(actor.apply(variables.part("actor"), obs))

    # TARGET: y = r + gamma min_i Q_target,i(s', mu_target(s') + clipped noise)
    def td_target(twin, batch, key):
        action = policies.smoothed(mu(twin.target, batch.next_obs), sigma, clip, key)
        q_next = critic.apply(twin.target.part("critic"), (batch.next_obs, action))[..., 0]
        return targets.value_target(batch.reward, batch.discount, jnp.min(q_next, axis=0))

    # LOSS: the distance of every Q_online,i(s, a) from y
    def loss(twin, batch, key):
        layers, draws = jax.random.split(key)
        q, stats = critic.learn(twin.online.part("critic"), (batch.obs, batch.action), layers)
        td_error = td_target(twin, batch, draws)[None] - q[..., 0]
        aux = Aux(jnp.mean(td_error, axis=0), jnp.mean(q[..., 0], axis=0), twin.online.stats_with("critic", stats))
        return losses.of_critics(c.loss, td_error), aux

    # and the actor climbs the first critic
    def improve(twin, batch, key):
        out, stats = actor.learn(twin.online.part("actor"), batch.obs, key)
        q_first = one.apply(twin.online.part("critic").part("0"), (batch.obs, jnp.tanh(out)))
        return -jnp.mean(q_first), twin.online.stats_with("actor", stats)

    def act(variables, obs, sigma, key):
        return exploration.gaussian(mu(variables, obs), sigma, key)

    # RATES: a gradient step per transition; the actor and both targets move at every second one
    return Algorithm(
        agent=Agent(side_by_side(critic=critic, actor=actor), act, loss),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
        policy_update=PolicyUpdate(("actor",), improve, optimisers.of_policy_update(c, ("actor",)), c.actor_every),
    )
