"""The training loop around the cycle: log points, evaluations, checkpoints, a clean stop."""

from __future__ import annotations

import contextlib
import dataclasses
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
from qtwin.rates import Plan
from qtwin.run.log_point import Pace, log_point, moves
from qtwin.run.logs import Logs, Screen, mean
from qtwin.run.pauses import Marks

BAD_IN_A_ROW = 10  # updates that could not be applied, one after another, until the run goes back
RETRY_SECONDS = 30.0  # of training, until a checkpoint that could not be written is tried again
PIECE_SECONDS = 1.0  # how long the loop is away in compiled code, so that a stop or a bar never waits long


class Course(NamedTuple):
    """What the loop goes through.

    Attributes:
      plan: how many cycles, from the first.
      pauses: where to pause.
      start: cycles already turned.
    """

    plan: Plan
    pauses: Marks
    start: int = 0


class Observer(NamedTuple):
    """What a run is watched by.

    Attributes:
      screen: the progress.
      logs: where log points go; None keeps none.
      measure: ``fleet, what an evaluation gave [K, ...], pace -> dict``: makes a log point.
      check: ``what an evaluation gave, name of the environment``: raises where that is no finite number.
      score: the log point's number that the screen shows.
      look: ``cycles -> None``, takes a look at the twin; None where nobody does.
      last: called at the end of the course.
    """

    screen: Screen
    logs: Logs | None = None
    measure: Callable[[Fleet, np.ndarray, Pace], dict] = log_point
    check: Callable[[np.ndarray, str], object] = finite_returns
    score: str = "eval_return"
    look: Callable[[int], None] | None = None
    last: Callable[[], None] = lambda: None


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
    fleet: Fleet, course: Course, observer: Observer, watch: Watch | None = None, interrupts: Interrupts | None = None
) -> float:
    """Turns the cycle from the start of the course to its end.

    Args:
      fleet: the seeds.
      course: how many cycles, and where to pause.
      observer: what is told and measured on the way.
      watch: checkpoints; None keeps none.
      interrupts: handles signals, and has begun to; if left out they are handled here, for as long as the loop turns.

    Returns:
      the seconds spent in the three processes.

    Raises:
      Stopped: after a signal, when the checkpoint is written; also where the budget is spent, for what follows takes
        time as well.
      Diverged: `BAD_IN_A_ROW` updates one after another could not be applied, and going back has not helped.
      Broken: an environment gave what is no finite number; nothing has been saved since.
    """
    with contextlib.nullcontext(interrupts) if interrupts else Interrupts() as handled:
        turning = begun(fleet, course, observer, watch, handled)
        turning.go_to(course.plan.cycles)
        observer.last()
    return turning.spent


def begun(fleet: Fleet, course: Course, observer: Observer, watch: Watch | None, interrupts: Interrupts) -> Turning:
    """The loop at its beginning; arguments as for `loop`."""
    points = observer.logs.points if observer.logs else []
    spent = points[-1].get("seconds", 0.0) if points else 0.0
    turning = Turning(fleet, course, observer, watch, interrupts, course.start, spent, spent, course.start)
    turning.make_up()
    return turning


@dataclasses.dataclass
class Turning:
    """The loop under way.

    Attributes:
      fleet, course, observer, watch, interrupts: what `loop` was given.
      done: cycles turned.
      spent: seconds in the three processes.
      since, since_cycles: those of the last log point; the speed is measured from there.
      speed: of all seeds together. [transitions / s]; offline [gradient steps / s]
      shown: the score of the last log point.
      piece: cycles that take about `PIECE_SECONDS`.
      retry_at: at so many seconds spent a checkpoint is tried again; None where none has failed.
      skipped: updates of all seeds that were not applied, as far as that has been told.
    """

    fleet: Fleet
    course: Course
    observer: Observer
    watch: Watch | None
    interrupts: Interrupts
    done: int
    spent: float
    since: float
    since_cycles: int
    speed: float = 0.0
    shown: float | None = None
    piece: int = 1
    retry_at: float | None = None
    skipped: int = 0

    def make_up(self) -> None:
        """Makes the log point that a stop has kept from being made, after the checkpoint that the run goes on from."""
        logs = self.observer.logs
        if not self.course.start or logs is None or self.watch is None:
            return
        logged = logs.points[-1]["cycles"] if logs.points else -1
        if self.done in self.course.pauses.logs and logged < self.done:
            self.report()
            self.interrupts.check()
            if self.done == self.course.plan.cycles:
                self.watch.settle()
        elif logged == self.done:
            self.fleet.take_tallies()  # a checkpoint from before its log point, which has been made up for since

    def go_to(self, cycles: int) -> None:
        """Turns the cycle until ``cycles`` have been turned, with every pause that is due on the way."""
        while self.done < cycles:
            if self.done == 0:
                self.warm_up(self.course.plan.cycle.warmup_vector_steps)
            self.go_to_next_pause(cycles)

    def warm_up(self, vector_steps: int) -> None:
        """Gathers what the first ``vector_steps`` of the warm-up lack, a second's worth at a time."""
        began, piece = time.perf_counter(), 1
        left = vector_steps - self.fleet.clocks()[0].transitions // self.course.plan.cycle.envs
        while left > 0 and self.interrupts.asked is None:
            steps, before = min(piece, left), time.perf_counter()
            self.interrupts.hold()
            self.fleet.warm_up(steps)
            self.fleet.wait()
            stop_if_broken(self.fleet.faults(), self.fleet.seeds, self.fleet.name)
            left -= steps
            piece = max(1, min(64 * piece, int(steps * PIECE_SECONDS / max(time.perf_counter() - before, 1e-6))))
        self.spent += time.perf_counter() - began

    def go_to_next_pause(self, limit: int) -> None:
        """Turns the cycle up to the next pause, or to ``limit``, a second's worth at a time; does there what is due.

        A signal makes a pause of the place where it finds the loop; where the run goes back to a checkpoint there is
        none.
        """
        goal = min(self.course.pauses.after(self.done), limit)
        while self.done < goal and self.interrupts.asked is None:
            self.advance(min(self.piece, goal - self.done))
            if self.went_back():
                return
            self.save_again()
        self.pause(whole=self.done == goal)

    def advance(self, cycles: int) -> None:
        self.interrupts.hold()
        began = time.perf_counter()
        self.fleet.advance(cycles)
        self.fleet.wait()
        took = time.perf_counter() - began
        self.spent, self.done = self.spent + took, self.done + cycles
        # Grows at most eightfold at a time: the first pieces are short, and may have been slow for reasons of their
        # own.
        self.piece = max(1, min(8 * self.piece, int(cycles * PIECE_SECONDS / max(took, 1e-6))))
        turn = self.course.plan.cycle
        per_cycle = (turn.transitions or turn.gradient_steps) * len(self.fleet.seeds)
        self.speed = (self.done - self.since_cycles) * per_cycle / max(self.spent - self.since, 1e-9)
        self.show()

    def went_back(self) -> bool:
        """Goes back to a checkpoint where too many updates in a row were not applied; returns whether it had to."""
        bad = self.look_at_faults()
        if bad is None:
            return False
        if self.watch is None:
            raise Diverged(f"{bad}; try a smaller learning rate")
        self.done = self.since_cycles = self.watch.go_back(bad)
        self.since, self.skipped = self.spent, 0
        return True

    def look_at_faults(self) -> str | None:
        """What is wrong, if so many updates in a row were not applied that it is; tells of fewer.

        Raises:
          Broken: an environment gave what is no finite number.
        """
        faults = self.fleet.faults()
        stop_if_broken(faults, self.fleet.seeds, self.fleet.name)
        for seed, fault in zip(self.fleet.seeds, faults, strict=True):
            if fault.longest >= BAD_IN_A_ROW:
                return (
                    f"seed {seed}: {fault.longest} updates in a row had a loss or gradient that was no finite number"
                    " (none was applied)"
                )
        total = sum(fault.skipped for fault in faults)
        if total > self.skipped:
            self.observer.screen.say(
                f"{total - self.skipped} updates were not applied, for their loss or gradient was no finite number"
            )
        self.skipped = total
        return None

    def save_again(self) -> None:
        """Writes a checkpoint where the last one could not be written, or has been removed."""
        if self.watch is None:
            return
        if self.watch.ensure():
            self.retry_at = self.spent  # its checkpoints are gone
        if self.retry_at is not None and self.spent >= self.retry_at:
            self.save()

    def save(self) -> None:
        self.retry_at = None if self.watch.save(self.done) else self.spent + RETRY_SECONDS

    def pause(self, whole: bool) -> None:
        """Looks, logs and saves as is due; ends the run after a signal.

        Args:
          whole: the pause has been reached.
        """
        pauses, interrupts = self.course.pauses, self.interrupts
        if whole and self.observer.look is not None and self.done in pauses.looks:
            self.observer.look(self.done)
        if whole and self.done in pauses.logs:
            self.report()
        if self.watch is not None and (self.done in pauses.checkpoints or interrupts.asked is not None):
            self.save()
            if interrupts.asked is not None and self.retry_at is not None:
                name = signal.Signals(interrupts.asked).name
                self.observer.screen.say(
                    f"{name} has come: the run stops now, and can go on from the checkpoint before"
                )
        interrupts.check()

    def report(self) -> None:
        """Evaluates and writes a log point; after a signal it is made when the run goes on."""
        fleet, observer = self.fleet, self.observer
        try:
            returns = self.interrupts.breakable(lambda: fleet.evaluate(self.done))
        except Stopped:
            return
        observer.check(returns, fleet.name)
        if cut := cut_in_words(sum(fleet.cut()), returns.size, fleet.eval_max_steps):
            observer.screen.say(cut)
        point = observer.measure(fleet, returns, Pace(self.done, self.spent, self.speed))
        self.shown, self.since, self.since_cycles = mean(point[observer.score]), self.spent, self.done
        if observer.logs is not None:
            observer.logs.write(point)
        self.show()

    def show(self) -> None:
        """Moves the bar."""
        clocks = self.fleet.clocks()
        self.observer.screen.update(
            self.done, clocks[0].transitions, clocks[0].gradient_steps, moves(clocks), self.shown, self.speed
        )
