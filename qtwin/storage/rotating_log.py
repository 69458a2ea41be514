"""Files of lines that grow with a run and rotate: ``metrics.jsonl`` is the newest part, ``metrics-0001.jsonl`` the
oldest. Nothing is thrown away; no part grows beyond what an editor opens. Read without importing JAX.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.errors import Unusable
from qtwin.storage.files import parse_json, read_bytes, replace
from qtwin.storage.reading import problem

LARGEST = 16 * 2**20  # bytes of a part


class Log(NamedTuple):
    """What a file of lines with its parts holds.

    Attributes:
      points: the lines that are as they should be, in order.
      gaps: how many lines, or whole parts, are left out because they are damaged.
      first: what is wrong with the first of them, in words; "" where there is none.
    """

    points: list[dict]
    gaps: int = 0
    first: str = ""


def parts(file: Path) -> list[Path]:
    """The parts that there are, the oldest first and ``file`` itself last."""
    name = re.compile(rf"{re.escape(file.stem)}-\d{{4,}}{re.escape(file.suffix)}")
    there = file.parent.iterdir() if file.parent.is_dir() else ()
    return sorted(each for each in there if name.fullmatch(each.name)) + ([file] if file.exists() else [])


def read_log(file: Path, kind: Any) -> Log:
    """Reads a file of lines with its parts.

    A line that is no JSON, is not of ``kind``, or whose "cycles" do not come after those of the line before is left out
    and counted. A last line without its end was cut short by a stop and is no damage.

    Args:
      file: the newest part.
      kind: what each line must hold (`qtwin.storage.schemas`), "cycles" among it.
    """
    points, gaps, first = [], 0, ""
    for part in parts(file):
        try:
            # A line that is longer than a part stands in a part of its own.
            text = read_bytes(part, 2 * LARGEST)
        except (Unusable, OSError) as error:
            wrong = str(error) if isinstance(error, Unusable) else f"{part} cannot be read ({error.strerror})"
            gaps, first = gaps + 1, first or wrong
            continue
        *whole, cut = text.split(b"\n")
        for number, line in enumerate((*whole, cut), 1):
            found, wrong = _parsed(line, kind, points[-1]["cycles"] if points else -1) if line else (None, "")
            if found is not None:
                points.append(found)
            elif wrong and number <= len(whole):
                gaps, first = gaps + 1, first or f"{part.name}, line {number}: {wrong}"
    return Log(points, gaps, first)


def _parsed(line: bytes, kind: Any, after: int) -> tuple[dict | None, str]:
    try:
        found = parse_json(line)
    except ValueError as error:
        return None, f"no JSON ({str(error)[:80]})"
    if wrong := problem(found, kind):
        return None, wrong
    if found["cycles"] <= after:
        return None, f"'cycles' {found['cycles']} come after {after}"
    return found, ""


def told(log: Log) -> str:
    """What is left out of a log, in one sentence; "" where nothing is."""
    if not log.gaps:
        return ""
    return f"{log.gaps} damaged line{'s' * (log.gaps > 1)} of the log left out ({log.first})"


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
    with open(file, "a", encoding="utf-8") as opened:
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
