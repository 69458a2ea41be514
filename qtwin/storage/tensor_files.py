"""Reading safetensors files that somebody else may have written: sizes first, then arrays.

Read without importing JAX.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from qtwin.errors import Refusal, Unusable
from qtwin.storage.files import open_regular, parse_json, size_of

LARGEST_HEADER = 16 * 2**20  # bytes; of the largest network a thousandth of it
KINDS = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "F16": "float16", "BF16": "bfloat16",
    "U32": "uint32", "I32": "int32", "F32": "float32", "U64": "uint64", "I64": "int64", "F64": "float64",
}  # fmt: skip
BYTES = {"bool": 1, "bfloat16": 2}


class Held(NamedTuple):
    """What a file's header says of one array.

    Attributes:
      dtype: its type's name.
      shape: its sizes.
    """

    dtype: str
    shape: tuple[int, ...]


class Header(NamedTuple):
    """A safetensors file's header, held against the file's size.

    Attributes:
      tensors: its arrays by name.
      metadata: its strings by name.
      begins: where in the file the arrays begin. [bytes]
      size: of all arrays together. [bytes]
    """

    tensors: dict[str, Held]
    metadata: dict[str, str]
    begins: int
    size: int


def read_header(file: BinaryIO, path: str | Path) -> Header:
    """The header of an open safetensors file, its arrays in the order in which they lie there.

    Raises:
      Unusable: it is no such file, or its arrays' sizes and that of the file do not fit together.
    """
    size = size_of(file)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 0 < length <= min(size - 8, LARGEST_HEADER):
        raise Unusable(f"{path} is no safetensors file: its header would have {length:,} of {size:,} bytes")
    try:
        found = parse_json(file.read(length))
        metadata = found.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("metadata is text")
        tensors, offset = {}, 0
        for name, each in sorted(found.items(), key=lambda item: item[1]["data_offsets"]):
            held = Held(KINDS[each["dtype"]], tuple(each["shape"]))
            begin, end = each["data_offsets"]
            if not all(type(count) is int and count >= 0 for count in (*held.shape, begin, end)):
                raise ValueError(f"'{name[:60]}' has no shape")
            if (begin, end) != (offset, offset + bytes_of(held)):
                raise ValueError(f"'{name[:60]}' does not lie where its shape says")
            tensors[name], offset = held, end
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unusable(f"{path} is no safetensors file: its header is damaged ({str(error)[:80]})") from None
    if size != 8 + length + offset:
        raise Unusable(f"{path} has {size:,} bytes, and its header describes {8 + length + offset:,}")
    return Header(tensors, metadata, 8 + length, offset)


def bytes_of(held: Held) -> int:
    """What an array takes. [bytes]"""
    each = BYTES.get(held.dtype) or np.dtype(held.dtype).itemsize
    return each * math.prod(held.shape)


def read_tensors(
    path: str | Path,
    check: Callable[[Mapping[str, Held]], None],
    digest: str | None = None,
    names: tuple[str, ...] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, once their names, types and shapes are as expected.

    Args:
      path: the file.
      check: is given what the header says, and refuses what is not expected. Nothing has been read or allocated then.
      digest: the SHA-256 that the file is expected to have; None leaves that out.
      names: which arrays are wanted; None is all.

    Raises:
      OSError: it cannot be read.
      Refusal: from ``check``.
      Unusable: it is no regular file or no safetensors file, it does not fit in memory, or it is not what ``digest``
        says.
    """
    with open_regular(path) as file:
        header = read_header(file, path)
        check(header.tensors)
        room_for(path, header.size)
        file.seek(0)
        found, arrays = hashlib.sha256(file.read(header.begins)), {}
        for name, held in header.tensors.items():
            if held.dtype == "bfloat16":
                raise Unusable(f"{path}: '{name[:60]}' is of a type that numpy lacks ({held.dtype})")
            if digest is None and names is not None and name not in names:
                file.seek(bytes_of(held), 1)
                continue
            arrays[name] = np.empty(held.shape, held.dtype)
            data = memoryview(arrays[name].reshape(-1).view(np.uint8))
            if file.readinto(data) != len(data):
                raise Unusable(f"{path} was cut short while it was read")
            found.update(data)
    if digest is not None and found.hexdigest() != digest:
        raise Unusable(f"{path}: its SHA-256 is {found.hexdigest()[:12]}... and {digest[:12]}... is expected")
    return arrays if names is None else {name: arrays[name] for name in names}


def room_for(path: str | Path, size: int) -> None:
    """Refuses, as unusable, what does not fit in the free memory: a file with holes may be larger than the disk."""
    from qtwin.storage.sizes import free_bytes
    from qtwin.storage.sizes import size as in_words

    free = free_bytes()
    if free is not None and size > free:
        raise Unusable(f"{path} holds {in_words(size)}, and {in_words(free)} of memory are free")


def fits(where: str, held: Mapping[str, Held], wanted: Mapping[str, object]) -> None:
    """Refuses arrays whose names, types or shapes are not those of ``wanted``.

    Args:
      where: the file, for the message.
      held: what the file's header says.
      wanted: by name, anything with a shape and a dtype.
    """
    lacks, beyond = sorted(set(wanted) - set(held)), sorted(set(held) - set(wanted))
    if lacks or beyond:
        told = [f"lacks {_some(lacks)}"] if lacks else []
        told += [f"holds, beyond what this run has, {_some(beyond)}"] if beyond else []
        raise Refusal(
            f"{where} {' and '.join(told)}, so it was saved by a run with other settings; resume with the same ones"
        )
    other = []
    for name, leaf in wanted.items():
        try:
            same(f"'{name}'", held[name].dtype, held[name].shape, leaf)
        except Refusal as refusal:
            other.append(str(refusal).partition(", so it is")[0])
    if other:
        more = f" (and {len(other) - MANY} more)" if len(other) > MANY else ""
        told = ", ".join(other[:MANY]) + more
        raise Refusal(f"{where}: {told}, so it is of a run with other settings; resume with the same ones")


MANY = 6  # arrays that differ which are named


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(f"'{name}'" for name in names[:MANY]) + more


def same(where: str, dtype, shape, like) -> None:
    """Refuses an array of another type or shape than ``like``'s; nothing of the size it claims has been made yet."""
    if tuple(shape) != tuple(like.shape) or np.dtype(like.dtype).name != str(dtype):
        raise Refusal(
            f"{where} is {dtype}{list(shape)} and this run has {like.dtype}{list(like.shape)}, so it is of a run with"
            " other settings; resume with the same ones"
        )
