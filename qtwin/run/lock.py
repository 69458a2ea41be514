"""One run directory, one process: a lock that the system lets go of when its holder dies, however it dies.

Read without importing JAX.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

from qtwin.errors import Refusal
from qtwin.place import LOCK

try:
    import fcntl
except ImportError:  # not on Windows, where a run directory is not locked
    fcntl = None


class Lock:
    """Holds a run directory while it is written to; a context manager.

    The lock is the system's (``flock``): it goes with the process, so that one left behind by a killed run, on this
    boot or another, binds nobody. The file's text only says who holds it.
    """

    def __init__(self, out: Path):
        """Takes the directory, which is made where there is none.

        Raises:
          Refusal: another process holds it, which is named.
        """
        self._made = [each for each in (out, *out.parents) if not each.exists()]
        out.mkdir(parents=True, exist_ok=True)
        self._file, self._opened = out / LOCK, None
        if fcntl is None:
            return
        try:  # never through a link: what it leads to would be written over
            self._opened = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Refusal(f"{self._file} is a link, and nothing is written through one; write another --out") from None
        try:
            fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = os.read(self._opened, 200).decode(errors="replace").strip() or "another process"
            os.close(self._opened)
            self._opened = None
            raise Refusal(
                f"the run in {out} is under way in {who}; wait for it or stop it, or write another --out"
            ) from None
        os.ftruncate(self._opened, 0)
        began = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(self._opened, f"process {os.getpid()} on {socket.gethostname()} since {began}\n".encode())

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc_info) -> None:
        """Lets go of the directory; one that was made for a run that never began goes too."""
        if self._opened is not None:
            if self._made and os.listdir(self._file.parent) == [LOCK]:
                self._file.unlink(missing_ok=True)
            os.close(self._opened)
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return
