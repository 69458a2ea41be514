"""An environment that ends the process: noticed, so that no run ends with exit code 0 and without a word.

Read without importing JAX.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from qtwin.errors import Broken

_EXIT = os._exit  # the real one, whatever stands in its place later


class Exited(SystemExit):
    """`os._exit` was called inside an environment."""


class Inside:
    """``with INSIDE:`` around a call of an environment: `os._exit` raises `Exited` there instead of ending the process.

    Other threads, forked children and the package itself still end the process; another thread's 0 becomes a 1. The
    real function is back as soon as no thread is inside. There is no lock, for every step comes through here: of two
    threads at the very same moment, one may be without protection until its next step.
    """

    def __init__(self):
        self._depth: dict[int, int] = {}  # by thread; each writes its own entry only
        self._pid, self._stand_in = 0, self._exit

    def __enter__(self) -> None:
        thread = threading.get_ident()
        self._depth[thread] = self._depth.get(thread, 0) + 1
        if os._exit is not self._stand_in:
            self._pid, os._exit = os.getpid(), self._stand_in

    def __exit__(self, *exc_info) -> None:
        thread = threading.get_ident()
        depth = self._depth[thread] - 1
        if depth:
            self._depth[thread] = depth
            return
        del self._depth[thread]
        if not self._depth:
            os._exit = _EXIT

    def _exit(self, status: int = 0) -> None:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if os.getpid() == self._pid and not caller.startswith("qtwin."):
            if threading.get_ident() in self._depth:
                raise Exited(status)
            print(f"qtwin: {caller} called os._exit({status}) beside an environment", file=sys.stderr, flush=True)
            status = status or 1
        _EXIT(status)


INSIDE = Inside()


def told(exit: SystemExit) -> str:
    """``raised SystemExit(0)``, or ``called os._exit(0)``."""
    return f"called os._exit({exit.code})" if isinstance(exit, Exited) else f"raised SystemExit({exit.code!r})"


@contextmanager
def contained(name: str, what: str) -> Iterator[None]:
    """Around a call of an environment that is no step: an exit becomes an error.

    Args:
      name: the environment's.
      what: it was doing, for the message.

    Raises:
      Broken: it asked for the end of the process.
    """
    try:
        with INSIDE:
            yield
    except SystemExit as exit:
        raise Broken(f"{name} {told(exit)} in {what}, and an environment must not end the process") from exit
