"""A comparison: the cells of a grid as runs over the cores, going on where it stopped. Read without importing JAX."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

from qtwin.errors import Refusal, Unusable
from qtwin.lab.grid import Cell, Protocol, price_group, write_plan
from qtwin.lab.here import Here, price_here, run_here
from qtwin.lab.results import Summary, read_summary
from qtwin.lab.schedule import Ended, Job, cores, result, run_all, stops
from qtwin.measure.statistics import described
from qtwin.request.run_directory import stay_inside
from qtwin.run.lock import Lock
from qtwin.run.logs import read_points
from qtwin.storage.files import read_end, read_json, replace
from qtwin.storage.reading import plain, problem
from qtwin.storage.schemas import PRICE
from qtwin.storage.sizes import counted

PRICED = 6  # groups of cells whose cost is measured; any more are taken to cost as much as the dearest
START_SECONDS = 5.0  # of a process, before it compiles
COMPILED = 2.0  # times the three processes' own compilation: evaluations and diagnostics are compiled as well
BESIDE = 1.15  # what evaluations, diagnostics and checkpoints add to the three processes


def done(folder: Path, cell: Cell) -> bool:
    """The cell has run to its end, and what it came to can be read."""
    return summary_of(folder, cell).found is not None


def summary_of(folder: Path, cell: Cell) -> Summary:
    return read_summary(folder / "cells" / cell.folder, len(cell.request.seeds))


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


def prices(folder: Path, cells: list[Cell], say, asked: list[int]) -> dict[str, dict] | None:
    """What a step costs in each group of cells, measured where that has not been done; None after a signal."""
    known = known_prices(folder / "prices.json")
    groups = {price_group(cell.request.config): cell for cell in cells if not done(folder, cell)}
    unknown = [group for group in groups if group not in known]
    if unknown:
        say(f"measuring what a cell costs ({min(len(unknown), PRICED)} of {len(unknown)} kinds, a few seconds each)")
    for group in unknown[:PRICED]:
        if groups[group].here:
            known[group] = price_here(groups[group])
            continue
        code, told, errors = result(["price", *groups[group].words], cores()[:1], asked)
        if asked:
            return None
        price = _parsed(told) if code == 0 else None
        if price is None:
            last = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
            raise Refusal(f"the cell {groups[group].label} cannot be run: {plain(last)[:300]}")
        known[group] = price
        replace(folder / "prices.json", (json.dumps(known, indent=1) + "\n").encode())
    dearest = max(known.values(), key=lambda price: price["per_step"], default=None)
    return {group: known.get(group, dearest) for group in groups}


def known_prices(file: Path) -> dict[str, dict]:
    """The prices that have been measured; what cannot be read is measured again."""
    try:
        known = read_json(file)
    except (OSError, ValueError):
        return {}
    known = known if isinstance(known, dict) else {}
    return {group: price for group, price in known.items() if problem(price, PRICE) is None}


def _parsed(told: str) -> dict | None:
    """The last line that is a price; the environment may have printed more."""
    for line in reversed(told.splitlines()):
        try:
            price = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if problem(price, PRICE) is None:
            return price
    return None


def estimate(folder: Path, cells: list[Cell], known: dict[str, dict]) -> float:
    """Seconds that the rest of the grid will take on these cores."""
    apart = here = 0.0
    for cell in cells:
        left = left_of(folder, cell)
        if left:
            price = known[price_group(cell.request.config)]
            steps = left * cell.request.config.steps * len(cell.request.seeds)
            seconds = COMPILED * price["compile"] + steps * price["per_step"] * BESIDE
            if cell.here:  # its seeds run side by side
                here += seconds / min(len(cores()), len(cell.request.seeds))
            else:
                apart += START_SECONDS + seconds
    return apart / workers(known, cells, folder) + here


def workers(known: dict[str, dict], cells: list[Cell], folder: Path) -> int:
    """Cells that run at the same time: one for each core, but one alone on an accelerator."""
    if any(price["platform"] != "cpu" for price in known.values()):
        return 1
    return max(1, min(len(cores()), sum(not done(folder, cell) for cell in cells)))


def run(
    folder: Path, protocol: Protocol, cells: list[Cell], command: str, budget_minutes: float | None, quiet: bool
) -> int:
    """Runs what is left of a grid and writes its table, ``compare.json`` and ``report.html``; returns the exit code.

    One process at a time works on a comparison: it holds the lock of its directory. Nothing is deleted there; a cell
    that was begun goes on, from its last checkpoint if it has one. The cells end with this process.

    Raises:
      Refusal: another process works on it, or the rest would take longer than the budget; nothing is run then.
    """
    from qtwin.lab.report import conclude

    say = _outliving(quiet)
    if (folder / "config.json").exists():
        raise Refusal(f"--out {folder} holds a run; write another --out")
    with Lock(folder, "comparison"), stops() as asked:
        stay_inside(folder)
        write_plan(folder, protocol, cells, command)
        left = [cell for cell in cells if not done(folder, cell)]
        grid = f"{counted(len(cells), 'cell')} of {counted(protocol.seeds, 'seed')}"
        say(f"{grid} in {folder}, {len(cells) - len(left)} of them done")
        code, began = 0, time.perf_counter()
        known = prices(folder, cells, say, asked) if left else {}
        if left and known is not None:
            seconds, at_once = estimate(folder, cells, known), workers(known, cells, folder)
            say(f"estimate: about {_minutes(seconds)} on {at_once} of {len(cores())} cores")
            _within(budget_minutes, seconds, protocol, cells)
            code = _run_cells(folder, left, at_once, asked, say)
        conclude(folder, say)
        if left:
            say(f"ran for {_minutes(time.perf_counter() - began)}")
        if asked:
            say("stopped; the same command goes on from the last checkpoints")
            return 128 + asked[0]
        return code


def _outliving(quiet: bool):
    """Says a line on standard output; where its reader has gone away, the comparison goes on without."""
    gone = quiet

    def say(text: str) -> None:
        nonlocal gone
        if gone:
            return
        try:
            print(text, flush=True)
        except (OSError, ValueError):
            gone = True
            try:  # what is left in its buffer must not fail again when the process ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except (OSError, ValueError):
                return

    return say


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


def _run_cells(folder: Path, left: list[Cell], at_once: int, asked: list[int], say) -> int:
    """Runs cells; returns 1 if one of them failed, else 0."""
    apart, failed = [cell for cell in left if not cell.here], 0
    jobs = [_job(folder, cell) for cell in apart]
    cells = {job.run: cell for job, cell in zip(jobs, apart, strict=True)}

    def tell(ended: Ended) -> None:
        nonlocal failed
        failed += _tell(folder, cells[ended.job.run], ended, say)

    run_all(jobs, at_once, asked, tell, say)
    for cell in left:
        if cell.here and not asked:
            failed += _tell_here(folder, cell, run_here(folder / "cells" / cell.folder, cell, asked), say)
    return 1 if failed else 0


def _job(folder: Path, cell: Cell) -> Job:
    run = folder / "cells" / cell.folder

    def words() -> list[str]:  # one that was stopped before its first checkpoint begins anew in the same directory
        resumes = ["--resume"] if (run / "config.json").exists() else []
        return ["train", *cell.words, "--out", str(run), "--quiet", *resumes]

    return Job(cell.label, run, words, run.with_name(f"{cell.folder}.log"))


def _tell(folder: Path, cell: Cell, ended: Ended, say) -> bool:
    """Says how a cell ended; returns whether it failed."""
    if ended.who:
        say(f"{cell.label}: not run, for its directory is still in use by {plain(ended.who)}")
        return True
    summary = summary_of(folder, cell)
    if ended.code == 0 and summary.found is not None:
        say(f"{cell.label}: {described(summary.found['eval_return'])} in {_minutes(ended.seconds)}")
        return False
    try:
        told = read_end(ended.job.log, 2**16).strip().splitlines()
    except (OSError, Unusable):
        told = []
    last = summary.wrong if ended.code == 0 else (told or ["nothing was said"])[-1]
    say(f"{cell.label}: failed with exit code {ended.code}: {plain(last)[:300]}")
    return True


def _tell_here(folder: Path, cell: Cell, ended: Here, say) -> bool:
    """The same of a cell that ran in this process."""
    if ended.stopped:
        return False
    summary = summary_of(folder, cell)
    if not ended.wrong and summary.found is not None:
        say(f"{cell.label}: {described(summary.found['eval_return'])} in {_minutes(ended.seconds)}")
        return False
    told = f"{cell.label}: failed: {plain(ended.wrong or summary.wrong)[:300]}"
    log = folder / "cells" / f"{cell.folder}.log"  # where a process writes why it failed
    log.parent.mkdir(parents=True, exist_ok=True)
    replace(log, f"{told}\n".encode())
    say(told)
    return True


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
