"""Probe environments: tiny worlds, one property each, in which every action value is known exactly. Discrete actions.

An agent that learns the wrong value in one of them has that one property wrong. The worlds are deterministic but for
where an episode begins, so that the values can be reached exactly, and in each the terminal state looks like a state
that is worth something: bootstrapping from it shows.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.probe_specs import CHAIN_STATES, DISCRETE, TIME_LIMITS, VECTOR_STATES
from qtwin.errors import one_of
from qtwin.types import Array


class World(NamedTuple):
    """A finite world as tables. S states, A actions.

    Attributes:
      obs: what each state looks like. [S, *obs_shape]
      starts: how likely an episode begins in each. [S]
      then: the state that follows. [S, A] int32
      reward: [S, A]
      terminal: the episode ends on arriving. [S] bool
      limit: steps after which an episode is truncated; 0 is never. [] int32
    """

    obs: Array
    starts: Array
    then: Array
    reward: Array
    terminal: Array
    limit: Array


class ProbeState(NamedTuple):
    """Where an episode stands.

    Attributes:
      world: the tables travel with the state, so that one compiled program serves all worlds of one shape.
      at: the state. [] int32
      time: steps taken. [] int32
    """

    world: World
    at: Array
    time: Array


def probe(name: str) -> JaxEnv:
    """The probe environment ``name`` (without its home)."""
    spec = DISCRETE[one_of("probe environment", name, DISCRETE)]
    world = jax.tree.map(jnp.asarray, tables(name))

    def start(world: World, key: Array) -> tuple[ProbeState, Array]:
        at = jax.random.choice(key, world.starts.shape[0], p=world.starts).astype(jnp.int32)
        return ProbeState(world, at, jnp.int32(0)), world.obs[at]

    def step(key: Array, state: ProbeState, action: Array) -> tuple[ProbeState, Array, Outcome]:
        world, time = state.world, state.time + 1
        at = world.then[state.at, action]
        terminal = world.terminal[at]
        last = terminal | ((world.limit > 0) & (time >= world.limit))
        outcome = Outcome(world.reward[state.at, action], 1.0 - terminal, world.obs[at], last)
        begun = start(world, key)
        goes_on = (ProbeState(world, at, time), world.obs[at])
        state, obs = jax.tree.map(lambda new, old: jnp.where(last, new, old), begun, goes_on)
        return state, obs, outcome

    return JaxEnv(spec, lambda key: start(world, key), step)


def tables(name: str) -> World:
    """The world ``name`` as numpy tables."""
    if name == "chain":
        n = CHAIN_STATES
        right, left = np.minimum(np.arange(n) + 1, n - 1), np.maximum(np.arange(n) - 1, 0)
        reward = np.zeros((n, 2), np.float32)
        reward[n - 2, 1] = 1.0
        starts = np.append(np.full(n - 1, 1 / (n - 1)), 0.0).astype(np.float32)
        then = np.stack([left, right], axis=1).astype(np.int32)
        return World(
            np.arange(n, dtype=np.int32), starts, then, reward, np.arange(n) == n - 1, np.int32(TIME_LIMITS["chain"])
        )
    seen, starts, then, reward, terminal = _VECTOR_WORLDS[name]
    world = World(
        obs=np.zeros((VECTOR_STATES, 2), np.float32), starts=np.zeros(VECTOR_STATES, np.float32),
        then=np.zeros((VECTOR_STATES, 2), np.int32), reward=np.zeros((VECTOR_STATES, 2), np.float32),
        terminal=np.zeros(VECTOR_STATES, bool), limit=np.int32(TIME_LIMITS.get(name, 0)),
    )  # fmt: skip
    world.obs[: len(seen)] = seen
    world.starts[starts] = 1 / len(starts)
    for state, (after, rewards) in enumerate(zip(then, reward, strict=True)):
        world.then[state], world.reward[state] = after, rewards
    world.terminal[terminal] = True
    return world


# name: what each state looks like, where episodes begin, (state after action 0, after 1) and (reward of 0, of 1) for
# every state that is not terminal, the terminal states
_VECTOR_WORLDS = {
    "constant": ([(1, 1), (1, 1)], [0], [(1, 1)], [(1, 1)], [1]),
    "observation": ([(1, -1), (1, 1), (1, 1)], [0, 1], [(2, 2)] * 2, [(-1, -1), (1, 1)], [2]),
    "discounting": ([(1, 0), (1, 1), (1, 1)], [0], [(1, 1), (2, 2)], [(0, 0), (1, 1)], [2]),
    "action": ([(1, 1), (1, 1)], [0], [(1, 1)], [(-1, 1)], [1]),
    "action-observation": ([(1, -1), (1, 1), (1, 1)], [0, 1], [(2, 2)] * 2, [(1, -1), (-1, 1)], [2]),
    "delayed": (
        [(0, 0), (1, -1), (1, 1), (2, -1), (2, 1), (2, 1)],
        [0],
        [(1, 2), (3, 3), (4, 4), (5, 5), (5, 5)],
        [(0, 0), (0, 0), (0, 0), (-1, -1), (1, 1)],
        [5],
    ),
    "endless": ([(1, 1)], [0], [(0, 0)], [(1, 1)], []),
    "final-observation": ([(1, 0), (1, 1), (1, 1)], [0, 1], [(1, 1), (2, 2)], [(0, 0), (1, 1)], [2]),
}


def exact_q(name: str, gamma: float) -> list[tuple[np.ndarray, int, float]]:
    """Every action value of the probe ``name`` in closed form.

    Returns:
      (observation, action, Q*(observation, action)) for every state that an agent acts in.
    """
    world, n = tables(name), CHAIN_STATES
    right = [gamma ** (n - 2 - state) for state in range(n - 1)]
    for_ever = 1 / (1 - gamma) if gamma < 1 else np.inf
    values = {
        "constant": [(1, 1)],
        "observation": [(-1, -1), (1, 1)],
        "discounting": [(gamma, gamma), (1, 1)],
        "action": [(-1, 1)],
        "action-observation": [(1, -1), (-1, 1)],
        "delayed": [(-(gamma**2), gamma**2), (-gamma, -gamma), (gamma, gamma), (-1, -1), (1, 1)],
        "endless": [(for_ever, for_ever)],
        "final-observation": [(gamma, gamma), (1, 1)],
        "chain": [(gamma * right[max(state - 1, 0)], right[state]) for state in range(n - 1)],
    }[name]
    return [(world.obs[state], action, pair[action]) for state, pair in enumerate(values) for action in (0, 1)]
