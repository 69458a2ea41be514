"""A run without a directory: the same loop, with nothing written. Read without importing JAX."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qtwin.interrupts import Interrupts
from qtwin.request.run_options import RunOptions

if TYPE_CHECKING:
    from qtwin.run.kind import Kind


class InMemory(NamedTuple):
    """What a run without a directory has come to.

    Attributes:
      summary: what ``summary.json`` would hold.
      points: the log points.
      judged: the last evaluation, and each seed's online network (`qtwin.run.finish.Finished`).
    """

    summary: dict
    points: list[dict]
    judged: Any


def execute(options: RunOptions, build: Callable[[Interrupts], Kind]) -> InMemory:
    """Carries out a run that writes nothing.

    Args:
      options: the request.
      build: ``interrupts -> Kind``: imports JAX, and makes what is trained.

    Raises:
      Refusal: the request was wrong.
      qtwin.interrupts.Stopped: a signal came; what was learned is lost.
      qtwin.errors.Diverged: updates could not be applied, and there is no checkpoint to go back to.
    """
    began = time.perf_counter()
    with Interrupts() as interrupts:
        kind = build(interrupts)
        from qtwin.run.carry_out import introduce, undisturbed
        from qtwin.run.kind import Took
        from qtwin.run.logs import Points, Screen
        from qtwin.run.loop import Course, loop

        score = kind.score
        screen, points = Screen(kind.plan.cycles, 0, options.quiet, score.label, score.decimals), Points()
        interrupts.say = screen.say
        try:
            introduce(kind, options, "in memory", screen)
            compile_seconds = interrupts.breakable(kind.fleet.compile)
            screen.say(f"compiled in {compile_seconds:.1f} s")
            kind = kind.begun(interrupts)
            observer = kind.observer(None, 0, screen, points)
            seconds = loop(kind.fleet, Course(kind.plan, kind.pauses), observer, interrupts=interrupts)
            screen.close()
            judged = interrupts.breakable(lambda: kind.judge(screen))
            with undisturbed():
                summary = kind.summary(judged, points.points, Took(began, compile_seconds, seconds))
            return InMemory(summary, points.points, judged)
        finally:
            screen.close()
            kind.fleet.close()
