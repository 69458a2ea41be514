"""The largest column of a replay buffer in a memory-mapped file, which the compiled regression reads in place.

On a CPU an array of JAX can be a view of existing memory. Here this memory is a mapped file: XLA's programs read it
like any array, and the operating system loads pages from the disk and evicts them under memory pressure. Sampling is
therefore the same program with bit-identical results. No program may write to it: rows are written through numpy while
no program is reading.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
from pathlib import Path

import jax
import numpy as np

from qtwin.errors import Refusal
from qtwin.types import Array


class Mapped:
    """An array in an unnamed file, whose disk space is freed however the process ends; checkpoints remain.

    Attributes:
      array: JAX's view of it. [C, ...]

    Args:
      folder: a folder on the disk to use.
      shape, dtype: of the array.
    """

    array: Array

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: str):
        self._folder, self._shape, self._dtype = folder, shape, np.dtype(dtype)
        self._rows: np.ndarray | None = None

    def begin(self) -> Array:
        """Creates a new file of zeros, replacing any earlier one; returns ``array``.

        Raises:
          Refusal: the disk is too small, or this version of JAX cannot make views of existing memory.
        """
        self.array = self._rows = None
        count = self._dtype.itemsize * math.prod(self._shape)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f".frames-{os.getpid()}-{id(self)}"
        with path.open("w+b") as file:
            path.unlink()
            _reserve(file.fileno(), count, self._folder)
            mapped = mmap.mmap(file.fileno(), count)
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)  # frames are read at random: no read-ahead
        self._rows = np.frombuffer(mapped, self._dtype).reshape(self._shape)
        self.array = jax.device_put(self._rows, jax.devices("cpu")[0], may_alias=True)
        if self.array.unsafe_buffer_pointer() != self._rows.ctypes.data:
            raise Refusal(
                "this JAX copies what it should only look at, so frames cannot stay on the disk; leave it out"
            )
        return self.array

    def write(self, rows: np.ndarray, start: int) -> None:
        """Writes rows [R, ...] from slot ``start`` on, wrapping around; no program may be reading the array."""
        capacity = self._shape[0]
        rows, start = rows[-capacity:], (start + max(len(rows) - capacity, 0)) % capacity
        before_the_end = min(len(rows), capacity - start)
        self._rows[start : start + before_the_end] = rows[:before_the_end]
        self._rows[: len(rows) - before_the_end] = rows[before_the_end:]

    def close(self) -> None:
        """Releases the file."""
        self.array = self._rows = None


def check_device(device: jax.Device) -> None:
    """Refuses a learner on an accelerator, which cannot read frames from the disk."""
    if device.platform != "cpu":
        raise Refusal(
            f"frames on the disk are read by a learner on the CPU, and this one is on {device.platform}; leave out"
            " --frames, or hide the accelerator with JAX_PLATFORMS=cpu"
        )


def _reserve(descriptor: int, count: int, folder: Path) -> None:
    """Reserves all disk space now: a disk that fills up later would kill the process without a message."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, count)
        else:
            os.ftruncate(descriptor, count)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        raise Refusal(
            f"there is no room for {count:,} bytes of frames in {folder} ({error.strerror}); write a smaller --replay,"
            " or --frames memory"
        ) from None
