"""What an agent may know of its environment, as plain data: read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.envs.spaces import INTEGERS, SpaceSpec


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """The shape of an environment as agents, replays and recordings see it, and the environment's own spaces.

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
      observation_space, action_space: the environment's own; None where they are as the fields above say, with float32
        actions of shape [A] (`own_observations`, `own_actions`).
      env_kwargs: keyword arguments that it is made with, as JSON; "" for none.
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
    observation_space: SpaceSpec | None = None
    action_space: SpaceSpec | None = None
    env_kwargs: str = ""

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

    @property
    def seen_observations(self) -> SpaceSpec:
        """Observations as agents, replays and recordings have them: states from 0, 64 bits in 32."""
        import numpy as np

        if self.num_states is not None:
            return SpaceSpec("discrete", self.obs_dtype, n=self.num_states)
        if self.obs_dtype in INTEGERS:
            low, high = np.iinfo(self.obs_dtype).min, np.iinfo(self.obs_dtype).max
        else:
            low, high = (0, 1) if self.obs_dtype == "bool" else (-np.inf, np.inf)
        return SpaceSpec("box", self.obs_dtype, self.obs_shape, low=(low,), high=(high,))

    @property
    def own_observations(self) -> SpaceSpec:
        """Observations as the environment itself gives them."""
        return self.observation_space or self.seen_observations

    @property
    def own_actions(self) -> SpaceSpec:
        """Actions as the environment itself takes them."""
        import numpy as np

        if self.action_space is not None:
            return self.action_space
        if not self.continuous:
            return SpaceSpec("discrete", "int64", n=self.num_actions or 0)
        low, high = (tuple(np.asarray(side, np.float32).tolist()) for side in (self.action_low, self.action_high))
        return SpaceSpec("box", "float32", self.action_shape, low=low, high=high)
