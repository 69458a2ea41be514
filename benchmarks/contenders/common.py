"""What every contender shares. Standard library only: it is read by the interpreters of four environments."""

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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from script import ROOT, absent, options, parse, skipped

RECIPE = {"widths": (120, 84), "batch": 128, "replay": 10_000, "learning_rate": 2.5e-4, "discount": 0.99}
SINGLE_THREADED = "--xla_cpu_multi_thread_eigen=false"
TRIED_OUT = []  # not empty where --smoke was said


def arguments(description: str, transitions: int, measured_by: str) -> argparse.ArgumentParser:
    """The options that every contender has; each adds its own.

    Args:
      description: its first line is what ``--help`` says.
      transitions: how many are timed, unless ``--transitions`` says otherwise.
      measured_by: the script under benchmarks/ that runs this contender, and shows its result.
    """
    parser = options(description)
    parser.add_argument("--transitions", type=int, default=transitions, help="timed transitions (per seed)")
    parser.set_defaults(measured_by=measured_by)
    return parser


def begun(parser: argparse.ArgumentParser, needs: dict[str, str], smoke: int) -> argparse.Namespace:
    """Reads the options; ends the process where there is nothing to run.

    Args:
      parser: of `arguments`.
      needs: the modules that it imports, and the packages that they come from.
      smoke: the timed transitions of ``--smoke``.

    Raises:
      SystemExit: with 0 for ``--show``, and for ``--smoke`` where a package is missing.
    """
    args = parse(parser)
    if args.show:
        print(f"its numbers stand in the result of another script: python benchmarks/{args.measured_by} --show")
        raise SystemExit(0)
    if args.smoke:
        TRIED_OUT.append(True)
        args.transitions = smoke
        if missing := absent(*needs):
            names = [needs[module] for module in missing]
            skipped(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not installed")
            raise SystemExit(0)
    return args


def before_jax(flags: str | None = SINGLE_THREADED) -> None:
    """Settles what XLA reads once, when JAX is first imported, and lets ``qtwin`` be imported from this checkout.

    What is only tried out compiles as the shell says.
    """
    sys.path.insert(0, str(ROOT))
    if TRIED_OUT:
        return
    os.environ.pop("XLA_FLAGS", None)
    if flags:
        os.environ["XLA_FLAGS"] = flags
    os.environ["JAX_PLATFORMS"] = "cpu"


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
