"""PROCESS 2: the target network moves when it is due, by whichever rule it follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from qtwin.algorithm import Algorithm
from qtwin.errors import Refusal
from qtwin.state import TrainState
from qtwin.target_update.rules import TargetUpdate
from qtwin.twin import Sibling
from qtwin.types import Array, Clock, PyTree

Process = Callable[[TrainState], TrainState]


class Target(NamedTuple):
    """One target network, as process 2 sees it.

    Attributes:
      rule: how it follows.
      due: ``state -> bool []``: is it to move now?
      move: ``state -> state``: the move.
      read: ``state -> what``: all that a move writes, and nothing else.
      write: ``(state, what) -> state``, its inverse.
    """

    rule: TargetUpdate
    due: Callable[[TrainState], Array]
    move: Process
    read: Callable[[TrainState], PyTree]
    write: Callable[[TrainState, PyTree], TrainState]


def targets(algorithm: Algorithm) -> tuple[Target, ...]:
    """The target of the regression, and its sibling where there is one."""
    first = follow(algorithm.rates.target_update)
    return (first,) if algorithm.sibling is None else (first, sibling_follows(algorithm.sibling))


def follow(rule: TargetUpdate) -> Target:
    """Process 2: the target moves, its age starts anew."""

    def move(s: TrainState) -> TrainState:
        memory, twin = s.twin.follow(rule, s.memory)
        clock = s.clock._replace(target_updates=s.clock.target_updates + 1, age=s.clock.age * 0)
        return s._replace(clock=clock, twin=twin, memory=memory)

    def read(s: TrainState) -> PyTree:
        online = s.twin.online.params if rule.shift is not None else ()
        return s.clock, s.twin.target_variables, s.twin.older, s.memory, online

    def write(s: TrainState, written: PyTree) -> TrainState:
        clock, target_variables, older, memory, params = written
        online = s.twin.online._replace(params=params) if rule.shift is not None else s.twin.online
        twin = dataclasses.replace(s.twin, online=online, target_variables=target_variables, older=older)
        return s._replace(clock=clock, twin=twin, memory=memory)

    return Target(rule, lambda s: rule.due(s.memory, s.clock), move, read, write)


def sibling_follows(sibling: Sibling) -> Target:
    """Process 2 for the second target, whose age is counted off the gradient steps.

    Raises:
      Refusal: a rule that watches the regression's loss, which says nothing of the loss that this target is for, or one
        without an even period, or with more than one copy.
    """
    rule = sibling.rule
    if rule.counts is not None or rule.copies > 1 or rule.parts:
        raise Refusal(f"a sibling follows by counting gradient steps, and '{rule.spec}' came; write soft:0.01 or tied")

    def move(s: TrainState) -> TrainState:
        memory, twin = s.twin.sibling_follows(rule, s.sibling)
        return s._replace(twin=twin, sibling=memory)

    def write(s: TrainState, written: PyTree) -> TrainState:
        target_variables, memory = written
        return s._replace(twin=dataclasses.replace(s.twin, sibling_variables=target_variables), sibling=memory)

    return Target(
        rule,
        lambda s: rule.due(s.sibling, sibling_clock(rule, s.clock)),
        move,
        lambda s: (s.twin.sibling_variables, s.sibling),
        write,
    )


def sibling_clock(rule: TargetUpdate, clock: Clock) -> Clock:
    """The clock as the sibling reads it just after a gradient step: its own moves so far, and its own age.

    Gradient steps come one by one, so both follow from their number, and a run carries one clock however many targets
    there are.
    """
    before = clock.gradient_steps - 1
    moves = before // rule.every if rule.every else before * 0
    return clock._replace(target_updates=moves, age=clock.gradient_steps - moves * rule.every)
