"""The processes of a comparison: cells over the cores, each ending with it. Read without importing JAX."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qtwin.run.lock import holder

CELL = (sys.executable, "-m", "qtwin.cli.cell")
POLL_SECONDS = 0.2
HELD_SECONDS = 180.0  # that a cell is waited for which a process of an earlier comparison still holds


class Job(NamedTuple):
    """A run to be started.

    Attributes:
      name: is told.
      run: its directory.
      words: of `qtwin.cli.cell`, found when it starts.
      log: what it says goes there.
    """

    name: str
    run: Path
    words: Callable[[], Sequence[str]]
    log: Path


class Ended(NamedTuple):
    """How a job ended.

    Attributes:
      job: which.
      code: its exit code; None where it could not start.
      seconds: that it took.
      who: holds its directory, where that is why it could not start.
    """

    job: Job
    code: int | None
    seconds: float
    who: str = ""


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextlib.contextmanager
def stops() -> Iterator[list[int]]:
    """Gives the list of the signals that have asked to stop: SIGINT, SIGTERM, SIGHUP, unless they are ignored."""
    asked, before = [], {}

    def ask(number, frame):
        del frame
        asked.append(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:  # as nohup has it
            continue
        try:
            before[number] = signal.signal(number, ask)
        except ValueError:  # not the main thread: the caller's signals are the caller's
            break
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def begin(words: Sequence[str], on: list[int], out, err) -> subprocess.Popen:
    """Starts `qtwin.cli.cell` on these cores alone. It ends when this process does: that holds its standard input."""
    command = [*CELL, *words]
    # A session of its own: a Ctrl-C at the terminal comes here, and from here to the cells.
    return _on(
        on, lambda: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True)
    )


def result(words: Sequence[str], on: list[int], asked: list[int]) -> tuple[int | None, str, str]:
    """Runs `qtwin.cli.cell` to its end: its exit code (None where a signal has asked to stop), output and errors."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = begin(words, on, out, err)
        try:
            while process.poll() is None and not asked:
                time.sleep(0.05)
            code = process.poll()
        finally:
            end([process], asked)
        told = []
        for file in (out, err):
            file.seek(0)
            told.append(file.read(2**20).decode("utf-8", errors="replace"))
        return code, *told


def run_all(jobs: Sequence[Job], at_once: int, asked: list[int], tell: Callable[[Ended], None], say) -> None:
    """Runs jobs, ``at_once`` of them at a time on cores of their own; a signal stops them at their checkpoints.

    Args:
      jobs: one after another.
      at_once: how many at the same time.
      asked: is appended to by a signal that asks to stop.
      tell: is told of each that has ended.
      say: is told what is waited for.
    """
    mine = cores()
    shares = [mine[i::at_once] or mine for i in range(at_once)]
    waiting, running, held = list(jobs), {}, {}
    try:
        while (waiting or running) and not asked:
            for slot in range(at_once):
                if slot not in running and (job := _next(waiting, held, tell, say)):
                    running[slot] = job, _start(job, shares[slot]), time.perf_counter()
            time.sleep(POLL_SECONDS)
            for slot, (job, process, since) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    process.stdin.close()
                    tell(Ended(job, process.returncode, time.perf_counter() - since))
    finally:
        end([process for _, process, _ in running.values()], asked)


def _next(waiting: list[Job], held: dict, tell: Callable[[Ended], None], say) -> Job | None:
    """The first job whose directory is free, taken out of those that wait; one that stays held is given up."""
    for job in list(waiting):
        who, now = holder(job.run), time.perf_counter()
        if who is None:
            waiting.remove(job)
            return job
        if job.run not in held:
            held[job.run] = now
            say(f"{job.name}: its directory is in use by {who}; waiting for that to end")
        if now - held[job.run] > HELD_SECONDS:
            waiting.remove(job)
            tell(Ended(job, None, now - held[job.run], who))
    return None


def _start(job: Job, on: list[int]) -> subprocess.Popen:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "wb") as told:
        return begin(job.words(), on, told, told)


def end(processes: Sequence[subprocess.Popen], asked: list[int]) -> None:
    """Asks processes to stop and waits until they have; another signal meanwhile ends them at once."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    before = len(asked)
    while any(process.poll() is None for process in processes):
        if len(asked) > before:
            for process in processes:
                process.kill()
        time.sleep(0.05)
    for process in processes:
        process.stdin.close()


def _on(on: list[int], start: Callable[[], subprocess.Popen]) -> subprocess.Popen:
    """``start()`` with the process it begins on these cores alone, which is how it knows how many it may use."""
    if not hasattr(os, "sched_setaffinity"):
        return start()
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, on)
    try:
        return start()
    finally:
        os.sched_setaffinity(0, whole)
