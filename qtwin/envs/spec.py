"""What an agent may know of its environment, as plain data: read without importing JAX."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """The shape of an environment.

    Attributes:
      id: the full name with its home, for example ``gymnax:CartPole-v1``.
      obs_shape: shape of one observation, ``()`` for a discrete one.
      obs_dtype: numpy name of the type the replay stores ("float32", "bool", "int32", ...).
      num_actions: number of discrete actions; None where actions are continuous.
      num_states: number of states where the observation is a state's index, else None.
      time_limit: steps after which an episode is truncated, None where there is no limit. [transitions]
      frames_per_transition: emulator frames behind one transition (Atari: 4), None where there is no emulator.
      stack: how many of the last axis's entries are consecutive frames, the newest last (Atari: 4); 1 where an
        observation is no stack.
      preprocessing: what an emulator's frames go through (`qtwin.envs.preprocessing`); "" where there is
        none.
      engine: "fused" for environments written in JAX, "hosted" for those that live in Python.
      action_low, action_high: the bounds of each of the A numbers of a continuous action, in the environment's own
        units; () where actions are discrete. Agents, replays and recordings know actions in [-1, 1] only, and the
        environment's adapter alone translates them.
    """

    id: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    num_actions: int | None
    num_states: int | None = None
    time_limit: int | None = None
    frames_per_transition: int | None = None
    stack: int = 1
    preprocessing: str = ""
    engine: str = "fused"
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()

    @property
    def continuous(self) -> bool:
        """Are actions vectors of numbers rather than one of ``num_actions``?"""
        return self.num_actions is None

    @property
    def action_shape(self) -> tuple[int, ...]:
        """The shape of one action: [A] where actions are continuous, [] where they are discrete."""
        return (len(self.action_low),) if self.continuous else ()

    @property
    def action_dtype(self) -> str:
        """Its type, as the replay stores it."""
        return "float32" if self.continuous else "int32"
