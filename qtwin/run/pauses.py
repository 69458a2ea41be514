"""Where a run pauses, in cycles."""

from __future__ import annotations

from typing import NamedTuple

from qtwin.rates import Plan
from qtwin.request.retention import parse_checkpoints


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

    def after(self, cycles: int) -> int:
        """The next pause."""
        return min(mark for mark in self.logs | self.checkpoints | self.looks if mark > cycles)


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
