"""Cautious Q-learning: a TD target between the best action's value and the mean of all."""

from __future__ import annotations

import dataclasses

import qtwin


@dataclasses.dataclass(frozen=True)
class Caution:
    caution: float = qtwin.setting(0.25, "W", "weight of the mean over actions in a TD target", least=0.0, most=1.0)
    highest: int = qtwin.setting(1_000, "Y", "no TD target is larger", least=1)


def cautious(env: qtwin.EnvSpec, c: qtwin.Config) -> qtwin.Algorithm:
    import jax.numpy as jnp

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]
    net = qtwin.q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma ((1 - w) max_a' Q_target(s', a') + w mean_a' Q_target(s', a'))
    def td_target(twin, batch):
        q_next = net.apply(twin.target, batch.next_obs)
        value = (1 - c.caution) * jnp.max(q_next, axis=-1) + c.caution * jnp.mean(q_next, axis=-1)
        return jnp.minimum(qtwin.value_target(batch.reward, batch.discount, value), c.highest)

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = qtwin.q_of_action(q, batch.action)
        td_error = td_target(twin, batch) - q_taken
        return qtwin.regression(c.loss, td_error, batch.weight), qtwin.Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return qtwin.choose(net, variables, obs, epsilon, key)

    # RATES: as the config has them
    return qtwin.Algorithm(
        agent=qtwin.Agent(net.init, act, loss, net.apply, net.layers),
        rates=qtwin.rates_of(c),
        replay=qtwin.make_replay(env, c),
        optimiser=qtwin.optimiser_of(c),
        explore=qtwin.schedule(c),
    )


RECORD = qtwin.AgentInfo(
    "cautious",
    about="DQN, but its target lies between the best action's value and the mean of all",
    paper="",
    build="outside.agent:cautious",
    defaults=qtwin.recipe("cautious", Caution, like="dqn", env="corridor:6", steps=20_000, warmup=500),
    actions=("discrete",),
    output="values",
    own=Caution,
    bootstraps=("max",),
    any_target=True,
    weighted=True,
)
qtwin.register(RECORD)
