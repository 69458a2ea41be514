"""Files that outlive a crash, and files that somebody else may have written. Read without importing JAX."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from qtwin.errors import Refusal, Unusable

CHUNK = 2**20  # bytes that are hashed at a time
LARGEST_JSON = 16 * 2**20  # bytes; a manifest of a replay of 100 GB takes two of them


def write_flushed(path: Path, data: bytes | memoryview) -> None:
    """Writes a new file and returns when it is on the disk, not only in the system's memory."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes) -> None:
    """Writes a file aside and renames it: whoever reads it, whenever the power fails, finds the old one or the new."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_flushed(aside, data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def give_name(aside: Path, path: Path) -> None:
    """Gives a finished file its name, and unlike a rename never takes the place of another file.

    Raises:
      FileExistsError: there is one of that name.
    """
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(f"there is already a file {path}") from None
        os.replace(aside, path)


def sync_folder(folder: Path) -> None:
    """Returns when the names in a folder are on the disk; where the system cannot say so, at once."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(opened)
    except OSError:
        pass  # some network file systems refuse it for a folder
    finally:
        os.close(opened)


def open_regular(path: str | Path, limit: int | None = None) -> BinaryIO:
    """Opens a file to be read. Everything that the package reads back is opened here.

    A link is followed, but only to a regular file: a FIFO would keep its reader waiting for ever, and a device has no
    end. Nothing has been read or allocated when this returns.

    Args:
      path: the file.
      limit: its greatest size, None for any. [bytes]

    Raises:
      OSError: it cannot be opened.
      Unusable: it is no regular file, or larger than ``limit``; the message names it.
    """
    _regular(path, os.stat(path))  # before it is opened: opening a device may do something already
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    opened = os.open(path, flags)
    try:
        found = os.fstat(opened)
        _regular(path, found)
        if limit is not None and found.st_size > limit:
            raise Unusable(f"{path} has {found.st_size:,} bytes, and at most {limit:,} are expected")
        return os.fdopen(opened, "rb")
    except BaseException:
        os.close(opened)
        raise


def _regular(path: str | Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kinds = {"a directory": stat.S_ISDIR, "a FIFO (named pipe)": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    kind = next((name for name, is_one in kinds.items() if is_one(found.st_mode)), "a device")
    raise Unusable(f"{path} is {kind}, and a regular file is expected")


def size_of(file: BinaryIO) -> int:
    """The size of an open file. [bytes]"""
    return os.fstat(file.fileno()).st_size


def read_bytes(path: str | Path, limit: int) -> bytes:
    """What a file holds, at most ``limit`` bytes; raises as `open_regular` does."""
    with open_regular(path, limit) as file:
        return file.read(size_of(file))


def read_end(path: str | Path, count: int) -> str:
    """The last ``count`` bytes of a file as text; what is no UTF-8 is replaced."""
    with open_regular(path) as file:
        file.seek(max(0, size_of(file) - count))
        return file.read(count).decode("utf-8", errors="replace")


def sha256_of(path: str | Path, size: int | None = None) -> str:
    """A file's SHA-256, read piece by piece.

    Args:
      path: the file.
      size: that it is expected to have, None where that is not known. [bytes]

    Raises:
      OSError: it cannot be read.
      Unusable: it is no regular file, or of another size; nothing of it has been read then.
    """
    with open_regular(path) as file:
        if size is not None and size_of(file) != size:
            raise Unusable(f"{path} has {size_of(file):,} bytes, and {size:,} are expected")
        found, left = hashlib.sha256(), size_of(file)
        while left and (piece := file.read(min(CHUNK, left))):
            found.update(piece)
            left -= len(piece)
    return found.hexdigest()


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no regular file, no JSON, larger than ``LARGEST_JSON``, or nested too deeply.
    """
    return parse_json(read_bytes(path, LARGEST_JSON))


def parse_json(data: bytes) -> Any:
    """``data`` as JSON in UTF-8; raises a ValueError where it is none, or nested too deeply."""
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """The working directory is afterwards what it was before, whatever has changed it."""
    try:
        before = os.getcwd()
    except OSError:
        before = None
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                os.chdir(before)


def new_file(path: str | Path) -> Path:
    """The path of a data set to be written; refuses one that exists or whose directory does not."""
    path = Path(path)
    if path.exists():
        raise Refusal(f"there is already a file '{path}'; write --out with a new name")
    if not path.absolute().parent.is_dir():
        raise Refusal(f"the directory '{path.parent}' for the data set '{path.name}' does not exist; make it first")
    return path
