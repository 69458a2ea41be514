"""PROCESS 1: act, step the environments, store the transitions in the replay buffer."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qtwin.acting.exploration import ez_greedy, uniform_actions
from qtwin.algorithm import Algorithm
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec
from qtwin.processes.nonfinite import another, check_finite
from qtwin.rng import ACT, LOST, RESET, STEP, stream
from qtwin.state import Tally, TrainState, World
from qtwin.types import Array, Timestep


def begin(env: JaxEnv, envs: int, key: Array) -> World:
    """Resets N environments."""
    state, obs = jax.vmap(env.reset)(jax.random.split(stream(key, RESET, 0), envs))
    return World(state, obs, jnp.zeros(envs, jnp.float32), jnp.zeros(envs, jnp.int32))


def collect(
    algorithm: Algorithm, env: JaxEnv, envs: int, vector_steps: int, random: bool = False, drop: bool = False
) -> Callable:
    """Process 1 for environments in JAX: ``state -> state`` with ``vector_steps * envs`` new transitions.

    A chunk that contains a non-finite value is not stored, and ``state.faults`` says which value it was.

    Args:
      algorithm: its agent, exploration and replay buffer.
      env: one environment, stepped in N copies.
      envs: N.
      vector_steps: number of steps of all N environments.
      random: act uniformly at random (the warm-up).
      drop: replace an environment that gives a non-finite value, and truncate its episode after the last finite step.
        It is a fault only if the first step of the new environment is not finite either.
    """

    act = acting(algorithm, env.spec)

    def one(s: TrainState, t: Array) -> tuple[tuple[World, Tally], tuple[Timestep, Array | tuple]]:
        transitions = s.clock.transitions + t * envs
        count = transitions // envs  # vector steps so far; the counter grows in multiples of N
        key, world = stream(s.key, ACT, count), s.world
        if random:
            action = uniform_actions(env.spec, envs, key)
        else:
            action, held = act(s.twin.online, world.obs, algorithm.explore(transitions), key, world.held)
            world = world._replace(held=held)
        keys = jax.random.split(stream(s.key, STEP, count), envs)
        stepped = jax.vmap(env.step)(keys, world.env, action)
        lost = ()
        if drop:
            acted_on, stepped, lost = another(env, stream(s.key, LOST, count), action, world.obs, stepped)
            returns, lengths = jnp.where(lost, 0.0, world.returns), jnp.where(lost, 0, world.lengths)
            world = world._replace(obs=acted_on, returns=returns, lengths=lengths)
        env_state, obs, outcome = stepped
        row = timestep(world.obs, action, outcome)
        return account(world, s.tally, env_state, obs, outcome), (row, lost)

    def process(s: TrainState) -> TrainState:
        def body(carry: tuple[World, Tally], t: Array) -> tuple[tuple[World, Tally], tuple[Timestep, Array | tuple]]:
            return one(s._replace(world=carry[0], tally=carry[1]), t)

        (world, tally), (chunk, lost) = jax.lax.scan(body, (s.world, s.tally), jnp.arange(vector_steps))
        chunk, faults = check_finite(chunk, s.faults, s.clock.transitions // envs)
        replay = s.replay
        if drop:  # the step before the lost one ends its episode
            chunk = chunk._replace(last=chunk.last.at[:-1].set(chunk.last[:-1] | lost[1:]))
            replay = replay if algorithm.replay.cut is None else algorithm.replay.cut(replay, lost[0])
            faults = faults._replace(lost=faults.lost + jnp.sum(lost, dtype=jnp.int32))
        clock = s.clock._replace(transitions=s.clock.transitions + vector_steps * envs)
        chunk = chunk if algorithm.process_chunk is None else algorithm.process_chunk(s.twin, chunk)
        replay = algorithm.replay.add(replay, chunk)
        return s._replace(clock=clock, world=world, tally=tally, replay=replay, faults=faults)

    return process


def timestep(obs: Array, action: Array, outcome: Outcome) -> Timestep:
    """The row that is stored in the replay buffer."""
    return Timestep(obs, action, outcome.reward, outcome.discount, outcome.next_obs, outcome.last)


def account(world: World, tally: Tally, env_state, obs: Array, outcome: Outcome) -> tuple[World, Tally]:
    """Adds one vector step to the returns and lengths of the current episodes, and finished episodes to the tally."""
    returns, lengths = world.returns + outcome.reward, world.lengths + 1
    ended = outcome.last
    tally = tally._replace(
        episodes=tally.episodes + jnp.sum(ended, dtype=jnp.int32),
        returns=tally.returns + jnp.sum(jnp.where(ended, returns, 0.0)),
        lengths=tally.lengths + jnp.sum(jnp.where(ended, lengths, 0)).astype(jnp.float32),
    )
    world = world._replace(env=env_state, obs=obs)
    return world._replace(returns=jnp.where(ended, 0.0, returns), lengths=jnp.where(ended, 0, lengths)), tally


def acting(algorithm: Algorithm, env: EnvSpec) -> Callable:
    """The acting function of process 1: ``(variables, obs [N, ...], epsilon [], key, held) -> (action [N], held)``;
    ``held`` is () if random actions last one step."""
    if algorithm.zeta:
        return ez_greedy(algorithm.agent.act, algorithm.zeta, env.num_actions)
    return lambda variables, obs, epsilon, key, held: (algorithm.agent.act(variables, obs, epsilon, key), held)
