"""What every contender shares. Standard library only: it is read by the interpreters of three environments."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

RECIPE = {"widths": (120, 84), "batch": 128, "replay": 10_000, "learning_rate": 2.5e-4, "discount": 0.99}
SINGLE_THREADED = "--xla_cpu_multi_thread_eigen=false"


def arguments(description: str, transitions: int) -> argparse.ArgumentParser:
    """The option every contender has; each adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--transitions", type=int, default=transitions, help="timed transitions (per seed)")
    return parser


def before_jax(flags: str | None = SINGLE_THREADED) -> None:
    """Settles what XLA reads once, when JAX is first imported, and lets ``qtwin`` be imported from this checkout."""
    os.environ.pop("XLA_FLAGS", None)
    if flags:
        os.environ["XLA_FLAGS"] = flags
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes by the wall clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(contender: str, transitions: int, seconds: float, packages: tuple[str, ...], **more: object) -> None:
    """Prints the one line of JSON that ``speed.py`` reads, as the last line of the output."""
    line = {
        "contender": contender,
        "transitions": transitions,
        "seconds": seconds,
        "transitions_per_second": transitions / seconds,
        **more,
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
    }
    print(json.dumps(line), flush=True)
