"""One run directory, one process: a lock that the system lets go of when its holder dies, however it dies.

Read without importing JAX.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from pathlib import Path

from qtwin.errors import Broken, Refusal
from qtwin.request.run_directory import LOCK

try:
    import fcntl
except ImportError:  # not on Windows, where a run directory is not locked
    fcntl = None


class Lock:
    """Holds a run directory while it is written to; a context manager.

    The lock is the system's (``flock``): it goes with the process, so that one left behind by a killed run, on this
    boot or another, binds nobody. The file's text only says who holds it.

    Attributes:
      out: the directory.
    """

    def __init__(self, out: Path, what: str = "run"):
        """Takes the directory, which is made where there is none.

        Args:
          out: the directory.
          what: is written there, for the message: "run" or "comparison".

        Raises:
          Refusal: another process holds it, which is named.
        """
        self.out = out
        self._made = [each for each in (out, *out.parents) if not each.exists()]
        self._file, self._opened = out / LOCK, None
        while True:
            out.mkdir(parents=True, exist_ok=True)
            if fcntl is None:
                return
            self._opened = _open(self._file)
            if who := _taken(self._opened):
                self._close()
                ours = who.startswith(f"process {os.getpid()} on {socket.gethostname()} ")
                what_to_do = "that is this process: close its session first" if ours else "wait for it or stop it"
                raise Refusal(f"the {what} in {out} is under way in {who}; {what_to_do}, or write another --out")
            if _is_there(self._file, self._opened):
                break
            self._close()  # its last holder has removed the file between the opening and the locking
        os.ftruncate(self._opened, 0)
        began = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(self._opened, f"process {os.getpid()} on {socket.gethostname()} since {began}\n".encode())

    def _close(self) -> None:
        os.close(self._opened)
        self._opened = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc_info) -> None:
        """Lets go of the directory; one that was made for a run that never began goes too."""
        if self._opened is not None:
            if self._made and self.held() and os.listdir(self.out) == [LOCK]:
                self._file.unlink(missing_ok=True)
            self._close()
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return

    def held(self) -> bool:
        """Is the locked file still the one in the directory? Not where the directory was removed, or made anew."""
        return fcntl is None or (self._opened is not None and _is_there(self._file, self._opened))

    def again(self) -> None:
        """Takes a directory again that was removed while it was held.

        Raises:
          Broken: another process has it now.
          OSError: it cannot be made.
        """
        if self.held():
            return
        try:
            taken = Lock(self.out)
        except Refusal as refusal:
            raise Broken(f"{self.out} was removed during the run, and now {refusal}") from None
        old, self._opened, taken._opened = self._opened, taken._opened, None
        if old is not None:
            os.close(old)


def holder(out: Path) -> str | None:
    """The process that holds a directory, in words; None where nobody does."""
    if fcntl is None or not (out / LOCK).is_file():
        return None
    opened = _open(out / LOCK)
    try:
        return _taken(opened)
    finally:
        os.close(opened)


def _open(file: Path) -> int:
    try:  # never through a link: what it leads to would be written over
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Refusal(f"{file} is a link, and nothing is written through one; write another --out") from None
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return opened
    os.close(opened)
    raise Refusal(f"{file} is no regular file, so the directory cannot be locked; write another --out")


def _taken(opened: int) -> str | None:
    """Takes the lock; where another process has it, who that is."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return os.read(opened, 200).decode(errors="replace").strip() or "another process"
    return None


def _is_there(file: Path, opened: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(opened))
    except OSError:
        return False
