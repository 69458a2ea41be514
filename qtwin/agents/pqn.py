"""PQN: Gallici et al., "Simplifying deep temporal difference learning", 2024 (arXiv 2407.04811), algorithm 1."""

from __future__ import annotations

import jax.numpy as jnp

from qtwin import optimisers, rates
from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config import Config, rates_of
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.replay.epochs import epochs
from qtwin.td import losses, targets
from qtwin.types import Aux


def pqn(env: EnvSpec, c: Config) -> Algorithm:
    """Parallelised Q-network for ``env``: many environments in place of a replay, layer norm in place of a twin."""

    # NETWORK: obs [B, *obs_shape] -> action values [B, A], with layer normalisation (section 3.2)
    net = q_network(env, c.net, c.init, c.normalise)

    # TARGET: y_t = r_t + gamma ((1 - lambda) max_a Q(s_{t+1}, a) + lambda y_{t+1}), computed once, when a chunk of T
    # steps of N environments has come, by the network as it then is (equation 16)
    def returns(twin, chunk):
        steps, envs = chunk.reward.shape
        q = net.apply(twin.target, chunk.next_obs.reshape(steps * envs, *env.obs_shape))
        value = jnp.max(q, axis=-1).reshape(steps, envs)
        reward, discount = c.reward_scale * chunk.reward, c.discount * chunk.discount
        y = targets.lambda_returns(reward, discount, value, chunk.last, c.trace)
        return chunk._replace(reward=y, discount=jnp.zeros_like(y))  # nothing is left to bootstrap

    # LOSS: the distance of Q_online(s, a) from y
    def loss(twin, batch, key):
        q, stats = net.learn(twin.online, batch.obs, key)
        q_taken = targets.q_of_action(q, batch.action)
        td_error = batch.reward - q_taken
        return losses.regression(c.loss, td_error), Aux(td_error, q_taken, stats)

    def act(variables, obs, epsilon, key):
        return exploration.epsilon_greedy(net.apply(variables, obs), epsilon, key)

    # RATES: collect T N, then some epochs over them in minibatches, and forget; the target is tied
    return Algorithm(
        agent=Agent(net.init, act, loss, net.apply, net.layers),
        rates=rates.Rates(c.collect, c.regress, rates_of.target_of(c), c.warmup),
        replay=epochs(c.batch, c.discount),
        optimiser=optimisers.parse(
            c.optimiser, c.learning_rate, c.max_gradient_norm, rates_of.budget(c) if c.anneal else 0
        ),
        explore=exploration.schedule(c),
        process_chunk=returns,
    )
