"""An algorithm of your own: trained, stopped and resumed, loaded, compared.

Run it with ``python examples/own_algorithm.py``. Clipped double Q-learning for DQN: two networks side by side, whose
smaller value is the target (the critics' half of Fujimoto et al. 2018, TD3).
"""

import sys

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import qtwin


class MyNetwork(nnx.Module):
    """obs [B, D] -> action values [B, A]"""

    def __init__(self, size, actions, rngs):
        self.body = nnx.Linear(size, 64, rngs=rngs)
        self.head = nnx.Linear(64, actions, rngs=rngs)

    def __call__(self, obs):
        return self.head(jax.nn.relu(self.body(obs)))


def clipped_dqn(env: qtwin.EnvSpec, c: qtwin.Config) -> qtwin.Algorithm:
    """Any field of the run's settings is there as ``c.NAME``; what you do not read has no effect."""

    # NETWORK: two of them, action values [2, B, A]
    net = qtwin.ensemble(qtwin.from_nnx(lambda rngs: MyNetwork(env.obs_shape[0], env.num_actions, rngs)), 2)

    # TARGET: y = r + gamma max_a' min_i Q_target,i(s', a')
    def td_target(twin, batch):
        q_next = jnp.min(net.apply(twin.target, batch.next_obs), axis=0)
        return batch.reward + batch.discount * jnp.max(q_next, axis=-1)

    # LOSS: both networks learn
    def loss(twin, batch, key):
        q = jax.vmap(qtwin.q_of_action, (0, None))(net.apply(twin.online, batch.obs), batch.action)
        td_error = td_target(twin, batch)[None] - q
        return jnp.mean(td_error**2), qtwin.Aux(jnp.mean(td_error, axis=0), jnp.mean(q, axis=0))

    # for the diagnostics: the action values that it acts by
    def values(variables, obs):
        return jnp.min(net.apply(variables, obs), axis=0)

    def act(variables, obs, epsilon, key):
        return qtwin.epsilon_greedy(values(variables, obs), epsilon, key)

    # RATES
    return qtwin.Algorithm(
        agent=qtwin.Agent(net.init, act, loss, values),
        rates=qtwin.rates_of(c),
        replay=qtwin.ring(c.replay, c.batch, c.discount),
        optimiser=optax.adam(c.learning_rate),
        explore=qtwin.linear(1.0, 0.05, over=c.steps // 2),
    )


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    settings = {"envs": 10, "warmup": steps // 20, "learning_rate": 1e-3, "eval_episodes": 20}

    run = qtwin.train("CartPole-v1", agent=clipped_dqn, steps=steps, **settings)
    print(run)

    # Go on with it: what no file can hold is handed in again.
    run = qtwin.train(resume=True, out=run.path, agent=clipped_dqn, steps=steps + steps // 10)
    policy = qtwin.load(run, agent=clipped_dqn)
    print(policy, "->", policy(jnp.zeros(4)))

    # In the laboratory beside DQN, each with two ways for the target to follow.
    comparison = qtwin.compare(
        "CartPole-v1", agents=[clipped_dqn, "dqn"], target=["hard:50", "soft:0.02"], steps=steps, seeds=2, **settings
    )
    print(comparison)
