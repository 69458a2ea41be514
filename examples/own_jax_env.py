"""An environment of your own, written in JAX: the whole cycle runs as one compiled program.

Run it with ``python examples/own_jax_env.py``. A ball rolls on a line; pushes to the left and right bring it to rest in
the middle.
"""

import sys

import jax
import jax.numpy as jnp

import qtwin

LIMIT = 60  # steps after which an episode is truncated

spec = qtwin.EnvSpec("Ball", obs_shape=(2,), obs_dtype="float32", num_actions=3, time_limit=LIMIT)


def reset(key):
    """key -> (state, obs)"""
    ball = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
    return (ball, jnp.int32(0)), ball


def step(key, state, action):
    """(key, state, action []) -> (state, obs, Outcome); after an episode's end both are a new episode's."""
    (place, speed), steps = state
    speed = 0.95 * speed + 0.1 * (action - 1)
    place, steps = place + 0.1 * speed, steps + 1
    ball = jnp.stack([place, speed])
    lost = jnp.abs(place) > 2.0  # terminal: nothing follows
    last = lost | (steps >= LIMIT)  # a time limit only truncates: the discount stays 1
    outcome = qtwin.Outcome(
        reward=jnp.float32(1.0) - jnp.abs(place), discount=1.0 - lost.astype(jnp.float32), next_obs=ball, last=last
    )
    begun = reset(key)
    (ball, steps), obs = jax.tree.map(lambda new, old: jnp.where(last, new, old), begun, ((ball, steps), ball))
    return (ball, steps), obs, outcome


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    env = qtwin.JaxEnv(spec, reset, step)
    run = qtwin.train(env, net="mlp:32", steps=steps, warmup=steps // 20, eval_episodes=20)
    print(run)
    print("push when it rolls to the right:", qtwin.load(run)(jnp.array([0.5, 1.0])))
