"""The interface of replay buffers: pure functions over a state that is a pytree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qtwin.rates import Cycle
from qtwin.types import Array, Aux, PyTree, Timestep, Transition

if TYPE_CHECKING:
    from qtwin.replay.frame_packer import Framer


class Bulk(NamedTuple):
    """The largest column of a replay buffer's state, which can be stored on disk (`qtwin.replay.mapped`).

    Attributes:
      shape, dtype: of the column, [C, ...].
      take: ``state -> (state without the column, column)``.
      give: ``(state without the column, column) -> state``.
      take_rows: ``chunk -> (chunk without its rows of the column, these rows [R, ...])``, as numpy arrays.
      head: ``state -> slot`` that the next row is written to.
    """

    shape: tuple[int, ...]
    dtype: str
    take: Callable[[PyTree], tuple[PyTree, Array]]
    give: Callable[[PyTree, Array], PyTree]
    take_rows: Callable[[PyTree], tuple[PyTree, Array]]
    head: Callable[[PyTree], Array]


class Replay(NamedTuple):
    """A replay buffer, stored on the learner's device.

    Checkpoints contain the state as it is, and write only the blocks whose bytes have changed
    (`qtwin.storage.block_store`). A checkpoint of gigabytes is cheap as long as new rows are written to consecutive
    slots of large columns.

    Attributes:
      capacity: maximum number of transitions. [transitions]
      batch: batch size, B. [transitions]
      init: ``(example: Timestep without a leading axis, cycle: Cycle) -> state``.
      add: ``(state, chunk: Timestep [T, N]) -> state``; T is the time axis of each environment.
      sample: ``(state, key, step: gradient step in the cycle []) -> Transition [B]``, or a
        `qtwin.replay.sequences.Sequences` for agents that learn from sequences.
      ragged: ``() -> Replay``, the same buffer for environments that do not step together, whose ``add`` takes a
        `qtwin.replay.ring.Linked`; None if the order of the steps does not matter.
      cut: ``state -> state``, marks the newest step of every environment as the last of its episode, since the
        environments will be reset; None if this does not matter. For the fused engine it also takes
        ``(state, which [N] bool)``, to mark those environments only.
      at: ``(state, slots [B]) -> batch``, the result of ``sample`` for the transitions that start at ``slots``. Slots
        count transitions in the order of arrival, modulo the capacity. None if the buffer cannot be read by slot.
      ready: ``(state after add, chunk) -> (first [], can [S], new [S])``, for S consecutive slots from ``first`` on:
        which hold a complete transition, and which were written by this ``add``. They include all slots for which this
        may have changed. None if each slot holds a transition that is complete once the steps that it spans have come.
      update: ``(state, batch, aux) -> state``, called after a gradient step on ``batch`` with the loss's ``aux``, to
        update priorities; None if there are none.
      framer: ``() -> Framer``, which turns vector steps in Python into the chunks that ``add`` takes, if those are not
        a `Timestep` (`qtwin.replay.frame_packer`); else None.
      bulk: the column that can be stored on disk; None if there is none. ``add`` also takes state and chunk without it.
      gamma: the discount factor of its transitions, and
      n_step: the number of steps that they span; None if unknown. Diagnostics use them for custom algorithms.
      sample_at: ``(state, key, count: gradient steps so far in the run []) -> batch``, which replaces ``sample`` if
        batches depend on each other, as in passes through a data set. The key is the same at every gradient step of a
        run, so that a pass's permutation can be recomputed at each of its steps. None uses ``sample``.
    """

    capacity: int
    batch: int
    init: Callable[[Timestep, Cycle], PyTree]
    add: Callable[[PyTree, Any], PyTree]
    sample: Callable[[PyTree, Array, Array], Any]
    ragged: Callable[[], Replay] | None = None
    cut: Callable[..., PyTree] | None = None
    at: Callable[[PyTree, Array], Any] | None = None
    update: Callable[[PyTree, Transition, Aux], PyTree] | None = None
    framer: Callable[[], Framer] | None = None
    bulk: Bulk | None = None
    ready: Callable[[PyTree, PyTree], tuple[Array, Array, Array]] | None = None
    sample_at: Callable[[PyTree, Array, Array], PyTree] | None = None
    gamma: float | None = None
    n_step: int | None = None
