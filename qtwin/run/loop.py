"""The training loop around the cycle: log points, evaluations, checkpoints, a clean stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qtwin.engine.fleet import Fleet
from qtwin.rates import Plan
from qtwin.run.logs import Logs, Screen, mean
from qtwin.types import Clock

PIECE_SECONDS = 1.0  # how long the loop is away in compiled code, so that a stop or a bar never waits long


class Stopped(Exception):
    """The run was asked to stop by a signal, after a checkpoint."""

    def __init__(self, signal_number: int):
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")


class Marks(NamedTuple):
    """Where the run pauses, in cycles.

    Attributes:
      logs: an evaluation and a log point.
      checkpoints: a checkpoint.
    """

    logs: frozenset[int]
    checkpoints: frozenset[int]


def marks(cycles: int, log_points: int, checkpoints: int) -> Marks:
    """Evenly spaced pauses; the last of each is the end. They depend on the budget alone, never on a stop."""

    def even(count: int) -> frozenset[int]:
        count = max(1, min(count, cycles))
        return frozenset(cycles * (k + 1) // count for k in range(count))

    return Marks(even(log_points), even(checkpoints))


class Interrupts:
    """Turns the first SIGINT or SIGTERM into a wish to stop; the second one ends the process at once."""

    def __init__(self):
        self.asked: int | None = None
        self._before = {}

    def __enter__(self) -> Interrupts:
        def handle(number, frame):
            del frame
            self.asked = number
            for each in self._before:
                signal.signal(each, signal.SIG_DFL)

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, handle)
            except ValueError:  # not the main thread: the caller's signals are the caller's
                break
        return self

    def __exit__(self, *exc_info) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def loop(
    fleet: Fleet,
    plan: Plan,
    pauses: Marks,
    screen: Screen,
    logs: Logs | None,
    save: Callable[[int], None] | None,
    start: int = 0,
    describe: Callable[[int], dict] | None = None,
    measure: Callable[[Fleet, int, np.ndarray, float, float], dict] | None = None,
    score: str = "eval_return",
) -> float:
    """Turns the cycle from ``start`` to the end of the plan.

    Args:
      fleet: the seeds.
      plan: how many cycles.
      pauses: where to pause.
      screen: the progress.
      logs: where log points go; None keeps none.
      save: ``cycles -> None``, writes a checkpoint; None keeps none.
      start: cycles already turned.
      describe: ``transitions -> dict``, more for a log point (the present epsilon).
      measure: makes a log point of what an evaluation gave, as `log_point` does, which it is if left out.
      score: the log point's number that the screen shows.

    Returns:
      the seconds spent in the three processes.

    Raises:
      Stopped: after a signal, when the checkpoint is written.
    """
    turn, done, spent = plan.cycle, start, 0.0
    speed, shown, piece = 0.0, None, 1
    if logs is not None and logs.points:
        spent = logs.points[-1]["seconds"]
    since, since_cycles = spent, start
    with Interrupts() as interrupts:
        if start == 0 and turn.warmup_vector_steps:
            began = time.perf_counter()
            fleet.warm_up(turn.warmup_vector_steps)
            fleet.wait()
            spent += time.perf_counter() - began
        while done < plan.cycles:
            goal = min(mark for mark in pauses.logs | pauses.checkpoints if mark > done)
            while done < goal and interrupts.asked is None:
                cycles = min(piece, goal - done)
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
            if done in pauses.logs and done == goal:
                returns = fleet.evaluate(done)
                point = (measure or log_point)(fleet, done, returns, spent, speed)
                transitions = point["transitions"]
                if describe is not None:
                    point |= describe(transitions)
                shown = mean(point[score])
                since, since_cycles = spent, done
                if logs is not None:
                    logs.write(point)
                _show(screen, fleet, done, shown, speed)
                for seed, loss in zip(fleet.seeds, point["loss"], strict=True):
                    if loss is not None and not np.isfinite(loss):
                        screen.say(
                            f"seed {seed}: the loss is {loss} at {transitions:,} transitions; try a smaller --lr"
                        )
            if save is not None and (done in pauses.checkpoints or interrupts.asked is not None):
                save(done)
            if interrupts.asked is not None and done < plan.cycles:
                raise Stopped(interrupts.asked)
    return spent


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
        "twin_distance": [float(d) for d in fleet.twin_distances()],
    }
