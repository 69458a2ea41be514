"""How the programs of others are told: what `minatar_own.py` and `stream_own.py` share. It wants nothing of qtwin's."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from script import absent, keep_row, parse, read_rows, skipped, where_from

WINDOW = 50_000  # [frames]


def begun(parser: argparse.ArgumentParser, checkouts: dict[str, str], modules: tuple[str, ...]) -> argparse.Namespace:
    """Reads the options; ends the process where there is nothing to run.

    Args:
      parser: whose positional arguments are the checkouts.
      checkouts: the positional arguments, and the repository that each is a checkout of.
      modules: what has to be installed.

    Raises:
      SystemExit: with 0 for ``--show``, and for ``--smoke`` where a checkout or a module is missing; with 2 where a
        checkout is not given.
    """
    for name, repository in checkouts.items():
        parser.add_argument(name, type=Path, nargs="?", help=f"a checkout of {repository}")
    args = parse(parser)
    if args.show:
        shown(args.out)
        raise SystemExit(0)
    missing = [repository for name, repository in checkouts.items() if getattr(args, name) is None]
    if args.smoke and (missing or absent(*modules)):
        wanted = [f"a checkout of {repository}" for repository in missing] + absent(*modules)
        skipped(f"it needs {', '.join(wanted)}")
        raise SystemExit(0)
    if missing:
        parser.error(f"it needs a checkout of {' and of '.join(missing)}; see --help")
    args.frames = 2 * WINDOW if args.smoke else args.frames
    return args


def shown(results: Path) -> None:
    """Prints what was measured, or that nothing was."""
    for name, row in read_rows(results).items():
        print(f"{name}: torch {row['torch']}, {row['frames'] / row['seconds']:.0f} frames a second")
        for end, mean in row["curve"]:
            print(f"{end:9,d} frames  {mean:.2f}")
    print(where_from(results))


def tell(results: Path, name: str, returns: list[float], ended: list[int], frames: int, seconds: float) -> None:
    """Prints and keeps the mean return of the episodes that ended in each window.

    Args:
      results: the file to keep it in.
      name: which run it was.
      returns: of each episode.
      ended: the frame that each ended with.
      frames: of the whole run.
      seconds: that it took.
    """
    import numpy as np

    returns, ended = np.array(returns), np.array(ended)
    ends = range(WINDOW, frames + 1, WINDOW)
    curve = [[end, float(returns[(ended > end - WINDOW) & (ended <= end)].mean())] for end in ends]
    torch = importlib.metadata.version("torch")
    keep_row(results, name, {"frames": frames, "curve": curve, "torch": torch, "seconds": seconds})
    shown(results)
