"""PROCESS 1 for images in Python: only the new frame of each observation is stored (`qtwin.replay.frames`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qtwin.envs.base import Played
from qtwin.envs.spec import EnvSpec
from qtwin.types import Array, PyTree, Timestep

ALIGNED = 64  # alignment of JAX's arrays on a CPU [bytes]


class Framer:
    """Turns vector steps into rows of frames, and returns them in chunks with a given number of transitions.

    Args:
      row: makes a `qtwin.replay.frame_rows.FrameRow`.
      chunk: makes a `qtwin.replay.frame_rows.Framed`.
      env: the spec of the environment, whose observations are frame stacks.
    """

    def __init__(self, row: Callable[..., PyTree], chunk: Callable[[PyTree, Array], PyTree], env: EnvSpec):
        self._row, self._chunk, self._env = row, chunk, env
        self._depth = env.obs_shape[2] // env.stack
        self._rooms = [np.zeros(0), np.zeros(0)]

    def start(self, obs: Array) -> None:
        """Starts new frame stacks in all N environments, and discards rows left over.

        Args:
          obs: the first observations. [N, *obs_shape]
        """
        self._blocks, self._counted = [], 0
        self._yes, self._order = np.ones(len(obs), bool), np.arange(len(obs))
        self._newest = np.zeros(len(obs), np.int64)  # each environment's newest row, counted from the start
        self._begin(obs, np.arange(len(obs)))

    def add(self, steps: Timestep, which: Array, obs: Array, fresh: Array) -> None:
        """Adds one vector step.

        Args:
          steps: its transitions. [M]
          which: their environments. [M]
          obs: the observations to act on next. [N, *obs_shape]
          fresh: environments whose observation starts a new stack. [N] bool
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

    def room(self, vector_steps: int) -> Array:
        """A buffer for the newest frames of several vector steps, to be filled for `add_played`. [T, N, H, W, c]

        Two buffers are used in turn, because newly allocated memory is slow. The chunk before the last must have been
        consumed by then.
        """
        height, width, _ = self._env.obs_shape
        shape = vector_steps, len(self._order), height, width, self._depth
        if self._rooms[0].shape != shape:
            self._rooms = [_aligned(shape, np.dtype(self._env.obs_dtype)) for _ in range(2)]
        self._rooms.reverse()
        return self._rooms[0]

    def add_played(self, actions: Array, played: Played, frames: Array) -> None:
        """Adds several vector steps of all N environments.

        Args:
          actions: [T, N]
          played: the results of the actions.
          frames: the buffer from `room`, filled.
        """
        envs, begin = len(self._order), 0
        for end in sorted({*(step + 1 for step in played.begun), len(actions)}):
            size = (end - begin) * envs
            behind = np.full((end - begin, envs), envs, np.int32)
            behind[0] = self._counted + self._order - self._newest
            columns = (frames, actions, played.reward, played.discount, played.last)
            rows = [column[begin:end].reshape(size, *column.shape[2:]) for column in columns]
            self._newest = self._counted + size - envs + self._order
            self._push(self._row(*rows, np.ones(size, bool), behind.reshape(size)))
            if end - 1 in played.begun:
                obs, fresh = played.begun[end - 1]
                self._begin(obs, np.flatnonzero(fresh))
            begin = end

    def take(self, steps: int) -> PyTree:
        """The rows up to the ``steps``-th transition, as a chunk padded to one of a few lengths."""
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
        """Adds a row for every frame of these environments' stacks."""
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
    """Concatenates arrays into aligned memory."""
    whole = _aligned((sum(map(len, pieces)), *pieces[0].shape[1:]), pieces[0].dtype)
    return np.concatenate(pieces, out=whole)


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Aligned memory that JAX can use without a copy."""
    room = np.empty(math.prod(shape) * dtype.itemsize + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    return room[start : room.size - ALIGNED + start].view(dtype).reshape(shape)
