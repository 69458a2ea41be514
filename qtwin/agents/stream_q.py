"""Stream Q(lambda): Elsayed, Vasan & Mahmood, "Streaming deep reinforcement learning finally works", 2024."""

from __future__ import annotations

import jax.numpy as jnp
from jax.lax import stop_gradient

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.replay.stream import stream
from qtwin.td import targets
from qtwin.types import Aux


def stream_q(env: EnvSpec, c: Config) -> Algorithm:
    """Q(lambda) for ``env`` (algorithm 4): each step learned from as it comes, no replay, batch or target network."""

    # NETWORK: obs [B, *obs_shape] -> action values [B, A]; sparse to begin with, normalised throughout
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y = r + gamma max_a' Q(s', a'), the target tied to the online network
    def td_target(twin, step):
        return targets.max_target(step.reward, c.discount * step.discount, net.apply(twin.target, step.next_obs))

    # LOSS: its gradient is that of -Q(s, a), of which the optimiser keeps a trace that it moves by the TD error
    # (algorithm 3); the trace ends with the episode, and with an action that was not the greedy one (Watkins 1989)
    def loss(twin, step, key):
        q, stats = net.learn(twin.online, step.obs, key)
        q_taken = targets.q_of_action(q, step.action)
        td_error = stop_gradient(td_target(twin, step) - q_taken)
        value = 0.5 * td_error**2 - (q_taken - stop_gradient(q_taken))  # half the squared error, to look at
        return jnp.mean(value), Aux(td_error, q_taken, stats, ended=step.last | (step.action != jnp.argmax(q, axis=-1)))

    def act(variables, obs, epsilon, key):
        return exploration.epsilon_greedy(net.apply(variables, obs), epsilon, key)

    # RATES: 1 : 1 : 1
    return Algorithm(
        agent=Agent(net.init, act, loss, net.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=stream(c.discount, c.reward_scale),
        optimiser=optimisers.obgd(c.learning_rate, c.discount * c.trace),
        explore=exploration.schedule(c),
    )
