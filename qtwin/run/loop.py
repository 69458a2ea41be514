"""The training loop around the cycle: log points, evaluations, checkpoints, a clean stop."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qtwin.engine.fleet import Fleet
from qtwin.engine.played import cut_in_words
from qtwin.errors import Diverged
from qtwin.interrupts import Interrupts, Stopped
from qtwin.processes.nonfinite import finite_returns, stop_if_broken
from qtwin.rates import Cycle, Plan
from qtwin.request.retention import parse_checkpoints
from qtwin.run.logs import Logs, Screen, mean
from qtwin.types import Clock

BAD_IN_A_ROW = 10  # updates that could not be applied, one after another, until the run goes back
RETRY_SECONDS = 30.0  # of training, until a checkpoint that could not be written is tried again
PIECE_SECONDS = 1.0  # how long the loop is away in compiled code, so that a stop or a bar never waits long


class Marks(NamedTuple):
    """Where the run pauses, in cycles.

    Attributes:
      logs: an evaluation and a log point.
      checkpoints: a checkpoint.
      looks: a look at the twin between log points.
    """

    logs: frozenset[int]
    checkpoints: frozenset[int]
    looks: frozenset[int] = frozenset()


def marks(plan: Plan, log_points: int, checkpoints: str) -> Marks:
    """The pauses, evenly spaced; the last of each is the end. They depend on the request alone, never on a stop.

    Args:
      plan: the whole run.
      log_points: how many.
      checkpoints: how many, or ``every:N`` (`qtwin.request.retention.parse_checkpoints`).
    """
    cycles, turn = plan.cycles, plan.cycle

    def even(count: int) -> frozenset[int]:
        count = max(1, min(count, cycles))
        return frozenset(cycles * (k + 1) // count for k in range(count))

    count, apart = parse_checkpoints(checkpoints)
    if apart is None:
        return Marks(even(log_points), even(count))
    step = max(1, apart // (turn.transitions or turn.gradient_steps))
    return Marks(even(log_points), frozenset([*range(step, cycles, step), cycles]))


class Watch(NamedTuple):
    """What the loop does when something goes wrong.

    Attributes:
      save: ``cycles -> bool``, writes a checkpoint; False where it could not be written.
      go_back: ``why -> cycles``, to the newest good checkpoint; raises `qtwin.errors.Diverged` where that was done.
      settle: writes the newest checkpoint as it is without a stop, when the log point that belongs to it has been made
        up for.
      ensure: makes the run's directory again where it has been removed; returns whether it had to.
    """

    save: Callable[[int], bool]
    go_back: Callable[[str], int]
    settle: Callable[[], None] = lambda: None
    ensure: Callable[[], bool] = lambda: False


def loop(
    fleet: Fleet,
    plan: Plan,
    pauses: Marks,
    screen: Screen,
    logs: Logs | None,
    watch: Watch | None,
    start: int = 0,
    describe: Callable[[int], dict] | None = None,
    measure: Callable[[Fleet, int, np.ndarray, float, float], dict] | None = None,
    score: str = "eval_return",
    look: Callable[[int], None] | None = None,
    interrupts: Interrupts | None = None,
) -> float:
    """Turns the cycle from ``start`` to the end of the plan.

    Args:
      fleet: the seeds.
      plan: how many cycles.
      pauses: where to pause.
      screen: the progress.
      logs: where log points go; None keeps none.
      watch: checkpoints; None keeps none.
      start: cycles already turned.
      describe: ``transitions -> dict``, more for a log point (the present epsilon).
      measure: makes a log point of what an evaluation gave, as `log_point` does, which it is if left out.
      score: the log point's number that the screen shows.
      look: ``cycles -> None``, takes a look at the twin.
      interrupts: handles signals, and has begun to; if left out they are handled here, for as long as the loop turns.

    Returns:
      the seconds spent in the three processes.

    Raises:
      Stopped: after a signal, when the checkpoint is written; also where the budget is spent, for what follows takes
        time as well.
      Diverged: `BAD_IN_A_ROW` updates one after another could not be applied, and going back has not helped.
      Broken: an environment gave what is no finite number; nothing has been saved since.
    """
    turn, done, spent = plan.cycle, start, 0.0
    speed, shown, piece, retry_at, skipped = 0.0, None, 1, None, 0
    if logs is not None and logs.points:
        spent = logs.points[-1].get("seconds", 0.0)
    since, since_cycles = spent, start

    def report(interrupts: Interrupts) -> None:
        nonlocal shown, since, since_cycles
        try:
            returns = interrupts.breakable(lambda: fleet.evaluate(done))
        except Stopped:
            return  # the log point is made when the run goes on
        if measure is None:
            finite_returns(returns, fleet.name)
        if cut := cut_in_words(sum(fleet.cut()), returns.size, fleet.eval_max_steps):
            screen.say(cut)
        point = (measure or log_point)(fleet, done, returns, spent, speed)
        if describe is not None:
            point |= describe(point["transitions"])
        shown, since, since_cycles = mean(point[score]), spent, done
        if logs is not None:
            logs.write(point)
        _show(screen, fleet, done, shown, speed)

    with contextlib.nullcontext(interrupts) if interrupts else Interrupts() as interrupts:
        if start and logs is not None and watch is not None:
            if done in pauses.logs and (not logs.points or logs.points[-1]["cycles"] < done):
                report(interrupts)  # stopped between the checkpoint and its log point
                interrupts.check()
                if done == plan.cycles:
                    watch.settle()
            elif logs.points and logs.points[-1]["cycles"] == done:
                fleet.take_tallies()  # a checkpoint from before its log point, which has been made up for since
        while done < plan.cycles:
            if done == 0:
                spent += _warm_up(fleet, turn, interrupts)
            goal = min(mark for mark in pauses.logs | pauses.checkpoints | pauses.looks if mark > done)
            while done < goal and interrupts.asked is None:
                cycles = min(piece, goal - done)
                interrupts.hold()
                began = time.perf_counter()
                fleet.advance(cycles)
                fleet.wait()
                took = time.perf_counter() - began
                spent, done = spent + took, done + cycles
                # Grows at most eightfold at a time: the first pieces are short, and may have been slow for reasons of
                # their own.
                piece = max(1, min(8 * piece, int(cycles * PIECE_SECONDS / max(took, 1e-6))))
                per_cycle = (turn.transitions or turn.gradient_steps) * len(fleet.seeds)
                speed = (done - since_cycles) * per_cycle / max(spent - since, 1e-9)
                _show(screen, fleet, done, shown, speed)
                bad, skipped = _look_at_faults(fleet, screen, skipped)
                if bad is not None:
                    if watch is None:
                        raise Diverged(f"{bad}; try a smaller learning rate")
                    done = since_cycles = watch.go_back(bad)
                    since, skipped = spent, 0
                    break
                if watch is not None and watch.ensure():
                    retry_at = spent  # its checkpoints are gone
                if watch is not None and retry_at is not None and spent >= retry_at:
                    retry_at = None if watch.save(done) else spent + RETRY_SECONDS
            else:
                if look is not None and done in pauses.looks and done == goal:
                    look(done)
                if done in pauses.logs and done == goal:
                    report(interrupts)
                if watch is not None and (done in pauses.checkpoints or interrupts.asked is not None):
                    retry_at = None if watch.save(done) else spent + RETRY_SECONDS
                    if interrupts.asked is not None and retry_at is not None:
                        name = signal.Signals(interrupts.asked).name
                        screen.say(f"{name} has come: the run stops now, and can go on from the checkpoint before")
                interrupts.check()
    return spent


def _warm_up(fleet: Fleet, turn: Cycle, interrupts: Interrupts) -> float:
    """Gathers what the warm-up lacks, a second's worth at a time; returns the seconds it took."""
    began, piece = time.perf_counter(), 1
    left = turn.warmup_vector_steps - fleet.clocks()[0].transitions // turn.envs
    while left > 0 and interrupts.asked is None:
        steps, before = min(piece, left), time.perf_counter()
        interrupts.hold()
        fleet.warm_up(steps)
        fleet.wait()
        stop_if_broken(fleet.faults(), fleet.seeds, fleet.name)
        left -= steps
        piece = max(1, min(64 * piece, int(steps * PIECE_SECONDS / max(time.perf_counter() - before, 1e-6))))
    return time.perf_counter() - began


def _look_at_faults(fleet: Fleet, screen: Screen, seen: int) -> tuple[str | None, int]:
    """What is wrong, if so many updates in a row were not applied that it is, and how many were not applied in all."""
    faults = fleet.faults()
    stop_if_broken(faults, fleet.seeds, fleet.name)
    for seed, fault in zip(fleet.seeds, faults, strict=True):
        if fault.longest >= BAD_IN_A_ROW:
            return (
                f"seed {seed}: {fault.longest} updates in a row had a loss or gradient that was no finite number"
                " (none was applied)"
            ), seen
    total = sum(fault.skipped for fault in faults)
    if total > seen:
        screen.say(f"{total - seen} updates were not applied, for their loss or gradient was no finite number")
    return None, total


def _show(screen: Screen, fleet: Fleet, done: int, value: float | None, speed: float) -> None:
    clocks = fleet.clocks()
    screen.update(done, clocks[0].transitions, clocks[0].gradient_steps, moves(clocks), value, speed)


def moves(clocks: list[Clock]) -> int | list[int]:
    """Moves of the target: one number where all seeds agree (all but ``until`` do), else one per seed."""
    counts = [clock.target_updates for clock in clocks]
    return counts[0] if len(set(counts)) == 1 else counts


def log_point(fleet: Fleet, cycles: int, returns: np.ndarray, spent: float, speed: float) -> dict:
    """One object of ``metrics.jsonl``; each list has one number per seed, None where nothing happened."""

    def per(total, count) -> float | None:
        return float(total) / int(count) if int(count) else None

    tallies, clocks = fleet.take_tallies(), fleet.clocks()
    beside = {}
    if tallies[0].self_loss is not None:
        beside = {"self_loss": [per(t.self_loss, t.gradient_steps) for t in tallies]}
    for name, counts in (("lost_environments", fleet.lost()), ("eval_cut", fleet.cut())):
        if any(counts):
            beside[name] = counts
    return {
        "cycles": cycles,
        "transitions": clocks[0].transitions,
        "gradient_steps": clocks[0].gradient_steps,
        "target_updates": moves(clocks),
        "seconds": round(spent, 3),
        "transitions_per_second": round(speed, 1),
        "eval_return": [float(r) for r in returns.mean(axis=1)],
        "train_return": [per(t.returns, t.episodes) for t in tallies],
        "train_length": [per(t.lengths, t.episodes) for t in tallies],
        "episodes": [int(t.episodes) for t in tallies],
        "loss": [per(t.loss, t.gradient_steps) for t in tallies],
        "q": [per(t.q, t.gradient_steps) for t in tallies],
        "td_error": [per(t.td_error, t.gradient_steps) for t in tallies],
        **beside,
        "skipped_updates": [fault.skipped for fault in fleet.faults()],
        "twin_distance": [float(d) for d in fleet.twin_distances()],
    }
