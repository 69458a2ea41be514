"""A comparison: the cells of a grid as runs over the cores, going on where it stopped. Read without importing JAX."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from qtwin.errors import Refusal
from qtwin.files import read_json
from qtwin.lab.grid import Cell, Protocol, price_group, write_plan
from qtwin.place import stay_inside
from qtwin.run.logs import read_points

PRICED = 6  # groups of cells whose cost is measured; any more are taken to cost as much as the dearest
START_SECONDS = 5.0  # of a process, before it compiles
COMPILED = 2.0  # times the three processes' own compilation: evaluations and diagnostics are compiled as well
BESIDE = 1.15  # what evaluations, diagnostics and checkpoints add to the three processes
POLL_SECONDS = 0.5


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def done(folder: Path, cell: Cell) -> bool:
    """The cell has run to its end."""
    return (folder / "cells" / cell.folder / "summary.json").is_file()


def left_of(folder: Path, cell: Cell) -> float:
    """The share of a cell's steps that is still to be run, 0 where it is done."""
    run = folder / "cells" / cell.folder
    if done(folder, cell):
        return 0.0
    points = read_points(run / "metrics.jsonl") if (run / "checkpoints").is_dir() else []
    if not points:
        return 1.0
    steps = points[-1]["transitions"] or points[-1]["gradient_steps"]
    return max(0.0, 1.0 - steps / cell.request.config.steps)


def prices(folder: Path, cells: list[Cell], say) -> dict[str, dict]:
    """What a step costs in each group of cells, measured where that has not been done."""
    file = folder / "prices.json"
    try:
        known = read_json(file)
    except (OSError, ValueError):
        known = {}
    known = known if isinstance(known, dict) else {}
    groups = {price_group(cell.request.config): cell for cell in cells if not done(folder, cell)}
    unknown = [group for group in groups if group not in known]
    if unknown:
        say(f"measuring what a cell costs ({min(len(unknown), PRICED)} of {len(unknown)} kinds, a few seconds each)")
    for group in unknown[:PRICED]:
        command = [sys.executable, "-m", "qtwin.lab.price", *groups[group].words]
        came = _on(cores()[:1], lambda c=command: subprocess.run(c, capture_output=True, text=True))
        if came.returncode:
            raise Refusal(f"the cell {groups[group].label} cannot be run: {came.stderr.strip().splitlines()[-1][:300]}")
        known[group] = json.loads(came.stdout.strip().splitlines()[-1])
        file.write_text(json.dumps(known, indent=1) + "\n")
    dearest = max(known.values(), key=lambda price: price["per_step"], default=None)
    return {group: known.get(group, dearest) for group in groups}


def estimate(folder: Path, cells: list[Cell], known: dict[str, dict]) -> float:
    """Seconds that the rest of the grid will take on these cores."""
    total = 0.0
    for cell in cells:
        left = left_of(folder, cell)
        if left:
            price = known[price_group(cell.request.config)]
            steps = left * cell.request.config.steps * len(cell.request.seeds)
            total += START_SECONDS + COMPILED * price["compile"] + steps * price["per_step"] * BESIDE
    return total / workers(known, cells, folder)


def workers(known: dict[str, dict], cells: list[Cell], folder: Path) -> int:
    """Cells that run at the same time: one for each core, but one alone on an accelerator."""
    if any(price["platform"] != "cpu" for price in known.values()):
        return 1
    return max(1, min(len(cores()), sum(not done(folder, cell) for cell in cells)))


def run(
    folder: Path, protocol: Protocol, cells: list[Cell], command: str, budget_minutes: float | None, quiet: bool
) -> int:
    """Runs what is left of a grid and writes its table, ``compare.json`` and ``report.html``; returns the exit code.

    Raises:
      Refusal: the rest would take longer than the budget; nothing is run then.
    """
    from qtwin.lab.results import conclude

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    stay_inside(folder)
    write_plan(folder, protocol, cells, command)
    left = [cell for cell in cells if not done(folder, cell)]
    say(f"{len(cells)} cells of {protocol.seeds} seeds in {folder}, {len(cells) - len(left)} of them done")
    code, began = 0, time.perf_counter()
    if left:
        known = prices(folder, cells, say)
        seconds = estimate(folder, cells, known)
        say(f"estimate: about {_minutes(seconds)} on {workers(known, cells, folder)} of {len(cores())} cores")
        _within(budget_minutes, seconds, protocol, cells)
        code = _schedule(folder, left, workers(known, cells, folder), say)
    conclude(folder, quiet)
    if left:
        say(f"ran for {_minutes(time.perf_counter() - began)}")
    return code


def _within(budget_minutes: float | None, seconds: float, protocol: Protocol, cells: list[Cell]) -> None:
    if budget_minutes is None or seconds <= 60 * budget_minutes:
        return
    share = 60 * budget_minutes / seconds
    fewer = max(1, math.floor(share * protocol.seeds))
    steps = max(1000, int(share * cells[0].request.config.steps) // 1000 * 1000)
    instead = f"--seeds {fewer}" if fewer >= 3 else f"--steps {steps}"
    raise Refusal(
        f"the grid would take about {_minutes(seconds)} and the budget is {budget_minutes:g} minutes; write for example"
        f" {instead}, fewer values, or --budget {math.ceil(seconds / 60)}"
    )


def _schedule(folder: Path, left: list[Cell], at_once: int, say) -> int:
    """Runs cells, ``at_once`` of them at a time on cores of their own; a signal stops them at their checkpoints."""
    mine, shares = cores(), []
    for i in range(at_once):
        shares.append(mine[i::at_once])
    waiting, running, failed, asked = list(left), {}, 0, []

    def ask(number, frame):
        del frame
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while (waiting or running) and not asked:
            free = [i for i in range(at_once) if i not in running]
            while waiting and free:
                cell, slot = waiting.pop(0), free.pop(0)
                running[slot] = cell, _start(folder, cell, shares[slot]), time.perf_counter()
            time.sleep(POLL_SECONDS)
            for slot, (cell, process, since) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[slot]
                failed += _tell(folder, cell, process.returncode, time.perf_counter() - since, say)
    finally:
        for _, process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        for _, process, _ in running.values():
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        say("stopped; the same command goes on from the last checkpoints")
        return 128 + asked[0]
    return 1 if failed else 0


def _start(folder: Path, cell: Cell, on: list[int]) -> subprocess.Popen:
    run, log = folder / "cells" / cell.folder, folder / "cells" / f"{cell.folder}.log"
    run.parent.mkdir(parents=True, exist_ok=True)
    resumes = any((run / "checkpoints").glob("cycle-*"))
    if not resumes and run.exists():  # begun, and stopped before its first checkpoint
        shutil.rmtree(run)
    words = [*cell.words, "--out", str(run), "--quiet", *(["--resume"] if resumes else [])]
    command = [sys.executable, "-m", "qtwin", "train", *words]
    with open(log, "w") as told:
        # A session of its own: a Ctrl-C at the terminal comes here, and from here to the cells.
        return _on(on, lambda: subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True))


def _tell(folder: Path, cell: Cell, code: int, seconds: float, say) -> bool:
    """Says how a cell ended; returns whether it failed."""
    if code == 0:
        summary = read_json(folder / "cells" / cell.folder / "summary.json")
        low, high = summary["eval_return_interval"]
        say(f"{cell.label}: {summary['eval_return_iqm']:.1f} [{low:.1f}, {high:.1f}] in {_minutes(seconds)}")
        return False
    lines = (folder / "cells" / f"{cell.folder}.log").read_text().strip().splitlines() or ["nothing was said"]
    say(f"{cell.label}: failed with exit code {code}: {lines[-1][:300]}")
    return True


def _on(on: list[int], start):
    """``start()`` with the process it begins on these cores alone, which is how it knows how many it may use."""
    if not hasattr(os, "sched_setaffinity"):
        return start()
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, on)
    try:
        return start()
    finally:
        os.sched_setaffinity(0, whole)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
