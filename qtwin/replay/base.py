"""What every replay is: three pure functions over a state that is data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qtwin.rates import Cycle
from qtwin.types import Array, Aux, PyTree, Timestep, Transition

if TYPE_CHECKING:
    from qtwin.replay.frame_packer import Framer


class Bulk(NamedTuple):
    """The one column that makes nearly all of a replay's state, where it may lie elsewhere (`qtwin.replay.mapped`).

    Attributes:
      shape, dtype: of the column, [C, ...].
      take: ``state -> (state without the column, column)``.
      give: ``(state without it, column) -> state``.
      take_rows: ``chunk -> (chunk without its part of the column, that part [R, ...])``, as numpy arrays.
      head: ``state -> slot`` that the next row goes to.
    """

    shape: tuple[int, ...]
    dtype: str
    take: Callable[[PyTree], tuple[PyTree, Array]]
    give: Callable[[PyTree, Array], PyTree]
    take_rows: Callable[[PyTree], tuple[PyTree, Array]]
    head: Callable[[PyTree], Array]


class Replay(NamedTuple):
    """A memory of transitions, kept where the learner computes.

    Its state is saved as it is, and the blocks of it that have changed are found by their bytes
    (`qtwin.storage.block_store`). A checkpoint of gigabytes is cheap as long as new rows come into consecutive slots of
    large columns.

    Attributes:
      capacity: transitions it can hold. [transitions]
      batch: transitions in one sampled batch, B. [transitions]
      init: ``(example: Timestep without a leading axis, cycle: Cycle) -> state``.
      add: ``(state, chunk: Timestep [T, N]) -> state``; each environment's steps follow one another along T.
      sample: ``(state, key, step: gradient step in the cycle []) -> Transition [B]``, or where sequences were asked for
        a `qtwin.replay.sequences.Sequences`.
      ragged: ``() -> Replay``, the same memory for steps that come in ragged order, its ``add`` taking a
        `qtwin.replay.ring.Linked`; None where it does not matter which step follows which.
      cut: ``state -> state`` where every environment's newest step ends its episode: what comes next is of another
        one. None where it does not matter. In the memory that the fused engine adds to, ``(state, which [N] bool) ->
        state`` as well: only those environments' do.
      at: ``(state, slots [B]) -> what sample gives of the transitions that start there``; slots count transitions in
        the order in which they came, around the end of the capacity. None where a memory cannot be read so.
      ready: ``(state after add, chunk) -> (first [], can [S], new [S])``: of S slots in a row from ``first`` on, which
        hold a transition that is complete, and which ``add`` has just written; all whose answer may have changed are
        among them. None where each slot holds a transition, complete when the steps that it spans have come.
      update: ``(state, batch, aux) -> state`` after a gradient step on ``batch``, of which the loss reported ``aux``:
        priorities go back. None where nothing does.
      framer: ``() -> Framer``, which makes of vector steps in Python the chunks that ``add`` takes, where those are not
        a `Timestep` (`qtwin.replay.frame_packer`); else None.
      bulk: the column that may lie elsewhere; None where there is none. ``add`` takes state and chunk without it too.
      gamma: the discount factor that its transitions carry, and
      n_step: the steps that they span; None where they are not known. Diagnostics use them where an algorithm is put
        together by hand.
      sample_at: ``(state, key, count: gradient steps so far in the run []) -> batch``. The regression uses it in the
        place of ``sample`` where batches belong together, as in passes through a data set. The key is the same at every
        gradient step of a run, so what is drawn for a pass can be drawn again at each of its steps. None: ``sample``.
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
