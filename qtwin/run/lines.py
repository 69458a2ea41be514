"""Files of lines that grow with a run and rotate: ``metrics.jsonl`` is the newest part, ``metrics-0001.jsonl`` the
oldest. Nothing is thrown away; no part grows beyond what an editor opens. Read without importing JAX.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from qtwin.files import replace

LARGEST = 16 * 2**20  # bytes of a part


def parts(file: Path) -> list[Path]:
    """The parts that there are, the oldest first and ``file`` itself last."""
    name = re.compile(rf"{re.escape(file.stem)}-\d{{4,}}{re.escape(file.suffix)}")
    there = file.parent.iterdir() if file.parent.is_dir() else ()
    return sorted(each for each in there if name.fullmatch(each.name)) + ([file] if file.exists() else [])


def append(file: Path, text: str, flushed: bool = True) -> None:
    """Adds whole lines; a part that would grow too large is put aside first.

    Args:
      file: the newest part.
      text: the lines.
      flushed: returns when they are on the disk.

    Raises:
      OSError: not all of it could be written.
    """
    size = file.stat().st_size if file.exists() else 0
    if size and size + len(text.encode()) > LARGEST:
        os.replace(file, _part(file, len(parts(file))))
    with open(file, "a") as opened:
        opened.write(text)
        if flushed:
            opened.flush()
            os.fsync(opened.fileno())


def anew(file: Path, lines: Iterable[str]) -> None:
    """Puts exactly these lines in place of what there is.

    Raises:
      OSError: not all of it could be written.
    """
    groups, size = [[]], 0
    for line in lines:
        if groups[-1] and size + len(line.encode()) > LARGEST:
            groups.append([])
            size = 0
        groups[-1].append(line)
        size += len(line.encode())
    before = [part for part in parts(file) if part != file]
    for number, group in enumerate(groups[:-1], 1):
        replace(_part(file, number), "".join(group).encode())
    replace(file, "".join(groups[-1]).encode())
    for stale in before[len(groups) - 1 :]:
        stale.unlink()


def _part(file: Path, number: int) -> Path:
    return file.with_name(f"{file.stem}-{number:04}{file.suffix}")
