"""What callers hand in: an algorithm and a function that makes one, networks, environments. Shared by tests."""

import flax.linen
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import qtwin


class OwnNetwork(nnx.Module):
    """From an observation of two numbers to two action values."""

    def __init__(self, rngs, width=8):
        self.hidden = nnx.List([nnx.Linear(2, width, rngs=rngs)])
        self.head = nnx.Linear(width, 2, rngs=rngs)

    def __call__(self, obs):
        return self.head(jax.nn.relu(self.hidden[0](obs)))


class OwnLinen(flax.linen.Module):
    """The same in Flax Linen."""

    outputs: int = 2

    @flax.linen.compact
    def __call__(self, obs):
        return flax.linen.Dense(self.outputs)(jax.nn.relu(flax.linen.Dense(8)(obs)))


class Walk(gym.Env):
    """Five fields in a row; to the right is better. Observation: the field and the goal, [2]."""

    observation_space = gym.spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, goal=4):
        self.goal = goal

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.field, self.steps = int(self.np_random.integers(0, 3)), 0
        return self.seen(), {}

    def step(self, action):
        self.field, self.steps = max(0, self.field + (1 if action else -1)), self.steps + 1
        return self.seen(), -1.0, self.field >= self.goal, self.steps >= 20, {}

    def seen(self):
        return np.array([self.field, self.goal], np.float32)


def jax_walk(goal=4):
    """The same in JAX."""
    spec = qtwin.EnvSpec("mine:JaxWalk", (2,), "float32", 2, time_limit=20)

    def seen(field):
        return jnp.stack([field, jnp.float32(goal)])

    def reset(key):
        field = jax.random.randint(key, (), 0, 3).astype(jnp.float32)
        return (field, jnp.int32(0)), seen(field)

    def step(key, state, action):
        field, steps = jnp.maximum(state[0] + 2.0 * action - 1.0, 0.0), state[1] + 1
        over, cut = field >= goal, steps >= 20
        outcome = qtwin.Outcome(jnp.float32(-1.0), 1.0 - over.astype(jnp.float32), seen(field), over | cut)
        fresh, first = reset(key)
        last = over | cut
        state = jax.tree.map(lambda new, old: jnp.where(last, new, old), fresh, (field, steps))
        return state, jnp.where(last, first, seen(field)), outcome

    return qtwin.JaxEnv(spec, reset, step)


def algorithm(net=None, loss=None, act=None, replay=None, rates=None, values=True):
    """DQN, put together by hand."""
    net = net or qtwin.from_nnx(OwnNetwork)

    def squared(twin, batch, key):
        y = batch.reward + batch.discount * jnp.max(net.apply(twin.target, batch.next_obs), axis=-1)
        q = qtwin.q_of_action(net.apply(twin.online, batch.obs), batch.action)
        return jnp.mean((y - q) ** 2), qtwin.Aux(y - q, q)

    def greedy(variables, obs, epsilon, key):
        return qtwin.epsilon_greedy(net.apply(variables, obs), epsilon, key)

    return qtwin.Algorithm(
        agent=qtwin.Agent(net.init, act or greedy, loss or squared, net.apply if values else None),
        rates=rates or qtwin.Rates(collect=4, regress=1, target_update=qtwin.hard(10), warmup=40),
        replay=replay or qtwin.ring(capacity=400, batch=8, gamma=0.9),
        optimiser=optax.adam(1e-3),
        explore=qtwin.linear(1.0, 0.1, over=200),
    )


def own_dqn(env, c):
    """The same as a function of its settings."""
    made = algorithm()
    rule = qtwin.hard(10) if c.target == "hard:50" else c.target
    rule = rule if isinstance(rule, qtwin.TargetUpdate) else getattr(rule, "thing", qtwin.hard(10))
    return made._replace(
        optimiser=optax.adam(c.learning_rate), replay=qtwin.ring(c.replay, c.batch, c.discount),
        rates=qtwin.Rates(c.collect, c.regress, rule, c.warmup),
    )  # fmt: skip
