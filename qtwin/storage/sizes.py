"""How much memory is free, and counts of bytes in words."""

from __future__ import annotations

import os
from pathlib import Path


def free_bytes() -> int | None:
    """Memory of this machine, and of this process's control group, that is free; None where that cannot be told."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        pass
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            group = Path("/sys/fs/cgroup")
            found.append(
                int((group / limit).read_text(encoding="utf-8")) - int((group / used).read_text(encoding="utf-8"))
            )
        except (OSError, ValueError):  # no such group, or "max"
            pass
    if found:
        return min(found)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def counted(count: int, what: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def size(count: int) -> str:
    """``7.08 GB`` for 7_078_000_000 bytes."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"
