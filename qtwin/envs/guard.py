"""A guard around environments in Python: what breaks the contract is found at once, named, and never stored.

Read without importing JAX.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from qtwin.envs.base import HostEnv, Outcome, for_evaluation
from qtwin.envs.exits import INSIDE, contained, told
from qtwin.errors import Broken, Diverged, Refusal
from qtwin.types import Array

MODES = ("sync", "async")
ON_NAN = ("stop", "drop")
RESUME = "; the last checkpoint is good, and --resume goes on from it"
NO_WATCHDOG = contextlib.nullcontext()
LOOK = 1000  # steps from one look at shapes and types to the next: they do not change from one step to another


class Care(NamedTuple):
    """What is done about environments in Python that go wrong.

    Attributes:
      timeout: seconds that a step or a reset may take; None for as long as it likes.
      mode: "sync" steps them in this process, "async" each in a process of its own, where one that raises, dies or
        hangs is replaced (`qtwin.envs.supervised`).
      on_nan: "stop" ends the run at a reward or an observation that is no finite number; "drop" stores nothing of it
        and goes on with another environment.
    """

    timeout: float | None = None
    mode: str = "sync"
    on_nan: str = "stop"

    @property
    def replaces(self) -> bool:
        """Is an environment that is lost replaced?"""
        return self.mode == "async" or self.on_nan == "drop"


class Guarded:
    """A `HostEnv` that checks another one: shapes, types, finite numbers, ends of episodes, and that it answers."""

    def __init__(self, env: HostEnv, timeout: float | None = None, hung: Callable[[str], None] | None = None):
        """Takes an environment over.

        Args:
          env: the environments.
          timeout: seconds that a step or a reset may take; None for as long as it likes.
          hung: is told, in a sentence, that it took longer; ends the process if left out, for a step that hangs in this
            process can be left in no other way.
        """
        self._env, self.spec, self.num_envs = env, env.spec, env.num_envs
        self.ragged = getattr(env, "ragged", False)
        self.replaces = getattr(env, "replaces", False)
        self._steps = 0
        self._inexact = np.issubdtype(np.dtype(env.spec.obs_dtype), np.inexact)
        self._watchdog = Watchdog(timeout, self.spec.id, hung or leave) if timeout else None

    @property
    def fresh(self) -> Array | None:
        return getattr(self._env, "fresh", None)

    @property
    def lost(self) -> Array | None:
        return getattr(self._env, "lost", None)

    @property
    def lost_so_far(self) -> int:
        return getattr(self._env, "lost_so_far", 0)

    @property
    def score(self) -> Any:
        return getattr(self._env, "score", None)

    def reset(self, seed: int) -> Array:
        obs = self._call("reset", self._env.reset, seed)
        self._steps = 0
        self._shaped("obs", obs, (self.num_envs, *self.spec.obs_shape), self.spec.obs_dtype)
        self._finite("obs", obs, None)
        return obs

    def step(self, actions: Array) -> tuple[Array, Outcome, Array | None]:
        obs, outcome, valid = self._call("step", self._env.step, actions)
        self._steps += 1
        if self._steps % LOOK == 1:
            self._check(obs, outcome, valid)
        self._finite("reward", outcome.reward, valid)
        if self._inexact:
            self._finite("next_obs", outcome.next_obs, valid)
            if outcome.next_obs is not obs:
                self._finite("obs", obs, None)
        return obs, outcome, valid

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.close()
        try:
            with contained(self.spec.id, "close"):
                self._env.close()
        except (Refusal, Broken, Diverged):
            raise
        except Exception as error:
            raise Broken(f"{self.spec.id} raised {type(error).__name__} in close: {_line(error)}{RESUME}") from error

    def _call(self, what: str, function: Callable, argument: Any) -> Any:
        try:
            with INSIDE, self._watchdog or NO_WATCHDOG:
                return function(argument)
        except (Refusal, Broken, Diverged):
            raise
        except SystemExit as exit:
            reason = f"{told(exit)} in {what} {self._steps + 1:,}, and an environment must not end the process"
            raise Broken(f"{self.spec.id} {reason}{RESUME}") from exit
        except Exception as error:
            reason = f"raised {type(error).__name__} in {what} {self._steps + 1:,}: {_line(error)}"
            raise Broken(f"{self.spec.id} {reason}{RESUME}") from error

    def _check(self, obs: Array, outcome: Outcome, valid: Array | None) -> None:
        count, shape = (self.num_envs,), (self.num_envs, *self.spec.obs_shape)
        self._shaped("obs", obs, shape, self.spec.obs_dtype)
        self._shaped("next_obs", outcome.next_obs, shape, self.spec.obs_dtype)
        self._shaped("reward", outcome.reward, count, "float32")
        self._shaped("discount", outcome.discount, count, "float32")
        self._shaped("last", outcome.last, count, "bool")
        if valid is not None:
            self._shaped("valid", valid, count, "bool")
        if not np.isin(outcome.discount, (0.0, 1.0)).all():
            self._broken("0 or 1", "discount", outcome.discount)
        if ((outcome.discount == 0) & ~outcome.last).any():
            self._broken("the end of the episode", "last where discount is 0", False)

    def _shaped(self, field: str, array: Any, shape: tuple[int, ...], dtype: str) -> None:
        found = getattr(array, "shape", None), getattr(array, "dtype", None)
        if found != (shape, np.dtype(dtype)):
            came = type(array).__name__ if found[0] is None else f"{found[1]}{list(found[0])}"
            self._broken(f"{dtype}{list(shape)}", field, came)

    def _broken(self, expected: str, field: str, came: Any) -> None:
        raise Broken(
            f"{self.spec.id} is expected to have {expected} as {field} at step {self._steps:,}, and {came} came"
        )

    def _finite(self, field: str, column: Array, counts: Array | None) -> None:
        if np.isfinite(column.sum(dtype=np.float64)):
            return  # one pass; a sum in double precision of single-precision numbers does not overflow
        bad = ~np.isfinite(column).reshape(self.num_envs, -1).all(axis=1)
        bad = bad if counts is None else bad & counts
        if bad.any():
            index = int(np.argmax(bad))
            numbers = column[index].ravel()
            value = numbers[np.argmax(~np.isfinite(numbers))]
            raise Broken(
                f"environment {index} of {self.spec.id} gave {value} as {field} at step {self._steps:,}, and finite"
                " numbers are needed; nothing of it is stored, and the last checkpoint is good"
            )


def guarded(make_env: Callable[[int], HostEnv], timeout: float | None = None) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv`` of the caller's own, with a guard around what it makes; for evaluation likewise.

    Args:
      make_env: makes them.
      timeout: seconds that a step or a reset may take; None for as long as it likes.
    """

    def around(make: Callable[[int], HostEnv]) -> Callable[[int], HostEnv]:
        def made(envs: int) -> HostEnv:
            with contained("the environment", "its constructor"):
                env = make(envs)
            return env if isinstance(env, Guarded) else Guarded(env, timeout)

        return made

    made = around(make_env)
    made.evaluation = around(for_evaluation(make_env))
    return made


class Watchdog:
    """Notices when a call in this process does not come back. One thread, which only looks at a clock."""

    def __init__(self, seconds: float, name: str, hung: Callable[[str], None]):
        self._seconds, self._name, self._hung = seconds, name, hung
        self._since: float | None = None  # of a clock that never goes back
        self._closed = threading.Event()
        threading.Thread(target=self._look, daemon=True, name="qtwin-watchdog").start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *exc_info) -> None:
        self._since = None

    def close(self) -> None:
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(min(1.0, self._seconds / 4)):
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds:
                self._hung(
                    f"{self._name} has not come back from a step for {self._seconds:g} s (--env-timeout); the last"
                    " checkpoint is good, and --resume goes on from it"
                )
                return


def leave(message: str) -> None:
    """Ends the process at once: the thread that hangs can be neither stopped nor waited for."""
    print(f"qtwin: {message}", file=sys.stderr, flush=True)
    os._exit(1)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
