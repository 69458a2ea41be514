"""Runs pytest many times without importing the libraries anew: each time in a fork of one process that has them.

    python -c "import forks; forks.main()" LIBRARY ...

runs in the root of a tree and reads a request a line on stdin, and writes an answer a line on stdout.

A request is ``{"words": [...], "limit": seconds, "bytecode": whether to write it}``, an answer ``{"code": exit code,
"told": output}``, with code null where the limit passed. Nothing of qtwin is imported before the fork, and no JAX
backend is begun: its threads would not be in the fork. gymnax is left to the forks for that reason.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback


def forked(words: list[str], limit: float, bytecode: bool) -> dict:
    with tempfile.TemporaryFile() as told:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDONLY)
            for descriptor, at in ((nothing, 0), (told.fileno(), 1), (told.fileno(), 2)):
                os.dup2(descriptor, at)
            sys.dont_write_bytecode = not bytecode
            code = 3
            try:
                code = int(sys.modules["pytest"].main(words))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = finished(child, limit)
        told.seek(0)
        return {"code": code, "told": told.read().decode(errors="replace")}


def finished(child: int, limit: float) -> int | None:
    """The exit code of a child, negative for a signal; None where it had to be ended with all that it began."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main() -> None:
    sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "tests")]
    importlib.import_module("conftest")  # what it sets has to stand before JAX is imported
    for library in ("pytest", *sys.argv[1:]):
        importlib.import_module(library)
    known = sys.modules.get("jax._src.xla_bridge")
    if "qtwin" in sys.modules or (known and known._backends):
        raise SystemExit("something that must not be shared was imported before the fork")
    for line in sys.stdin:
        print(json.dumps(forked(**json.loads(line))), flush=True)
