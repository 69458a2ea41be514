"""What a ring of frames holds (`qtwin.replay.frames`)."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax

from qtwin.types import Array


class FrameRow(NamedTuple):
    """What a row holds. [R] for a chunk of rows, [C] for the ring.

    Attributes:
      frame: [..., H, W, c] with c the channels of one frame.
      action, reward, discount, last: of the step that led to the frame, as a `qtwin.types.Timestep`'s.
      step: a step led to it; False for the frames that a new stack begins with. bool
      behind: how many rows ago the frame before it in the same stack came; 0 where it is a stack's first. int32
    """

    frame: Array
    action: Array
    reward: Array
    discount: Array
    last: Array
    step: Array
    behind: Array


class Framed(NamedTuple):
    """A chunk of rows in the order in which they came.

    Attributes:
      rows: [R], of which the first ``count`` count.
      count: [] int32
    """

    rows: FrameRow
    count: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrameState:
    """The ring.

    Attributes:
      data: the rows. [C]
      ahead: how many rows further on the next frame of the same stack comes; 0 where it has not come, or never will.
        [C] int32
      head: the slot that is written next. [] int32
      size: slots that hold a row. [] int32
      envs: N.
    """

    data: FrameRow
    ahead: Array
    head: Array
    size: Array
    envs: int = dataclasses.field(metadata={"static": True})


def take(state: FrameState) -> tuple[FrameState, Array]:
    """The ring without its frames, and these."""
    return dataclasses.replace(state, data=state.data._replace(frame=())), state.data.frame


def give(state: FrameState, frames: Array) -> FrameState:
    """The inverse of `take`."""
    return dataclasses.replace(state, data=state.data._replace(frame=frames))


def take_rows(chunk: Framed) -> tuple[Framed, Array]:
    """A chunk without its frames, and those of them that count."""
    return chunk._replace(rows=chunk.rows._replace(frame=())), chunk.rows.frame[: chunk.count]
