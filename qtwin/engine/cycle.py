"""THE CYCLE: the three processes woven by their rates. This is the whole theory; everything else serves it.

An engine gives ``repeat`` (do this n times) and ``when`` (do this if): inside one XLA program they are a loop and a
conditional of XLA's, outside they are Python's.
"""

from __future__ import annotations

from collections.abc import Callable

from qtwin.engine.state import TrainState
from qtwin.processes.update_target import TargetUpdate

Process = Callable[[TrainState], TrainState]


def cycle(
    collect: Process, regress: Process, rule: TargetUpdate, gradient_steps: int, repeat: Callable, when: Callable
) -> Process:
    """One turn: collect, then ``gradient_steps`` times regress, the target moving whenever it is due."""

    def step(s: TrainState) -> TrainState:
        s = regress(s)  # process 3
        return when(rule.due(s.memory, s.clock), follow(rule), s)  # process 2

    return lambda s: repeat(step, gradient_steps)(collect(s))  # process 1


def follow(rule: TargetUpdate) -> Process:
    """Process 2: the target moves, its age starts anew."""

    def process(s: TrainState) -> TrainState:
        memory, twin = s.twin.follow(rule, s.memory)
        clock = s.clock._replace(target_updates=s.clock.target_updates + 1, age=s.clock.age * 0)
        return s._replace(clock=clock, twin=twin, memory=memory)

    return process
