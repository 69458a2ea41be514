"""Finite environments whose every outcome is known, read off the environment itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qtwin.envs.catalog import home_of
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.records import imported


class Model(NamedTuple):
    """Every outcome of every action in every state that is not terminal, one row each. [M]

    Outcomes that lead to the same state stand apart where the environment draws them apart.

    Attributes:
      state: int32
      action: int32
      probability: of this outcome, given state and action. float64
      reward: float32
      discount: 0 where ``then`` is terminal, else 1. float32
      then: the state that follows. int32
    """

    state: np.ndarray
    action: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    then: np.ndarray


def model(spec: EnvSpec) -> Model:
    """The model of a finite environment: gymnax's FrozenLake, Gymnasium's that tell theirs (``P``), the chain probe.

    Raises:
      Refusal: the environment's model is not known.
    """
    home, name = home_of(spec)
    known = spec.num_states is not None and home is not None and home.outcomes
    rows = imported(home.outcomes)(name) if known else None
    if rows is None:
        raise Refusal(
            f"the outcomes of {spec.id} are not known in advance, and every one of them was asked for; write --steps"
            " 10000 in place of --enumerate, or a finite environment such as FrozenLake-v1"
        )
    types = (np.int32, np.int32, np.float64, np.float32, np.float32, np.int32)
    return Model(*(np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)))


def of_gymnasium(name: str) -> list[tuple] | None:
    """The outcomes of a Gymnasium environment, where it tells them; None elsewhere."""
    import gymnasium

    env = gymnasium.make(name)
    table = getattr(env.unwrapped, "P", None)
    env.close()
    if table is None:
        return None
    every = [
        (state, action, probability, reward, 0.0 if done else 1.0, then)
        for state, actions in table.items()
        for action, outcomes in actions.items()
        for probability, then, reward, done in outcomes
        if probability > 0
    ]
    terminal = {row[-1] for row in every if row[4] == 0.0}  # their own rows only say that nothing more happens
    return [row for row in every if row[0] not in terminal]


def of_gymnax(name: str) -> list[tuple] | None:
    """The outcomes of gymnax's FrozenLake; None for its others."""
    return _frozen_lake(name) if name == "FrozenLake-misc" else None


def _frozen_lake(name: str) -> list[tuple]:
    from qtwin.envs.gymnax_envs import import_gymnax

    gymnax = import_gymnax()
    from gymnax.environments.misc.frozen_lake import _DIRECTIONS, GOAL, HOLE

    env, _ = gymnax.make(name)
    tiles, directions, success = np.asarray(env.desc), np.asarray(_DIRECTIONS), env.success_rate
    aside = (1.0 - success) / 2.0  # slips to one side or the other
    slips = [(0, success), (1, aside), (-1, aside)] if env.is_slippery else [(0, 1.0)]
    rows = []
    for state, tile in enumerate(tiles.reshape(-1)):
        if tile in (HOLE, GOAL):
            continue
        for action in range(4):
            for turn, probability in slips:
                move = directions[(action + turn) % 4]
                row, column = np.clip(np.array(divmod(state, env.ncol)) + move, 0, [env.nrow - 1, env.ncol - 1])
                reached = tiles[row, column]
                reward = env.reward_schedule[0 if reached == GOAL else 1 if reached == HOLE else 2]
                ends = reached in (HOLE, GOAL)
                rows.append((state, action, probability, float(reward), float(not ends), row * env.ncol + column))
    return rows


def of_probe(name: str) -> list[tuple]:
    """The outcomes of the chain probe."""
    from qtwin.envs.probes import tables

    world = tables(name)
    return [
        (s, a, 1.0, world.reward[s, a], float(not world.terminal[world.then[s, a]]), world.then[s, a])
        for s in range(len(world.obs))
        for a in range(world.then.shape[1])
        if not world.terminal[s]
    ]
