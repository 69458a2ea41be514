"""The rows and the state of a ring buffer of frames (`qtwin.replay.frames`)."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax

from qtwin.types import Array


class FrameRow(NamedTuple):
    """The columns of a row: [R] for a chunk of rows, [C] for the ring.

    Attributes:
      frame: [..., H, W, c] with c the channels of one frame.
      action, reward, discount, last: of the step that led to the frame, as in `qtwin.types.Timestep`.
      step: whether a step led to the frame; False for the initial frames of a new stack. bool
      behind: distance in rows to the previous frame of the same stack; 0 for the first frame of a stack. int32
    """

    frame: Array
    action: Array
    reward: Array
    discount: Array
    last: Array
    step: Array
    behind: Array


class Framed(NamedTuple):
    """A chunk of rows in the order of arrival.

    Attributes:
      rows: [R], of which the first ``count`` are valid; the rest is padding.
      count: [] int32
    """

    rows: FrameRow
    count: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrameState:
    """The ring buffer.

    Attributes:
      data: the rows. [C]
      ahead: distance in rows to the next frame of the same stack; 0 if there is none (yet). [C] int32
      head: the slot that is written next. [] int32
      size: number of slots that hold a row. [] int32
      envs: N.
    """

    data: FrameRow
    ahead: Array
    head: Array
    size: Array
    envs: int = dataclasses.field(metadata={"static": True})


def take(state: FrameState) -> tuple[FrameState, Array]:
    """The ring without its frames, and the frames."""
    return dataclasses.replace(state, data=state.data._replace(frame=())), state.data.frame


def give(state: FrameState, frames: Array) -> FrameState:
    """The inverse of `take`."""
    return dataclasses.replace(state, data=state.data._replace(frame=frames))


def take_rows(chunk: Framed) -> tuple[Framed, Array]:
    """A chunk without its frames, and its valid frames."""
    return chunk._replace(rows=chunk.rows._replace(frame=())), chunk.rows.frame[: chunk.count]
