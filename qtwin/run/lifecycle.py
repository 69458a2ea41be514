"""One run, whatever it learns: its directory is locked and signals are handled, from the first import to the last file.

Read without importing JAX.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtwin.errors import Broken, Refusal
from qtwin.interrupts import Abandoned, Interrupts, Stopped
from qtwin.request.run_directory import anchored
from qtwin.request.run_options import RunOptions
from qtwin.run.lock import Lock
from qtwin.storage.console import reserve, safe

if TYPE_CHECKING:
    from qtwin.run.kind import Kind


def run(options: RunOptions, execute: Callable[[], dict], report: Callable[[dict, str], None]) -> int:
    """``execute()`` for the command line: tells how it ended, and returns the exit code.

    Args:
      options: the request.
      execute: gives what ``summary.json`` holds.
      report: ``summary, the run directory -> None``, shows a summary.
    """
    summary, code = ended(execute, options.out)
    if summary is not None and not options.quiet:
        report(summary, options.out)
    return code


def ended(run: Callable[[], dict], shown: str) -> tuple[dict | None, int]:
    """Runs to the end, and says on standard error what kept a run from its end.

    Args:
      run: gives what ``summary.json`` holds.
      shown: the run directory, as it was asked for.

    Returns:
      the summary, None without an end; and the exit code, 0 only with one.
    """
    out = Path(anchored(shown))
    try:
        return run(), 0
    except OSError as error:
        print(safe(f"qtwin: {error.filename or shown} cannot be written ({error.strerror or error})"), file=sys.stderr)
        return None, 1
    except Stopped as stop:
        goes_on = "nothing was trained"
        if (out / "config.json").is_file():
            goes_on = f"go on with --resume --out {shlex.quote(shown)}"
        print(safe(f"qtwin: {stop}; {goes_on}"), file=sys.stderr)
        return None, stop.exit_code


def execute(options: RunOptions, build: Callable[[Path, Interrupts], Kind]) -> dict:
    """Carries out a run and writes its directory.

    Args:
      options: the request.
      build: ``the run directory, interrupts -> Kind``: imports JAX, and makes what is trained.

    Returns:
      what ``summary.json`` holds.

    Raises:
      Refusal: the request was wrong; nothing is left behind.
      Stopped: a signal came; where training had begun, the checkpoint is written.
      Broken: something in the process asked for its end.
    """

    def carry_out(lock: Lock, interrupts: Interrupts) -> dict:
        began = time.perf_counter()
        from qtwin.run.carry_out import Life

        return Life(options, lock, interrupts, began).live(build(lock.out, interrupts))

    return alone(options, carry_out)


def alone(options: RunOptions, run: Callable[[Lock, Interrupts], dict]) -> dict:
    """``run``, with its directory locked and signals handled, from the first import to the last file.

    The directory's absolute path is settled here, ``lock.out``: an environment may change the working directory.

    Raises:
      Refusal: the directory is another run's.
      Stopped: a signal came.
      Broken: something in the process asked for its end.
    """
    reserve()
    out = Path(anchored(options.out))
    with Interrupts() as interrupts:
        try:
            with Lock(out) as lock:  # before JAX is imported: a second run is turned away at once
                if not options.resume and (out / "config.json").exists():
                    raise Refusal(
                        f"--out {options.out} holds another run; write another --out, or --resume to go on with it"
                    )
                return run(lock, interrupts)
        except Abandoned:
            raise Stopped(interrupts.asked) from None
        except SystemExit as exit:  # not an `Exception`, so that it would end the process as if all were well
            raise Broken(
                f"something in this process, perhaps the environment, raised SystemExit({exit.code}) before the run had"
                " ended; the last checkpoint is good, and --resume goes on from it"
            ) from exit
