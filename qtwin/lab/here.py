"""Cells of a comparison that run in this process, for something in them was handed in from Python.

Read without importing JAX.
"""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import NamedTuple

from qtwin.errors import Broken, Diverged, Refusal
from qtwin.interrupts import Stopped
from qtwin.lab.grid import Cell


class Here(NamedTuple):
    """How a cell ended.

    Attributes:
      seconds: that it took.
      wrong: why it failed, in a sentence; "" where it did not.
      stopped: a signal came.
    """

    seconds: float
    wrong: str = ""
    stopped: bool = False


def price_here(cell: Cell) -> dict:
    """What a cell costs (`qtwin.lab.price.price`); a `Refusal` names the cell where it cannot be run."""
    from qtwin.lab.price import price_of

    try:
        return price_of(cell.request, len(cell.request.seeds))
    except Refusal as refusal:
        raise Refusal(f"the cell {cell.label} cannot be run: {refusal}") from refusal


def run_here(run: Path, cell: Cell, asked: list[int]) -> Here:
    """Runs a cell in its directory, or goes on with it there.

    Args:
      run: its directory.
      cell: what it is.
      asked: is told of a signal.
    """
    from qtwin.request.train import build
    from qtwin.run.train import execute

    began = time.perf_counter()
    try:
        goes_on = (run / "config.json").exists()
        execute(build(**cell.asked, out=str(run), resume=goes_on))
    except Stopped as stop:
        asked.append(stop.exit_code - 128)
        return Here(time.perf_counter() - began, stopped=True)
    except (Refusal, Broken, Diverged, OSError) as error:
        return Here(time.perf_counter() - began, str(error))
    except Exception as error:  # of the caller's own code: the other cells can still be compared
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = (str(error).splitlines() or [""])[0]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        return Here(time.perf_counter() - began, f"{type(error).__name__}: {line} ({place})")
    return Here(time.perf_counter() - began)
