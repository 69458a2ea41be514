"""What every replay is: three pure functions over a state that is data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qtwin.rates import Cycle
from qtwin.types import Array, PyTree, Timestep, Transition


class Replay(NamedTuple):
    """A memory of transitions, kept where the learner computes.

    Attributes:
      capacity: transitions it can hold. [transitions]
      batch: transitions in one sampled batch, B. [transitions]
      init: ``(example: Timestep without a leading axis, cycle: Cycle) -> state``.
      add: ``(state, chunk: Timestep [T, N]) -> state``; each environment's steps follow one another along T.
      sample: ``(state, key, step: gradient step in the cycle []) -> Transition [B]``, or where sequences were asked for
        a `qtwin.replay.sequences.Sequences`.
      ragged: ``() -> Replay``, the same memory for steps that come in ragged order, its ``add`` taking a
        `qtwin.replay.linked.Linked`; None where it does not matter which step follows which.
      cut: ``state -> state`` where every environment's newest step ends its episode: what comes next is of another one.
        None where it does not matter.
    """

    capacity: int
    batch: int
    init: Callable[[Timestep, Cycle], PyTree]
    add: Callable[[PyTree, Timestep], PyTree]
    sample: Callable[[PyTree, Array, Array], Transition]
    ragged: Callable[[], Replay] | None = None
    cut: Callable[[PyTree], PyTree] | None = None
