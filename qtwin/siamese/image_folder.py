"""A folder of pictures as images. Read without importing JAX."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qtwin.errors import Refusal
from qtwin.siamese.sizes import DAMAGED, check_size, open_regular, reason_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")  # whatever a file is called: others hand theirs to programs outside
LARGEST_PICTURE = 2**24  # pixels of one picture: 4096 x 4096
LARGEST_FILE = 2**28  # bytes of one picture's file
SHALLOW, DEEP = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"), ("I", "I;16", "I;16L", "I;16B")  # Pillow's modes
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {  # by its value: how the stored picture [H, W, ...] is brought upright
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[:, ::-1].swapaxes(0, 1),
}


def read_folder(path: Path, limit: float) -> tuple[np.ndarray, np.ndarray | None]:
    """All pictures below a folder, as images [M, H, W, 3], and the folders that they are in as labels [M].

    Each is brought to three colours and upright (EXIF orientation); what is transparent shows white behind it; an
    animated one gives its first frame. uint8, or float32 in [0, 1] if one of them is a 16-bit grey picture. Sizes are
    read from the headers of all, and held against the limits, before the first is decoded.

    Args:
      path: the folder. Links to files are followed, links to folders are not.
      limit: memory that the images may take. [GiB]

    Raises:
      Refusal: there is no picture, one cannot be read, is too large, or of another size than the first.
    """
    files = _files(path)
    if not files:
        raise Refusal(f"{path} is expected to hold pictures ({', '.join(SUFFIXES)}), and there is none")
    deep = _check_headers(path, files, limit)
    images = None
    for i, file in enumerate(files):
        with _opened(file) as picture:
            pixels = _pixels(picture, deep)
        if images is None:
            check_size(str(path), len(files) * pixels.nbytes, limit)
            images = np.empty((len(files), *pixels.shape), pixels.dtype)
        if pixels.shape != images.shape[1:]:
            first, other = ("x".join(map(str, shape[:2])) for shape in (images.shape[1:], pixels.shape))
            raise Refusal(
                f"pictures are expected to be of one size; {files[0].name} has {first} and {file.name} {other}"
            )
        images[i] = pixels
    parents = sorted({file.parent for file in files})
    place = {parent: label for label, parent in enumerate(parents)}
    return images, np.array([place[file.parent] for file in files]) if len(parents) > 1 else None


def _files(path: Path) -> list[Path]:
    """All that are called as pictures are, folders left out."""
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(SUFFIXES) and Path(name).suffix
    )


def _check_headers(path: Path, files: list[Path], limit: float) -> bool:
    """Holds the sizes that the pictures' headers say against the limits; returns whether one of them is deep."""
    pixels, deep = 0, False
    for file in files:
        with _opened(file) as picture:
            deep |= picture.mode in DEEP
            pixels += picture.width * picture.height
        check_size(str(path), pixels * 3 * (4 if deep else 1), limit)
    return deep


@contextlib.contextmanager
def _opened(file: Path) -> Iterator:
    """A picture of a size that is read, so far its header alone; what goes wrong with it is a refusal that names it."""
    from PIL import Image

    with open_regular(file, LARGEST_FILE) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(opened, formats=FORMATS) as picture:
                if not 0 < picture.width * picture.height <= LARGEST_PICTURE:
                    raise Image.DecompressionBombError
                if picture.mode not in (*SHALLOW, *DEEP):
                    raise Refusal(f"{file} has pixels of the kind {picture.mode}; save it as an RGB or a grey picture")
                yield picture
        except Refusal:
            raise
        except (*DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
                raise Refusal(f"{file} has more than {LARGEST_PICTURE:,} pixels; make it smaller") from None
            unknown = isinstance(error, Image.UnidentifiedImageError)
            reason = f"it is none of {', '.join(FORMATS)}" if unknown else reason_of(error)
            raise Refusal(f"{file} cannot be read as a picture: {reason}") from None


def _pixels(picture, deep: bool) -> np.ndarray:
    """A picture [H, W, 3] as uint8; where ``deep``, as float32 in [0, 1]."""
    picture.load()
    turn = TURNS.get(picture.getexif().get(ORIENTATION), lambda p: p)
    if picture.mode in DEEP:
        if not deep:
            raise ValueError("it has changed since its header was read")
        grey = np.asarray(picture).astype(np.float32) / np.float32(65_535)
        if grey.min() < 0 or grey.max() > 1:
            raise ValueError("its numbers have more than 16 bits")
        if "transparency" in picture.info:
            grey[np.asarray(picture) == picture.info["transparency"]] = 1.0
        return turn(np.repeat(grey[..., None], 3, axis=2))
    pixels = turn(np.asarray(_on_white(picture)))
    return pixels.astype(np.float32) / np.float32(255) if deep else pixels


def _on_white(picture):
    """A picture in three colours of 8 bits, white where it is transparent."""
    from PIL import Image

    if picture.mode not in ("LA", "PA", "RGBA") and "transparency" not in picture.info:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
