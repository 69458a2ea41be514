"""Probe environments with continuous actions: tiny worlds in which the value of every action is known in closed form.

As in `qtwin.envs.probes` an agent that learns the wrong value in one of them has that one property wrong. In every
state the reward is constant, a line or a tent over the action, or over an action that was taken before and is kept: a
small network with ReLU can hold it exactly, and a tent says to the point which action is best. The terminal state looks
like a state that is worth something: bootstrapping from it shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.envs.actions import to_bounds
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.probe_specs import CONTINUOUS, CONTINUOUS_STATES, TIME_LIMITS
from qtwin.envs.probes import probe
from qtwin.envs.spec import EnvSpec
from qtwin.errors import one_of
from qtwin.types import Array


class Place(NamedTuple):
    """One state, or [S] of them. The action a and the kept numbers k are in the environment's units, A of each.

    The reward is ``constant + sum_i (slope u_i - fall_i |u_i - best_i|)`` with ``u = of_action a + of_kept k``.

    Attributes:
      seen: the first two numbers of the observation. [2]
      then: the state that follows. [] int32
      terminal: the episode ends on arriving.
      keeps: the action taken here becomes the kept numbers, which an episode begins with drawn at random.
      shows: the kept numbers are the rest of the observation, which else is 0.
      constant, slope, of_action, of_kept: see above. []
      fall, best: see above. [A]
    """

    seen: Array
    then: Array = 0
    terminal: Array = False
    keeps: Array = False
    shows: Array = False
    constant: Array = 0.0
    slope: Array = 0.0
    of_action: Array = 1.0
    of_kept: Array = 0.0
    fall: Array = 0.0
    best: Array = 0.0


class World(NamedTuple):
    """A world as tables.

    Attributes:
      places: the states. [S]
      starts: how likely an episode begins in each. [S]
      limit: steps after which an episode is truncated; 0 is never. [] int32
      low, high: the bounds of an action, in its own units. [A]
    """

    places: Place
    starts: Array
    limit: Array
    low: Array
    high: Array


class ProbeState(NamedTuple):
    """Where an episode stands.

    Attributes:
      world: the tables travel with the state, so that one compiled program serves all worlds of one shape.
      at: the state. [] int32
      kept: the kept numbers. [A]
      time: steps taken. [] int32
    """

    world: World
    at: Array
    kept: Array
    time: Array


def probe_env(spec: EnvSpec, name: str) -> JaxEnv:
    """The probe environment ``name`` (without its home), of either kind."""
    return continuous_probe(name) if spec.continuous else probe(name)


def continuous_probe(name: str) -> JaxEnv:
    """The probe environment ``name`` (without its home)."""
    spec = CONTINUOUS[one_of("probe environment", name, CONTINUOUS)]
    world = jax.tree.map(jnp.asarray, tables(name))

    def begin(world: World, key: Array) -> tuple[ProbeState, Array]:
        where, what = jax.random.split(key)
        at = jax.random.choice(where, world.starts.shape[0], p=world.starts).astype(jnp.int32)
        kept = jax.random.uniform(what, world.low.shape, jnp.float32, world.low, world.high)
        return ProbeState(world, at, kept, jnp.int32(0)), observation(world.places, at, kept)

    def step(key: Array, state: ProbeState, action: Array) -> tuple[ProbeState, Array, Outcome]:
        world, time = state.world, state.time + 1
        here = jax.tree.map(lambda leaf: leaf[state.at], world.places)
        action = to_bounds(action, world.low, world.high)
        kept = jnp.where(here.keeps, action, state.kept)
        terminal = world.places.terminal[here.then]
        next_obs = observation(world.places, here.then, kept)
        last = terminal | ((world.limit > 0) & (time >= world.limit))
        outcome = Outcome(reward(here, action, state.kept), 1.0 - terminal, next_obs, last)
        begun = begin(world, key)
        goes_on = (ProbeState(world, here.then, kept, time), next_obs)
        state, obs = jax.tree.map(lambda new, old: jnp.where(last, new, old), begun, goes_on)
        return state, obs, outcome

    return JaxEnv(spec, lambda key: begin(world, key), step)


def observation(places: Place, at: Array, kept: Array) -> Array:
    """What state ``at`` looks like: [2 + A]."""
    return jnp.concatenate([places.seen[at], places.shows[at] * kept])


def reward(here: Place, action: Array, kept: Array) -> Array:
    """The reward of an action [A], in the environment's units, in one state: []."""
    u = here.of_action * action + here.of_kept * kept
    return here.constant + jnp.sum(here.slope * u - here.fall * jnp.abs(u - here.best))


def tables(name: str) -> World:
    """The world ``name`` as numpy tables."""
    spec, (places, starts) = CONTINUOUS[name], _WORLDS[name]
    size = len(spec.action_low)
    rows = [*places, *[Place((0.0, 0.0))] * (CONTINUOUS_STATES - len(places))]
    rows = [row._replace(fall=np.broadcast_to(row.fall, size), best=np.broadcast_to(row.best, size)) for row in rows]
    columns = Place(*map(np.array, zip(*rows, strict=True)))
    kinds = {"i": "int32", "b": "bool", "f": "float32"}
    likely = np.zeros(CONTINUOUS_STATES, np.float32)
    likely[starts] = 1 / len(starts)
    return World(
        places=jax.tree.map(lambda leaf: leaf.astype(kinds[leaf.dtype.kind]), columns),
        starts=likely,
        limit=np.int32(TIME_LIMITS.get(name, 0)),
        low=np.array(spec.action_low, np.float32),
        high=np.array(spec.action_high, np.float32),
    )


# name: the states, the terminal one last, and where episodes begin
_END = Place((1.0, 1.0), terminal=True)
_TENT = {"fall": 1.0, "best": 0.5}
_WORLDS = {
    "continuous-constant": ([Place((1.0, 1.0), 1, constant=1.0), _END], [0]),
    "continuous-action": ([Place((1.0, 1.0), 1, **_TENT), _END], [0]),
    "continuous-observation": (
        [Place((1.0, 1.0), 1, shows=True, of_kept=-0.5, fall=1.0), _END._replace(shows=True)],
        [0],
    ),
    "continuous-bound": ([Place((1.0, 1.0), 1, slope=1.0), _END], [0]),
    "continuous-discounting": ([Place((1.0, 0.0), 1), Place((1.0, 1.0), 2, constant=1.0, **_TENT), _END], [0]),
    "continuous-delayed": (
        [
            Place((0.0, 0.0), 1, keeps=True),
            Place((0.0, 1.0), 2, shows=True),
            Place((1.0, 1.0), 3, shows=True, constant=1.0, of_action=0.0, of_kept=1.0, **_TENT),
            _END._replace(shows=True),
        ],
        [0],
    ),
    "continuous-endless": ([Place((1.0, 1.0), 0, constant=1.0)], [0]),
    "continuous-final-observation": ([Place((1.0, 0.0), 1), Place((1.0, 1.0), 2, constant=1.0), _END], [0, 1]),
    # In units of half the range of each number, the distance from (2, 0.1), one by one.
    "continuous-units": ([Place((1.0, 1.0), 1, fall=(0.5, 4.0), best=(2.0, 0.1)), _END], [0]),
}


def closed_form(name: str, gamma: float) -> list[Callable]:
    """Q* of the probe ``name`` for every state that is not terminal: ``(kept [..., A], action [..., A]) -> [...]``.

    Both are as the agent knows them: the action in [-1, 1], and the kept numbers as they are observed.
    """

    def tent(number):
        return 1.0 - abs(number[..., 0] - 0.5)

    def of(value):
        return lambda k, a: np.full(a.shape[:-1], value)

    for_ever = 1 / (1 - gamma) if gamma < 1 else np.inf
    return {
        "continuous-constant": [of(1.0)],
        "continuous-action": [lambda k, a: tent(a) - 1.0],
        "continuous-observation": [lambda k, a: -abs(a[..., 0] - k[..., 0] / 2)],
        "continuous-bound": [lambda k, a: a[..., 0]],
        "continuous-discounting": [of(gamma), lambda k, a: tent(a)],
        "continuous-delayed": [
            lambda k, a: gamma**2 * tent(a),
            lambda k, a: gamma * tent(k),
            lambda k, a: tent(k),
        ],
        "continuous-endless": [of(for_ever)],
        "continuous-final-observation": [of(gamma), of(1.0)],
        "continuous-units": [lambda k, a: -abs(a[..., 0] - 0.5) - abs(a[..., 1] + 0.6)],
    }[name]


def points(name: str, numbers: int = 5) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """A grid over the probe ``name``: state, kept numbers [A], observation and action of every point."""
    world = tables(name)
    grid = list(itertools.product(np.linspace(-1.0, 1.0, numbers, dtype=np.float32), repeat=len(world.low)))
    found = []
    for at in range(len(_WORLDS[name][0])):
        if not world.places.terminal[at]:
            for kept in grid if world.places.shows[at] else grid[:1]:
                obs = np.append(world.places.seen[at], world.places.shows[at] * np.array(kept))
                found += [(at, np.array(kept), obs.astype(np.float32), np.array(action)) for action in grid]
    return found


def exact_q(name: str, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Action values of the probe ``name`` in closed form, on a grid over its states and actions.

    Returns:
      observations [M, 2 + A], actions [M, A] in [-1, 1], and Q* of each [M].
    """
    form = closed_form(name, gamma)
    at, kept, obs, action = zip(*points(name), strict=True)
    value = [float(form[s](k, a)) for s, k, a in zip(at, kept, action, strict=True)]
    return np.array(obs), np.array(action), np.array(value)


def best_actions(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Observations [M, 2 + A] in which one action is better than all others, and that action [M, A] in [-1, 1]."""
    best = {
        "continuous-action": {0: lambda kept: (0.5,)},
        "continuous-observation": {0: lambda kept: kept / 2},
        "continuous-bound": {0: lambda kept: (1.0,)},
        "continuous-discounting": {1: lambda kept: (0.5,)},
        "continuous-delayed": {0: lambda kept: (0.5,)},
        "continuous-units": {0: lambda kept: (0.5, -0.6)},
    }.get(name, {})
    found = {(at, tuple(kept)): obs for at, kept, obs, _ in points(name) if at in best}
    action = [best[at](np.array(kept)) for at, kept in found]
    return np.array(list(found.values())), np.array(action, np.float32)
