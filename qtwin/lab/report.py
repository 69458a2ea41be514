"""What a comparison ends in: its table on the terminal, compare.json and the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qtwin.lab.grid import RESULTS
from qtwin.lab.results import collect
from qtwin.lab.table import missing, table
from qtwin.storage.files import replace
from qtwin.storage.reading import plain

PAGE = "report.html"


def conclude(folder: Path, say: Callable[[str], object]) -> dict:
    """Reads every cell that has run, writes ``compare.json`` and ``report.html``, says the table.

    Args:
      folder: the comparison's directory.
      say: is given each line.

    Returns:
      what ``compare.json`` holds.
    """
    from qtwin.lab.page import page

    found = collect(folder)
    replace(folder / RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    replace(folder / PAGE, page(found).encode())
    say("\n" + table(found))
    for sentence in found["findings"]:
        say(f"* {sentence}")
    for sentence in missing(found):
        say(f"! {sentence}")
    say(f"\ntable   {plain(str(folder / RESULTS))}\nreport  {plain(str(folder / PAGE))}")
    return found
