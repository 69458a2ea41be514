"""Deep deterministic policy gradient: Lillicrap et al., "Continuous control with deep reinforcement learning", 2016."""

from __future__ import annotations

import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm, PolicyUpdate
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import critic_network, network
from qtwin.nets.net import side_by_side
from qtwin.replay import remember
from qtwin.td import losses, targets
from qtwin.types import Aux


def ddpg(env: EnvSpec, c: Config) -> Algorithm:
    """DDPG for ``env`` (algorithm 1), with Gaussian noise in place of the Ornstein-Uhlenbeck process."""

    # NETWORK: a critic Q(s, a), and an actor mu(s) that stands in for DQN's argmax over actions
    critic = critic_network(env, c.net, 1, c.init, c.normalise)
    actor = network(env, c.actor_net or c.net, env.action_shape[0], c.init, c.normalise)

    def q(variables, obs, action):
        return critic.apply(variables.part("critic"), (obs, action))[:, 0]

    def mu(variables, obs):
        return jnp.tanh(actor.apply(variables.part("actor"), obs))

    # TARGET: y = r + gamma Q_target(s', mu_target(s'))
    def td_target(twin, batch):
        value = q(twin.target, batch.next_obs, mu(twin.target, batch.next_obs))
        return targets.value_target(batch.reward, batch.discount, value)

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        values, stats = critic.learn(twin.online.part("critic"), (batch.obs, batch.action), key)
        td_error = td_target(twin, batch) - values[:, 0]
        return losses.LOSSES[c.loss](td_error), Aux(td_error, values[:, 0], twin.online.stats_with("critic", stats))

    # and the actor climbs the critic (equation 6)
    def improve(twin, batch, key):
        out, stats = actor.learn(twin.online.part("actor"), batch.obs, key)
        return -jnp.mean(q(twin.online, batch.obs, jnp.tanh(out))), twin.online.stats_with("actor", stats)

    def act(variables, obs, sigma, key):
        return exploration.gaussian(mu(variables, obs), sigma, key)

    # RATES: a gradient step per transition, with a target that follows softly
    return Algorithm(
        agent=Agent(side_by_side(critic=critic, actor=actor), act, loss),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=remember(env, c),
        optimiser=optimisers.parse(c.optimiser, c.learning_rate, c.max_gradient_norm),
        explore=exploration.schedule(c),
        policy_update=PolicyUpdate(("actor",), improve, optimisers.of_policy_update(c, ("actor",)), c.actor_every),
    )
