"""Gymnasium environments of which one may raise, die or hang while the others go on. Read without importing JAX.

Each sits here or in a process of its own. One that is lost is replaced by a new one: what it was asked for is no
transition, the episode that was under way counts as truncated after its last whole step, and the next one begins. An
environment in this process can only be seen to raise; from a process of its own it is also seen to die, and to hang.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space, iterate

from qtwin.envs.edge import SAFE
from qtwin.envs.seats import Apart, Here, Lost, Unkept
from qtwin.errors import Broken
from qtwin.types import Array

IN_A_ROW = 5  # times that an environment may be lost one after another; a sixth ends the run
STEPS_BETWEEN = 100  # steps after which a loss is no longer one after another


def on_stderr(line: str) -> None:
    print(f"qtwin: {line}", file=sys.stderr, flush=True)


class Supervised:
    """N environments as one of Gymnasium's vectors (SAME_STEP), with ``info["lost"]`` [N] bool beside.

    Args:
      name: the environment's, for what is said.
      make: makes one of them.
      envs: N.
      apart: each in a process of its own.
      timeout: seconds that a step or a reset may take; None for as long as it likes. Holds only where they are apart.
      drop: one that gives a number that is not finite, or breaks the contract in another way, is lost; else that ends
        the run.
      report: is told of every loss in a line.
    """

    autoreset_mode = AutoresetMode.SAME_STEP
    metadata = MappingProxyType({"autoreset_mode": AutoresetMode.SAME_STEP})
    spec = None

    def __init__(
        self,
        name: str,
        make: Callable[[], gym.Env],
        envs: int,
        apart: bool = False,
        timeout: float | None = None,
        drop: bool = False,
        report: Callable[[str], None] = on_stderr,
    ):
        one = make()
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        one.close()
        self._name, self._timeout, self._drop, self._report = name, timeout, drop, report
        self.num_envs, self.lost_so_far = envs, 0
        self._actions = batch_space(self.single_action_space, envs)
        self._seats = [(Apart if apart else Here)(make) for _ in range(envs)]
        self._seed, self._in_a_row, self._sound = 0, [0] * envs, [0] * envs
        space = self.single_observation_space
        self._obs = np.zeros((envs, *space.shape), space.dtype)
        self._inexact = np.issubdtype(space.dtype, np.inexact)

    @property
    def unwrapped(self) -> Supervised:
        return self

    def reset(self, seed: int) -> tuple[Array, dict]:
        self._seed = seed
        lost = {}
        for i, seat in enumerate(self._seats):
            seat.begin(seed + i)  # all of them first: a process takes a while to start
        deadline = self._deadline()
        for i, seat in enumerate(self._seats):
            try:
                self._obs[i] = self._looked_at(seat.begun(deadline))
            except Lost as reason:
                lost[i] = self._allowed(i, reason)
        self._replace(lost)
        return self._obs.copy(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict]:
        for seat, action in zip(self._seats, iterate(self._actions, actions), strict=True):
            seat.send(action)
        reward = np.zeros(self.num_envs)
        ends, final, lost = np.zeros((2, self.num_envs), bool), [None] * self.num_envs, {}
        deadline = self._deadline()
        for i, seat in enumerate(self._seats):
            try:
                obs, gain, terminated, truncated, fresh = seat.receive(deadline)
                gain, obs = self._looked_at(gain, "reward"), self._looked_at(obs)
                self._obs[i] = obs if fresh is None else self._looked_at(fresh)
                reward[i], ends[:, i], final[i] = gain, (terminated, truncated), obs
                self._sound[i] += 1
            except Lost as reason:
                lost[i] = self._allowed(i, reason)
        self._replace(lost)
        which = np.array([i in lost for i in range(self.num_envs)])
        ends[:, which], reward[which] = False, 0.0
        return self._obs.copy(), reward, *ends, {"final_obs": final, "lost": which}

    def close(self) -> None:
        for seat in self._seats:
            seat.close()

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _allowed(self, index: int, reason: Lost) -> Lost:
        """``reason``, where such a loss is made up for.

        Raises:
          Broken: it broke the contract, and is not to be dropped for that.
        """
        if isinstance(reason, Unkept) and not self._drop:
            raise Broken(f"environment {index} of {self._name} {reason}{SAFE}") from reason
        return reason

    def _looked_at(self, values: Any, field: str = "obs") -> Any:
        if self._drop and (self._inexact or field == "reward") and not np.isfinite(values).all():
            numbers = np.ravel(values)
            raise Lost(f"gave {numbers[np.argmax(~np.isfinite(numbers))]} as {field}")
        return values

    def _replace(self, lost: dict[int, Lost]) -> None:
        """New environments for those that are lost, each with a seed of its own.

        Raises:
          Broken: one is lost again and again.
        """
        for i, reason in lost.items():
            while reason is not None:
                self.lost_so_far += 1
                self._in_a_row[i] = 1 if self._sound[i] >= STEPS_BETWEEN else self._in_a_row[i] + 1
                self._sound[i] = 0
                if self._in_a_row[i] > IN_A_ROW:
                    raise Broken(
                        f"environment {i} of {self._name} was lost {self._in_a_row[i]} times in a row, the last time it"
                        f" {reason}; the last checkpoint is good, and --resume goes on from it"
                    ) from reason
                self._report(
                    f"environment {i} of {self._name} {reason}: another takes its place, and its episode counts as"
                    f" truncated ({self.lost_so_far} so far)"
                )
                seat = self._seats[i]
                seat.close()
                drawn = np.random.SeedSequence([self._seed, i, self.lost_so_far]).generate_state(1)[0]
                seat.begin(int(drawn >> 2))
                try:
                    self._obs[i] = self._looked_at(seat.begun(self._deadline()))
                    reason = None
                except Lost as again:
                    reason = self._allowed(i, again)
