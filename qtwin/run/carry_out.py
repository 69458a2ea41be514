"""A run that has its directory: compiled, trained from its beginning or its newest checkpoint, and finished."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from qtwin.interrupts import Interrupts
from qtwin.request.retention import parse_keep
from qtwin.request.run_config import write_json
from qtwin.request.run_options import RunOptions
from qtwin.run.checkpoint_manager import Saver
from qtwin.run.directory import RunDirectory
from qtwin.run.kind import Kind, Took
from qtwin.run.lock import Lock
from qtwin.run.logs import Logs, Screen
from qtwin.run.loop import Course, Observer, Watch, loop


class Written(NamedTuple):
    """How a run with a directory is turned.

    Attributes:
      course: what it goes through, from where.
      observer: what it is watched by.
      watch: its checkpoints.
      logs: its log points.
    """

    course: Course
    observer: Observer
    watch: Watch
    logs: Logs


class Life(NamedTuple):
    """A run under way.

    Attributes:
      options: its request.
      lock: held on its directory.
      interrupts: its signals.
      began: when it began, as `time.perf_counter` has it.
    """

    options: RunOptions
    lock: Lock
    interrupts: Interrupts
    began: float

    def live(self, kind: Kind) -> dict:
        """Compiles, trains and finishes what ``kind`` has made; returns what ``summary.json`` holds."""
        fleet, score = kind.fleet, kind.score
        screen = Screen(kind.plan.cycles, 0, self.options.quiet, score.label, score.decimals)
        self.interrupts.say = screen.say
        try:
            self.introduce(kind, screen)
            compile_seconds = self.interrupts.breakable(fleet.compile)
            screen.say(f"compiled in {compile_seconds:.1f} s")
            kind = kind.begun(self.interrupts)
            seconds, logs = self.train(kind, screen)
            return self.finish(kind, screen, logs, Took(self.began, compile_seconds, seconds))
        finally:
            screen.close()
            fleet.close()

    def introduce(self, kind: Kind, screen: Screen) -> None:
        """What the screen says at the start."""
        options = self.options
        where = f"{'resumed in' if options.resume else 'to'} {options.out}"
        introduce(kind, options, where, screen)

    def train(self, kind: Kind, screen: Screen) -> tuple[float, Logs]:
        """From the beginning, or from the newest checkpoint, to the end of the plan.

        Returns:
          the seconds spent in the three processes, and the log points.
        """
        written = self.begin(kind, screen)
        seconds = loop(kind.fleet, written.course, written.observer, written.watch, self.interrupts)
        screen.close()
        written.watch.ensure()
        return seconds, written.logs

    def begin(self, kind: Kind, screen: Screen) -> Written:
        """The directory as it is to be before the first cycle; the fleet, where the run goes on, at its checkpoint."""
        options, out = self.options, self.lock.out
        keep = parse_keep(options.keep)
        saver = Saver(out / "checkpoints", kind.fleet, screen, keep, kind.score.name, kind.saved)
        start = saver.go_on() if options.resume else 0
        if options.resume:
            kind.goes_on(start, screen)
        directory = RunDirectory(self.lock, kind.described(), screen.say)
        directory.begin(start < kind.plan.cycles)
        saver.logs = logs = Logs(out, options.seeds, start if options.resume else None, kind.needs)
        if logs.gaps:
            screen.say(logs.gaps)
        course, observer = Course(kind.plan, kind.pauses, start), kind.observer(out, start, screen, logs)
        watch = Watch(saver.save, saver.go_back, saver.settle, directory.ensure)
        return Written(course, observer, watch, logs)

    def finish(self, kind: Kind, screen: Screen, logs: Logs, took: Took) -> dict:
        """Judges, exports, draws and sums up a run whose budget is spent; ``summary.json`` comes last.

        A signal that comes while files are written waits until the next is due.

        Raises:
          qtwin.interrupts.Stopped: a signal came before the summary; resumed, the run does all this again.
        """
        out, interrupts = self.lock.out, self.interrupts
        judged = interrupts.breakable(lambda: kind.judge(screen))
        kind.export(out, judged)
        interrupts.check()
        with undisturbed():
            kind.draw(out, judged, logs.points)
            summary = kind.summary(judged, logs.points, took)
        interrupts.check()
        write_json(out / "summary.json", summary)
        logs.close()
        return summary


def introduce(kind: Kind, options: RunOptions, where: str, screen: Screen) -> None:
    """What the screen says at the start of a run."""
    screen.say(f"{kind.title()}  {span(options.seeds)}  {where}")
    for line in kind.lines():
        screen.say(line)


class undisturbed(warnings.catch_warnings):
    """``with undisturbed():`` warnings and floating-point errors raise nothing, whatever an environment has set."""

    def __init__(self):
        super().__init__(action="ignore")
        self._numpy = np.errstate(all="ignore")

    def __enter__(self) -> None:
        super().__enter__()
        self._numpy.__enter__()

    def __exit__(self, *exc_info) -> None:
        self._numpy.__exit__(*exc_info)
        super().__exit__(*exc_info)


def span(seeds: tuple[int, ...]) -> str:
    """``seed 0``, or ``seeds 0 to 4``."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
