"""What a signal does: SIGINT, SIGTERM and SIGHUP end a run at the next good moment, a second one at once.

Read without importing JAX, and with few other imports: `qtwin.cli.dispatch` needs it before anything else is imported.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # without importing typing, for the reason above
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

LOOK = 256  # polls from one look at whose handlers are installed to the next
NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
HANG_UP = getattr(signal, "SIGHUP", None)

_active: list[Interrupts] = []  # the innermost is the last; handlers belong to the process, so this does too


class Abandoned(BaseException):
    """A signal broke something off. Not an `Exception`: no environment is to be blamed for it, or to catch it."""


class Stopped(Exception):
    """The run was asked to stop by a signal, and has stopped.

    Attributes:
      exit_code: 128 and the signal's number, as a shell gives it.
    """

    def __init__(self, signal_number: int):
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")


class importing:
    """``with importing():`` a signal ends the process at once, with exit code 128 and its number.

    For the part of a command in which modules are imported and nothing is written: an exception raised there would come
    out as a traceback, or be lost in code that catches everything. A signal that is ignored stays ignored.
    """

    def __enter__(self) -> importing:
        self._before = {}
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if handler is None or handler is signal.SIG_IGN:
                continue
            try:
                self._before[number] = signal.signal(number, _leave)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, *exc_info) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def paused(self, action: Callable[[], T]) -> T:
        """``action()``, with signals handled as they were before."""
        self.__exit__()
        try:
            return action()
        finally:
            self.__enter__()


def _leave(number: int, frame: object) -> None:
    del frame
    try:
        sys.stdout.flush()
    finally:  # whatever the flush raises
        os._exit(128 + number)


class Interrupts:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a wish to stop; the next SIGINT or SIGTERM ends the process.

    SIGHUP stays ignored where it was ignored when this began (``nohup``). A repeated one ends nothing: a terminal that
    is closed often sends two.

    Attributes:
      asked: the number of the first signal; None before it.
      say: is told, in a sentence, when somebody else's handler has been replaced.
    """

    def __init__(self):
        self.asked: int | None = None
        self.say: Callable[[str], None] = lambda text: None
        self._breaks, self._polls = False, 0
        self._before, self._taken = {}, set()

    def __enter__(self) -> Interrupts:
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if number == HANG_UP and handler is signal.SIG_IGN:
                continue
            try:
                self._before[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread: the caller's signals are the caller's
                break
        self._second = _Second(self._before) if self._before and os.name == "posix" else None
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        _active.append(self)
        return self

    def __exit__(self, *exc_info) -> None:
        _active.remove(self)
        sys.unraisablehook = self._hook
        if self._second is not None:
            self._second.close()
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def check(self) -> None:
        """Raises `Stopped` if a signal has come."""
        if self.asked is not None:
            raise Stopped(self.asked)

    def breakable(self, action: Callable[[], T]) -> T:
        """``action()``, which a signal breaks off; for what is begun anew when the run is resumed.

        Raises:
          Stopped: a signal has come, before or meanwhile; whatever the action made of it.
        """
        self.check()
        self.hold()
        try:
            self._breaks = True
            found = action()
            self._breaks = False
        except BaseException:
            self._breaks = False
            self.check()
            raise
        self.check()
        return found

    def hold(self) -> None:
        """Puts the handlers back where somebody else, an environment for example, has installed others."""
        if self.asked is not None:
            return
        for number in self._before:
            if signal.getsignal(number) == self._handle:
                continue
            signal.signal(number, self._handle)
            if number not in self._taken:
                self._taken.add(number)
                self.say(
                    f"the handler of {signal.Signals(number).name} was replaced, perhaps by the environment; the run"
                    " has put its own back, which writes a checkpoint and ends the run"
                )

    def poll(self) -> None:
        """Raises `Abandoned` if a signal has come while something breakable is done, which may have caught the first.

        For loops in Python around code that is not ours.
        """
        if self._breaks and self.asked is not None:
            raise Abandoned
        self._polls += 1
        if self._polls % LOOK == 0:
            self.hold()

    def _handle(self, number: int, frame: object) -> None:
        del frame
        if self.asked is None:
            self.asked = number
        for each in self._before:
            signal.signal(each, signal.SIG_IGN if each == HANG_UP else signal.SIG_DFL)
        if self._breaks:
            raise Abandoned

    def _unraisable(self, unraisable) -> None:
        """An `Abandoned` raised where nothing can be raised, in a finaliser, is not shown: ``asked`` still holds."""
        if unraisable.exc_type is not Abandoned:
            self._hook(unraisable)


def poll() -> None:
    """`Interrupts.poll` of whoever handles signals now; nothing where nobody does."""
    if _active:
        _active[-1].poll()


def broken_off(command: Callable[[], int]) -> int:
    """A command that a signal breaks off at once: its exit code, or 128 and the signal's number."""
    try:
        with Interrupts() as interrupts:
            return interrupts.breakable(command)
    except Stopped as stop:
        print(f"qtwin: {stop}", file=sys.stderr)
        return stop.exit_code


class _Second:
    """Ends the process at a second signal that comes while the main thread is in compiled code for long.

    There Python's handlers wait, so that the first signal has not been handled yet. The system's half of a handler
    writes the signal's number into a pipe, which a thread reads.
    """

    def __init__(self, numbers):
        import threading

        self._numbers, self._pid = tuple(numbers), os.getpid()
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        self._write, self._before = write, signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._look, args=(self._read,), daemon=True, name="qtwin-signals").start()

    def close(self) -> None:
        ours = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._before if ours == self._write else ours)  # somebody else's in its place stays
        os.close(self._write)

    def _look(self, read: int) -> None:
        asked = False
        while data := os.read(read, 64):
            for number in data:
                if number in self._numbers:
                    if asked and number != HANG_UP:
                        os._exit(128 + number)
                    asked = True
        os.close(read)


def _forget() -> None:
    """In a forked child: its signals are none of the parent's."""
    if _active:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
