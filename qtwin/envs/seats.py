"""Where one environment of Gymnasium sits: in this process, or in one of its own. Read without importing JAX.

Both are asked in two halves, ``begin`` and ``begun``, ``send`` and ``receive``, so that many can work at the same time.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from qtwin.envs.edge import Edge
from qtwin.envs.exits import told
from qtwin.errors import Broken

# Not "fork": a forked copy of a process that runs JAX's threads may wait for ever on one of their locks.
CONTEXT = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)


class Lost(Exception):
    """An environment is lost; the message says how."""


class Unkept(Lost):
    """It gave what breaks the contract."""


class Here:
    """An environment in this process."""

    def __init__(self, make: Callable[[], gym.Env]):
        self._make, self._env = make, None

    def begin(self, seed: int) -> None:
        """Asks for a new episode, of a new environment where the last one was lost."""
        self._seed = seed

    def begun(self, deadline: float | None) -> Any:
        """Its first observation."""
        del deadline
        try:
            self._env = self._env or Edge(self._make())
            return self._env.reset(seed=self._seed)[0]
        except Broken as broken:
            raise Unkept(str(broken)) from broken
        except (Exception, SystemExit) as error:
            raise Lost(f"{_said(error)} in reset") from error

    def send(self, action: Any) -> None:
        self._action = action

    def receive(self, deadline: float | None) -> tuple:
        del deadline
        try:
            return _stepped(self._env, self._action)
        except Broken as broken:
            raise Unkept(str(broken)) from broken
        except (Exception, SystemExit) as error:
            raise Lost(f"{_said(error)} in step") from error

    def close(self) -> None:
        env, self._env = self._env, None
        try:
            if env is not None:
                env.close()
        except (Exception, SystemExit):
            return  # it is lost anyway


class Apart:
    """An environment in a process of its own."""

    def __init__(self, make: Callable[[], gym.Env]):
        self._make, self._process = make, None

    def begin(self, seed: int) -> None:
        if self._process is None:
            self._pipe, other = CONTEXT.Pipe()
            self._process = CONTEXT.Process(target=_serve, args=(other, self._make), daemon=True)
            self._process.start()
            other.close()  # so that the pipe ends when the process does
        self._tell("reset", seed)

    def begun(self, deadline: float | None) -> Any:
        return self._hear(deadline, "reset")

    def send(self, action: Any) -> None:
        self._tell("step", action)

    def receive(self, deadline: float | None) -> tuple:
        return self._hear(deadline, "step")

    def close(self) -> None:
        if self._process is None:
            return
        self._process.kill()  # one that hangs takes no other signal
        self._process.join()
        self._pipe.close()
        self._process = None

    def _tell(self, what: str, argument: Any) -> None:
        try:
            self._pipe.send((what, argument))
        except OSError:
            return  # it has died, which is noticed when it should answer

    def _hear(self, deadline: float | None, what: str) -> Any:
        try:
            if not self._pipe.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
                raise Lost(f"has not come back from a {what} in time (--env-timeout)")
            kind, found = self._pipe.recv()
        except (EOFError, OSError):
            raise Lost(self._died()) from None
        if kind == "gave":
            raise Unkept(found)
        if kind == "raised":
            raise Lost(f"{found} in {what}")
        return found

    def _died(self) -> str:
        self._process.join(1.0)
        return f"died (exit code {self._process.exitcode})"


def _serve(pipe: Any, make: Callable[[], gym.Env]) -> None:
    """The process of an environment: does what it is told until the pipe ends."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal's go to every process; the run's own decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    env = None
    while True:
        try:
            what, argument = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            env = env or Edge(make())
            pipe.send(("done", env.reset(seed=argument)[0] if what == "reset" else _stepped(env, argument)))
        except Broken as broken:
            pipe.send(("gave", str(broken)))
        except (Exception, SystemExit) as error:
            pipe.send(("raised", _said(error)))


def _stepped(env: gym.Env, action: Any) -> tuple:
    """``(obs, reward, terminated, truncated, fresh)``: the first observation of the next episode, where one ended."""
    obs, reward, terminated, truncated, _ = env.step(action)
    return obs, reward, terminated, truncated, env.reset()[0] if terminated or truncated else None


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return told(error)
    line = (str(error).splitlines() or [""])[0][:200]
    return f"raised {type(error).__name__}: {line}" if line else f"raised {type(error).__name__}"
