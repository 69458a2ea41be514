"""Large arrays on the disk, in blocks that are kept once, each under its SHA-256.

A replay of gigabytes changes by a few rows between two checkpoints. Cut into blocks of consecutive rows, only the
blocks that hold those rows have other bytes, and only they are written; all others are found under their name. No
replay has to say what has changed in it: a ring, links that are set afterwards, priorities, single frames, an episode's
end that is marked late, all come out of the bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qtwin.errors import Refusal, Unusable
from qtwin.storage.files import read_bytes, sha256_of, sync_folder, write_flushed
from qtwin.storage.tensor_files import Held, bytes_of, same

BLOCK_BYTES = 4 * 2**20
LARGE = 2  # blocks from which on an array is cut
NAME = re.compile(r"[0-9a-f]{64}")


def split(folder: Path, named: dict[str, np.ndarray], known: set[str]) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    """Writes the large arrays' blocks that are not there yet.

    Args:
      folder: the run's ``checkpoints`` directory.
      named: arrays by name.
      known: hashes of blocks that are on the disk for certain; added to here.

    Returns:
      the small arrays, and for each large one ``{"dtype", "shape", "rows", "blocks"}``: rows in one block, and
      all blocks' hashes in order.
    """
    small, columns = {}, {}
    store = folder / "blocks"
    for name, array in named.items():
        if array.nbytes < LARGE * BLOCK_BYTES or not array.ndim:
            small[name] = array
            continue
        rows = max(1, BLOCK_BYTES // (array.nbytes // len(array)))
        store.mkdir(exist_ok=True)
        names = [_kept(store, array[i : i + rows], known) for i in range(0, len(array), rows)]
        columns[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "rows": rows, "blocks": names}
    if columns:
        sync_folder(store)
    return small, columns


def _kept(store: Path, rows: np.ndarray, known: set[str]) -> str:
    data = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8))
    name = hashlib.sha256(data).hexdigest()
    if not ((store / name).exists() if name in known else _holds(store / name, name, len(data))):
        aside = store / f".writing-{os.getpid()}"
        write_flushed(aside, data)
        os.replace(aside, store / name)
    known.add(name)
    return name


def _holds(file: Path, name: str, size: int) -> bool:
    try:
        return sha256_of(file, size) == name
    except (OSError, Unusable):
        return False


def check(columns: dict, where: str) -> None:
    """Refuses, as damaged, what is no description of columns; no size that it claims is believed further than this."""
    for each in columns.values():
        for name, column in each.items():
            shape, rows, kept = column["shape"], column["rows"], column["blocks"]
            sizes = [*shape, rows]
            if not shape or not all(type(size) is int and size > 0 for size in sizes):
                raise Unusable(f"{where}: '{name}' has no shape that an array can have")
            bytes_of(Held(column["dtype"], tuple(shape)))  # a TypeError where there is no such type
            if len(kept) != -(-shape[0] // rows) or not all(NAME.fullmatch(block) for block in kept):
                raise Unusable(f"{where}: '{name}' is not made of the blocks that its shape asks for")


def verify(folder: Path, manifest: dict) -> set[str]:
    """The hashes of all blocks that a checkpoint needs, each read and found as it was written."""
    sizes = _sizes(manifest)
    for name in sorted(sizes):
        file = folder / "blocks" / name
        try:
            found = sha256_of(file, sizes[name])
        except OSError as error:
            raise Unusable(f"{file}: it cannot be read ({error.strerror or error})") from None
        if found != name:
            raise Unusable(f"{file}: its SHA-256 differs from its name, so it is damaged")
    return set(sizes)


def _sizes(manifest: dict) -> dict[str, int]:
    """The size of every block that a checkpoint needs, by its hash. [bytes]"""
    sizes = {}
    for columns in manifest["columns"].values():
        for column in columns.values():
            total, rows = column["shape"][0], column["rows"]
            row = bytes_of(Held(column["dtype"], tuple(column["shape"][1:])))
            for i, name in enumerate(column["blocks"]):
                sizes[name] = row * min(rows, total - i * rows)
    return sizes


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """A large array on the disk, verified block by block as it is read.

    `numpy.asarray` gives the whole of it; iterating gives where each block begins and its rows, so that it can go where
    it belongs without being in memory twice.

    Attributes:
      folder: the run's ``checkpoints`` directory.
      shape, dtype: of the array.
      rows: in one block.
      blocks: all blocks' hashes in order.
      where: what a message says of it.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: int
    blocks: tuple[str, ...]
    where: str

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        for i, name in enumerate(self.blocks):
            start = i * self.rows
            count = min(self.rows, self.shape[0] - start)
            try:
                data = _read(self.folder, name, count * row_bytes)
                if len(data) != count * row_bytes:
                    wanted = f"{len(data)} bytes where {count * row_bytes} are expected"
                    raise Unusable(f"{self.where}: block {name[:12]}... has {wanted}")
            except Unusable as error:
                raise unreadable(error) from None
            yield start, np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        del copy
        whole = np.empty(self.shape, self.dtype)
        for start, rows in self:
            whole[start : start + len(rows)] = rows
        return whole if dtype is None else whole.astype(dtype, copy=False)


def column_of(folder: Path, column: dict, like, where: str) -> Column:
    """The array that ``column`` describes; ``like`` says what shape and type it is to have."""
    same(where, column["dtype"], column["shape"], like)
    return Column(folder, tuple(like.shape), np.dtype(like.dtype), column["rows"], tuple(column["blocks"]), where)


def unreadable(error: Exception) -> Refusal:
    """A checkpoint was found good and cannot be read any more."""
    return Refusal(f"the checkpoint cannot be read: {error}; name another --out")


def _read(folder: Path, name: str, size: int) -> bytes:
    file = folder / "blocks" / name
    try:
        data = read_bytes(file, size)
    except OSError as error:
        raise Unusable(f"{file}: it cannot be read ({error.strerror or error})") from None
    if hashlib.sha256(data).hexdigest() != name:
        raise Unusable(f"{file}: its SHA-256 is not its name, so it is damaged")
    return data


def prune(folder: Path, manifests: list[dict]) -> None:
    """Removes the blocks that none of these checkpoints needs."""
    store, needed = folder / "blocks", _names(manifests)
    if store.is_dir():
        for file in store.iterdir():
            if file.name not in needed:
                file.unlink(missing_ok=True)


def _names(manifests: list[dict]) -> set[str]:
    return {
        name
        for manifest in manifests
        for columns in manifest["columns"].values()
        for column in columns.values()
        for name in column["blocks"]
    }
