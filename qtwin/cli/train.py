"""``qtwin train``. Read without importing JAX."""

from __future__ import annotations

import argparse
import sys

from qtwin.interrupts import importing
from qtwin.request.command_line import request_of
from qtwin.storage.console import safe


def train(arguments: argparse.Namespace) -> int:
    with importing():
        request = request_of(arguments)
        from qtwin.run.train import run
    for note in () if request.quiet else request.notes:
        print(f"note: {safe(note)}", file=sys.stderr)
    return run(request)
