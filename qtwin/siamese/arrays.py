"""Arrays as images: which types are taken and how they are scaled, and ``.npy`` and ``.npz`` files.

Read without importing JAX.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from qtwin.errors import Refusal, nearest
from qtwin.siamese.sizes import DAMAGED, check_size, open_regular, reason_of
from qtwin.storage.files import size_of
from qtwin.types import Array

LONGEST_HEADER = 10_000  # bytes of a .npy header, numpy's own limit
DENSEST = 1032  # times smaller at most than what it holds is a deflated file
CHUNK = 2**20  # bytes read at a time
ROUNDING = 1e-6  # how far beyond 0 and 1 a float32 may lie for its rounding


class Header(NamedTuple):
    """What a ``.npy`` file says of its array.

    Attributes:
      shape: of the array.
      fortran: its first index is the one that runs fastest.
      dtype: of its numbers.
      length: of the header. [bytes]
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    length: int

    @property
    def size(self) -> int:
        """Of the array. [bytes]"""
        return math.prod(self.shape) * self.dtype.itemsize


def as_images(where: str, images: Array) -> np.ndarray:
    """Images as uint8, or as float32 in [0, 1]; their type says how they are scaled, never their numbers.

    uint8 stays as it is (255 is 1), uint16 is divided by 65,535, bool becomes 0 and 1, and floating-point numbers have
    to lie between 0 and 1. Other types do not say which number is white, and are refused.

    Args:
      where: what they are in, for the message.
      images: of any shape.

    Raises:
      Refusal: another type, numbers that are not finite or outside of [0, 1].
    """
    images = np.asarray(images)
    _check_type(where, images.dtype)
    if images.dtype.kind == "u" and images.dtype.itemsize == 1:
        return images
    with np.errstate(over="ignore"):
        scaled = images.astype(np.float32)
    if images.dtype.kind == "u":
        scaled /= np.float32(65_535)
    if images.dtype.kind != "f" or not scaled.size:
        return scaled
    least, most = scaled.min(), scaled.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        if not finite.all():
            raise Refusal(f"{where} is expected to hold finite numbers, and image {int(np.argmin(finite))} does not")
    if least < -ROUNDING or most > 1 + ROUNDING:
        raise Refusal(
            f"{where} is expected to hold {images.dtype} numbers from 0 to 1, and {least:.7g} to {most:.7g} came;"
            " divide them by the value of white, or clip them"
        )
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def as_classes(where: str, labels: Array) -> np.ndarray:
    """Labels as classes 0, 1, 2, ... in the order of the labels, which are categories and may be any whole numbers.

    Raises:
      Refusal: they are no whole numbers, or negative, which often stands for images without a label.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub":
        raise Refusal(f"{where} is expected to hold labels that are whole numbers, and {labels.dtype} came")
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise Refusal(
            f"{where} is expected to hold labels of at least 0, and {labels.min()} came (label"
            f" {int(np.argmin(labels))}); give images without a label in a file of their own"
        )
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def read_array_file(path: Path, limit: float) -> tuple[np.ndarray, np.ndarray | None]:
    """The images [M, H, W, C] of a ``.npy`` or ``.npz`` file, and its labels [M] where it has any.

    Args:
      path: the file. An ``.npz`` file has an array ``images`` and perhaps ``labels``; other arrays are not read.
      limit: memory that the images may take, as they are in the file and as they are learned from. [GiB]

    Raises:
      Refusal: it is missing, no regular file, damaged, larger than it may be, or holds something else.
    """
    if not os.path.lexists(path):
        beside = [str(p) for p in path.parent.glob("*.np[yz]")] if os.path.isdir(path.parent) else []
        raise Refusal(f"there is no file {path}{nearest(str(path), beside)}")
    with open_regular(path, 2**62) as file:
        size = size_of(file)
        if path.suffix == ".npz":
            return _archive(path, file, size, limit)
        try:
            return _images(str(path), file, size, limit), None
        except DAMAGED as error:
            raise _unreadable(path, error) from None


class _InPieces:
    """An opened archive whose list of contents is no longer than a piece: zipfile reads the list whole, at its word."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > CHUNK:
            raise ValueError(f"its list of contents is said to have {size:,} bytes")
        return self._file.read(size if size >= 0 else CHUNK)  # all that is left: the comment, at most 64 KiB


def _unreadable(path: Path, error: BaseException) -> Refusal:
    return (
        error if isinstance(error, Refusal) else Refusal(f"{path} cannot be read as plain arrays: {reason_of(error)}")
    )


def _archive(path: Path, file: BinaryIO, size: int, limit: float) -> tuple[np.ndarray, np.ndarray | None]:
    check_size(str(path), size // 4, limit)  # the longest numbers have four times the bytes that images are held in
    try:
        with zipfile.ZipFile(_InPieces(file)) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            if "images" not in names:
                held = ", ".join(names[:12]) or "none"
                raise Refusal(f"{path} is expected to hold an array 'images', and holds {held[:200]}")
            images = _images(f"{path} (images)", *_member(path, archive, "images", size), limit)
            if "labels" not in names:
                return images, None
            return images, _labels(str(path), *_member(path, archive, "labels", size), len(images), limit)
    except DAMAGED as error:
        raise _unreadable(path, error) from None


def _member(path: Path, archive: zipfile.ZipFile, name: str, size: int) -> tuple[BinaryIO, int]:
    """An array of an archive, opened, and its size [bytes]; refuses one whose size cannot be."""
    found = archive.getinfo(f"{name}.npy")
    if found.flag_bits & 1:
        raise Refusal(f"the array '{name}' in {path} is encrypted; write the file with numpy.savez")
    if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refusal(f"the array '{name}' in {path} is compressed in a way that numpy does not write; use numpy.savez")
    most = found.compress_size * (DENSEST if found.compress_type == zipfile.ZIP_DEFLATED else 1)
    if found.compress_size > size or found.file_size > most:
        raise Refusal(
            f"{path} cannot be read: its array '{name}' is said to have {found.file_size:,} bytes in"
            f" {found.compress_size:,}, which cannot be"
        )
    return archive.open(found), found.file_size


def _images(where: str, file: BinaryIO, size: int, limit: float) -> np.ndarray:
    """The images of an opened ``.npy`` file of ``size`` bytes, its header checked before they are read."""
    header = _header(where, file, size)
    _check_type(where, header.dtype)
    check_images_shape(where, header.shape)
    learned_from = math.prod(header.shape) * (1 if header.dtype.itemsize == 1 and header.dtype.kind == "u" else 4)
    check_size(where, max(header.size, learned_from), limit)
    return with_channels(as_images(where, _read(where, file, header)))


def _labels(where: str, file: BinaryIO, size: int, count: int, limit: float) -> np.ndarray:
    header = _header(where, file, size)
    check_size(f"{where} (labels)", header.size, limit)
    if header.shape != (count,) or header.dtype.kind not in "iub":
        raise Refusal(
            f"{where} is expected to hold {count} labels, whole numbers from 0, and {list(header.shape)} of"
            f" {header.dtype} came"
        )
    return as_classes(where, _read(where, file, header))


def _header(where: str, file: BinaryIO, size: int) -> Header:
    """Reads a ``.npy`` header, no more of it than numpy writes, and holds what it says against the file's size."""
    begun = file.read(12)
    version = begun[6:8]
    if begun[:6] != b"\x93NUMPY" or version not in (b"\x01\x00", b"\x02\x00"):
        raise Refusal(f"{where} is expected to be an array as numpy.save writes it, and is none")
    width = 2 if version == b"\x01\x00" else 4
    length = int.from_bytes(begun[8 : 8 + width], "little")
    if length > min(LONGEST_HEADER, size):
        raise Refusal(f"{where} cannot be read: its header is said to have {length:,} bytes")
    begun += file.read(max(8 + width + length - 12, 0))
    parsed = io.BytesIO(begun)
    np.lib.format.read_magic(parsed)
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(parsed)
    header = Header(shape, fortran, dtype, 8 + width + length)
    if any(n < 0 for n in shape) or (header.length + header.size != size and not dtype.hasobject):
        raise Refusal(
            f"{where} cannot be read: its header says {str(list(shape))[:60]} of {str(dtype)[:60]}, {header.size:,}"
            f" bytes, and {size - header.length:,} follow it"
        )
    return header


def _read(where: str, file: BinaryIO, header: Header) -> np.ndarray:
    """The array behind a header that was just read."""
    flat = np.empty(math.prod(header.shape), header.dtype)
    into, at = memoryview(flat.view(np.uint8)), 0
    while at < header.size:
        came = file.readinto(into[at : at + CHUNK])
        if not came:
            raise Refusal(f"{where} ends after {at:,} of {header.size:,} bytes; it was cut short")
        at += came
    return flat.reshape(header.shape[::-1]).T if header.fortran else flat.reshape(header.shape)


def _check_type(where: str, dtype: np.dtype) -> None:
    if dtype.hasobject:
        raise Refusal(f"{where} holds Python objects, and only plain arrays are read; convert them to numbers")
    scaled = dtype.kind in "bf" or (dtype.kind == "u" and dtype.itemsize <= 2)
    if not scaled:
        hint = "; write images.astype(np.uint8) if 255 is white" if dtype.kind in "iu" else ""
        raise Refusal(
            f"{where} is expected to hold images of uint8, uint16, bool or floating-point numbers, and"
            f" {str(dtype)[:60]} came{hint}"
        )


def check_images_shape(where: str, shape: tuple[int, ...]) -> None:
    """Refuses what are no images [M, H, W, C] or [M, H, W]."""
    if len(shape) not in (3, 4) or 0 in shape:
        raise Refusal(f"{where} is expected to hold images [M, H, W, C] or [M, H, W], and {list(shape)} came")


def with_channels(images: np.ndarray) -> np.ndarray:
    """[M, H, W] -> [M, H, W, 1]; [M, H, W, C] as it is."""
    return images[..., None] if images.ndim == 3 else images
