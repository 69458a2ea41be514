"""DQN put together by hand: a network, its frozen twin, the TD target, the rates. Run it, then change any line."""

import sys

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import qtwin


# NETWORK: any module from a batch of observations [B, 4] to action values [B, 2]
class MyNetwork(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.body = nnx.Linear(4, 128, rngs=rngs)
        self.head = nnx.Linear(128, 2, rngs=rngs)

    def __call__(self, obs):
        return self.head(jax.nn.relu(self.body(obs)))


net = qtwin.from_nnx(MyNetwork)


# TARGET: the twin holds two networks; the frozen one says what to regress towards
def td_target(twin, batch):
    q_next = net.apply(twin.target, batch.next_obs)  # [B, 2]; no gradient can enter here
    return batch.reward + batch.discount * jnp.max(q_next, axis=-1)


# LOSS: only the online network learns
def loss(twin, batch, key):
    q = qtwin.q_of_action(net.apply(twin.online, batch.obs), batch.action)
    td_error = td_target(twin, batch) - q
    return jnp.mean(td_error**2), qtwin.Aux(td_error, q)


def act(variables, obs, epsilon, key):
    return qtwin.epsilon_greedy(net.apply(variables, obs), epsilon, key)


# RATES: ten transitions, one gradient step, and every 50 gradient steps the target becomes a copy of the online network
rates = qtwin.Rates(collect=10, regress=1, target_update=qtwin.hard(50), warmup=1_000)

algorithm = qtwin.Algorithm(
    agent=qtwin.Agent(net.init, act, loss),
    rates=rates,
    replay=qtwin.ring(capacity=10_000, batch=128, gamma=0.99),
    optimiser=optax.adam(1e-3),
    explore=qtwin.linear(1.0, 0.05, over=50_000),
)

if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    run = qtwin.train("CartPole-v1", agent=algorithm, steps=steps, envs=10, seeds=2)
    print("greedy return of each seed:", run.eval_return)
    print("the action to take in the middle of the track:", qtwin.load(run, agent=algorithm)(jnp.zeros(4)))
