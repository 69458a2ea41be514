"""PROCESS 1 for images in Python: of each observation the one new frame is kept (`qtwin.replay.frames`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qtwin.envs.spec import EnvSpec
from qtwin.types import Array, PyTree, Timestep

ALIGNED = 64  # bytes: a CPU's array of JAX begins at a multiple


class Framer:
    """Turns vector steps into rows of frames, and hands them on by the number of steps among them.

    Args:
      row: makes a `qtwin.replay.frames.FrameRow`.
      chunk: makes a `qtwin.replay.frames.Framed`.
      env: whose observations are stacks.
    """

    def __init__(self, row: Callable[..., PyTree], chunk: Callable[[PyTree, Array], PyTree], env: EnvSpec):
        self._row, self._chunk, self._env = row, chunk, env
        self._depth = env.obs_shape[2] // env.stack

    def start(self, obs: Array) -> None:
        """New stacks in all N environments; what waited is forgotten.

        Args:
          obs: the first observations. [N, *obs_shape]
        """
        self._blocks, self._counted = [], 0
        self._yes, self._order = np.ones(len(obs), bool), np.arange(len(obs))
        self._newest = np.zeros(len(obs), np.int64)  # each environment's newest row, counted from the start
        self._begin(obs, np.arange(len(obs)))

    def add(self, steps: Timestep, which: Array, obs: Array, fresh: Array) -> None:
        """One vector step.

        Args:
          steps: its transitions. [M]
          which: their environments. [M]
          obs: what is acted on next. [N, *obs_shape]
          fresh: whose observation there begins a new stack. [N] bool
        """
        position = self._counted + self._order[: len(which)]
        behind = (position - self._newest[which]).astype(np.int32)
        frame = np.ascontiguousarray(steps.next_obs[..., -self._depth :])
        self._push(
            self._row(frame, steps.action, steps.reward, steps.discount, steps.last, self._yes[: len(which)], behind)
        )
        self._newest[which] = position
        if np.count_nonzero(fresh):
            self._begin(obs, np.flatnonzero(fresh))

    def take(self, steps: int) -> PyTree:
        """The rows up to the one with the ``steps``-th step, as a chunk whose length is one of a few."""
        rows = self._blocks[0] if len(self._blocks) == 1 else self._row(*map(_joined, zip(*self._blocks, strict=True)))
        total = len(rows.step)
        count = total if total == steps else int(np.searchsorted(np.cumsum(rows.step), steps)) + 1
        self._blocks = [self._row(*[column[count:] for column in rows])] if count < total else []
        length = steps
        while length < count:
            length *= 2
        if length != total:

            def fitted(column: Array) -> Array:
                padding = np.zeros((max(length - count, 0), *column.shape[1:]), column.dtype)
                return _joined((column[:count], padding))

            rows = self._row(*map(fitted, rows))
        return self._chunk(rows, np.int32(count))

    def _begin(self, obs: Array, which: Array) -> None:
        """Rows for every frame of these environments' stacks."""
        stack, rows = self._env.stack, len(which) * self._env.stack
        height, width, _ = self._env.obs_shape
        frames = obs[which].reshape(len(which), height, width, stack, self._depth)
        frames = np.ascontiguousarray(np.moveaxis(frames, 3, 1)).reshape(rows, height, width, self._depth)
        behind = np.ones((len(which), stack), np.int32)
        behind[:, 0] = 0
        none = np.zeros(rows, bool)
        zeros = np.zeros(rows, np.float32)
        action = np.zeros((rows, *self._env.action_shape), self._env.action_dtype)
        self._newest[which] = self._counted + stack * np.arange(1, len(which) + 1) - 1
        self._push(self._row(frames, action, zeros, zeros, none, none, behind.ravel()))

    def _push(self, rows: PyTree) -> None:
        self._blocks.append(rows)
        self._counted += len(rows.step)


def _joined(pieces: tuple[Array, ...]) -> Array:
    """Arrays one behind another, where JAX takes an array over without a copy."""
    shape = (sum(map(len, pieces)), *pieces[0].shape[1:])
    room = np.empty(math.prod(shape) * pieces[0].itemsize + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    whole = room[start : room.size - ALIGNED + start].view(pieces[0].dtype).reshape(shape)
    return np.concatenate(pieces, out=whole)
