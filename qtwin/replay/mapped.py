"""A replay's largest column in a memory-mapped file: read by the compiled regression where it lies.

On a CPU an array of JAX can be a view of memory that is there already. Here that memory is a file's: XLA's programs
read from it as from any array, the system fetches from the disk what it does not hold in memory, and gives memory back
where others want it. So sampling is the same program with the same result, bit for bit. What no program may do is write
to it: rows are written through numpy, when no program is under way that reads.
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
    """An array in a file that has no name: when the process ends, in whatever way, its room on the disk is free again.
    What outlives the process are the checkpoints.

    Attributes:
      array: JAX's view of it. [C, ...]

    Args:
      folder: on the disk that it is to lie on.
      shape, dtype: of the array.
    """

    array: Array

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: str):
        self._folder, self._shape, self._dtype = folder, shape, np.dtype(dtype)
        self._rows: np.ndarray | None = None

    def begin(self) -> Array:
        """A new file full of zeros in place of the one before; returns ``array``.

        Raises:
          Refusal: there is no room for it, or this JAX makes no views of memory that is there.
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
            mapped.madvise(mmap.MADV_RANDOM)  # frames are read one here and one there: their neighbours are not wanted
        self._rows = np.frombuffer(mapped, self._dtype).reshape(self._shape)
        self.array = jax.device_put(self._rows, jax.devices("cpu")[0], may_alias=True)
        if self.array.unsafe_buffer_pointer() != self._rows.ctypes.data:
            raise Refusal(
                "this JAX copies what it should only look at, so frames cannot stay on the disk; leave it out"
            )
        return self.array

    def write(self, rows: np.ndarray, start: int) -> None:
        """Writes rows [R, ...] from slot ``start`` on, around the end of the array; no program may be reading it."""
        capacity = self._shape[0]
        rows, start = rows[-capacity:], (start + max(len(rows) - capacity, 0)) % capacity
        before_the_end = min(len(rows), capacity - start)
        self._rows[start : start + before_the_end] = rows[:before_the_end]
        self._rows[: len(rows) - before_the_end] = rows[before_the_end:]

    def close(self) -> None:
        """Gives the file back."""
        self.array = self._rows = None


def check_device(device: jax.Device) -> None:
    """Refuses a learner that cannot read from the disk."""
    if device.platform != "cpu":
        raise Refusal(
            f"frames on the disk are read by a learner on the CPU, and this one is on {device.platform}; leave out"
            " --frames, or hide the accelerator with JAX_PLATFORMS=cpu"
        )


def _reserve(descriptor: int, count: int, folder: Path) -> None:
    """Room on the disk for all of it now: a disk that fills up later would end the process without a word."""
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
