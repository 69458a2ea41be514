"""Files that outlive a crash, and files that somebody else may have written. Read without importing JAX."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

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


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no JSON, larger than ``LARGEST_JSON``, or nested too deeply.
    """
    size = path.stat().st_size
    if size > LARGEST_JSON:
        raise ValueError(f"{size} bytes where at most {LARGEST_JSON} are expected")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
