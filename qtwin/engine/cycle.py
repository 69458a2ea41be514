"""THE CYCLE: the three processes woven by their rates. This is the whole theory; everything else serves it.

An engine gives ``repeat`` (do this n times) and ``when_due`` (move this target if it is due): in a compiled program a
loop and a conditional of XLA's.
"""

from __future__ import annotations

from collections.abc import Callable

from qtwin.processes.update_target import Process, Target
from qtwin.state import TrainState


def cycle(
    collect: Process,
    regress: Process,
    targets: tuple[Target, ...],
    gradient_steps: int,
    repeat: Callable,
    when_due: Callable[[Target, TrainState], TrainState],
) -> Process:
    """One turn: collect, then ``gradient_steps`` times regress, a target moving whenever it is due."""

    def step(s: TrainState) -> TrainState:
        s = regress(s)  # process 3
        for target in targets:
            s = when_due(target, s)  # process 2
        return s

    return lambda s: repeat(step, gradient_steps)(collect(s))  # process 1
