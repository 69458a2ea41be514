"""PROCESS 2: updates the target network by its rule when an update is due."""

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
    """One target network in process 2.

    Attributes:
      rule: its update rule.
      due: ``state -> bool []``: whether it is updated now.
      move: ``state -> state``: the update.
      read: ``state -> parts``: exactly the parts of the state that an update writes.
      write: ``(state, parts) -> state``: the inverse of ``read``.
    """

    rule: TargetUpdate
    due: Callable[[TrainState], Array]
    move: Process
    read: Callable[[TrainState], PyTree]
    write: Callable[[TrainState, PyTree], TrainState]


def targets(algorithm: Algorithm) -> tuple[Target, ...]:
    """The target network of the regression, and the sibling if there is one."""
    first = follow(algorithm.rates.target_update)
    return (first,) if algorithm.sibling is None else (first, sibling_follows(algorithm.sibling))


def follow(rule: TargetUpdate) -> Target:
    """Process 2: updates the target and resets its age."""

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
    """Process 2 for the second target, whose age is computed from the number of gradient steps.

    Raises:
      Refusal: the rule depends on the loss of the regression (which is not the loss that this target is for), has no
        constant period, keeps several copies, or names parts.
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
    """The sibling's clock after a gradient step, with the number of its updates and its age.

    Both follow from the number of gradient steps, so a run carries a single clock for all targets.
    """
    before = clock.gradient_steps - 1
    moves = before // rule.every if rule.every else before * 0
    return clock._replace(target_updates=moves, age=clock.gradient_steps - moves * rule.every)
