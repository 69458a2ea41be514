"""What is shown on a terminal, in a pipe or in a file: losing it never ends a run. Read without importing JAX."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

LEFT = (errno.EPIPE, errno.EBADF, errno.EIO)  # its reader went away: a pipe, a closed stream, a terminal


class Outliving:
    """A text stream whose reader may go away, or whose disk may be full: what comes then is lost.

    Attributes:
      lost: the error with which it was lost; None while it works.
    """

    def __init__(self, stream: Callable[[], TextIO | None]):
        """Stands before a stream.

        Args:
          stream: gives it; asked for at each write, for `sys.stderr` may be replaced.
        """
        self._stream, self.lost = stream, None

    def write(self, text: str) -> int:
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        stream = self._stream()
        try:
            return self.lost is None and stream is not None and stream.isatty()
        except ValueError:  # closed
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)

    def _try(self, action: Callable[[TextIO], object]) -> None:
        stream = self._stream()
        if self.lost is not None or stream is None:
            return
        try:
            action(stream)
        except (OSError, ValueError) as error:  # a ValueError where it has been closed
            self.lost = error
            with contextlib.suppress(OSError, ValueError):  # what is left in its buffer must not fail again at the end
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


@contextlib.contextmanager
def outliving() -> Iterator[None]:
    """``sys.stdout`` and ``sys.stderr`` stand behind an `Outliving` each; characters they cannot hold are escaped.

    Output that is lost for another reason than that nobody reads it any more is told in a line on standard error.
    """
    reserve()
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")
    out, err = (Outliving(lambda stream=stream: stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        if isinstance(out.lost, OSError) and out.lost.errno not in LEFT:
            reason = out.lost.strerror or out.lost
            err.write(f"qtwin: standard output cannot be written ({reason}); what was to be shown there is lost\n")
        err.flush()
        if (sys.stdout, sys.stderr) == (out, err):
            sys.stdout, sys.stderr = before


def reserve() -> None:
    """Opens the standard descriptors that are closed: else the next file would get their number, and what a library
    writes to standard error would land in it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)


def console() -> Console:
    """Standard output, on which names stand as they are: no markup, no emoji for ``:smile:``, no colours."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def safe(text: str) -> str:
    """``text`` with what would move the cursor or change the terminal escaped; lines stay lines."""
    if text.replace("\n", " ").isprintable():
        return text
    shown = (each if each.isprintable() or each == "\n" else each.encode("unicode_escape") for each in text)
    return "".join(each if isinstance(each, str) else each.decode() for each in shown)
