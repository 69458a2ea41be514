"""Images to learn from: scattered digits, CIFAR-10 from a local folder, pictures, an array file, or recorded frames."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from qtwin.errors import Refusal, nearest
from qtwin.types import Array

CANVAS = 28  # scattered digits stand on a canvas of this size [pixels]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")  # whatever a file is called: others hand theirs to programs outside
CIFAR_TRAIN, CIFAR_TEST = tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)
CIFAR_IMAGES, CIFAR_ROW = 10_000, 1 + 3 * 32 * 32  # in one file; a label and an image, one byte each


class Images(NamedTuple):
    """Images to learn from and images to be judged by.

    Attributes:
      name: what they are.
      train: float32 in [0, 1], or uint8, which is a quarter of it. [M, H, W, C]
      train_labels: whole numbers from 0, None where there are none. [M]
      test: likewise; none where there are no labels. [N, H, W, C]
      test_labels: [N]
    """

    name: str
    train: Array
    train_labels: Array | None
    test: Array
    test_labels: Array | None


def load_images(data: str, seed: int = 0) -> Images:
    """The images that ``data`` names.

    Args:
      data: ``digits``; a folder that holds CIFAR-10's binary version; a folder of pictures of one size, whose
        sub-folders, if there are any, are their labels; an ``.npy`` or ``.npz`` file (arrays ``images`` [M, H, W, C]
        or [M, H, W], and perhaps ``labels`` [M]); or a recording of ``qtwin record``, whose frames are the images.
      seed: of the scattering, and of which images are put aside to judge by.

    Raises:
      Refusal: there is nothing there, or not what was expected.
    """
    if data == "digits":
        return scattered_digits(seed)
    path = Path(data)
    if path.suffix in (".npy", ".npz"):
        return _array_file(path, seed)
    if path.suffix == ".safetensors":
        return _recording(path, seed)
    if not path.is_dir():
        hint = nearest(data, ["digits"]) if not path.exists() else ""
        raise Refusal(f"--data is digits, a folder of images, an .npy or .npz file or a recording, not '{data}'{hint}")
    if any((path / file).exists() for file in (*CIFAR_TRAIN, *CIFAR_TEST)):
        return _cifar(path)
    return _folder(path, seed)


def scattered_digits(seed: int = 0) -> Images:
    """scikit-learn's handwritten digits: doubled in size, turned, scaled, put at a random place on a larger canvas.

    As they come, 8x8 and centred, the raw pixels' nearest neighbours already tell them apart. Turned by up to 20
    degrees and scaled by up to 20 % about their own centre. 1,437 to learn from, 360 to judge by.
    """
    from scipy.ndimage import affine_transform
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    small, labels = load_digits(return_X_y=True)
    small = small.reshape(-1, 8, 8).astype(np.float32) / 16.0
    out = np.zeros((len(small), CANVAS, CANVAS), np.float32)
    angle = np.deg2rad(rng.uniform(-20, 20, len(small)))
    scale = 2.0 * rng.uniform(0.8, 1.2, len(small))
    place = rng.uniform(8, CANVAS - 8, (len(small), 2))  # of the centre: half of a doubled digit from the edge
    for i, image in enumerate(small):
        turn = np.array([[np.cos(angle[i]), -np.sin(angle[i])], [np.sin(angle[i]), np.cos(angle[i])]]) / scale[i]
        # Where a pixel of the canvas comes from: its distance from the place, turned back and shrunk, from the centre.
        out[i] = affine_transform(image, turn, 3.5 - turn @ (place[i] - 0.5), (CANVAS, CANVAS), order=1)
    return _split("digits", np.clip(out, 0.0, 1.0)[..., None], labels, seed)


def _split(name: str, images: Array, labels: Array | None, seed: int) -> Images:
    if labels is None:
        return Images(name, images, None, images[:0], None)
    order = np.random.default_rng([seed, 1]).permutation(len(images))
    cut = len(images) - len(images) // 5 - bool(len(images) % 5)
    learn, judge = order[:cut], order[cut:]
    labels = np.asarray(labels, np.int32)
    return Images(name, images[learn], labels[learn], images[judge], labels[judge])


def _array_file(path: Path, seed: int) -> Images:
    if not path.is_file():
        beside = [str(p) for p in path.parent.glob("*.np[yz]")] if path.parent.is_dir() else []
        raise Refusal(f"there is no file {path}{nearest(str(path), beside)}")
    try:
        found = np.load(path, allow_pickle=False)
        images = found if path.suffix == ".npy" else found["images"]
        labels = found["labels"] if path.suffix == ".npz" and "labels" in found else None
    except KeyError:
        raise Refusal(f"{path} is expected to hold an array 'images', and holds {', '.join(found) or 'none'}") from None
    except (ValueError, OSError, EOFError, MemoryError, OverflowError, SyntaxError, BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise Refusal(f"{path} cannot be read as plain arrays: {reason}") from None
    images = _checked(str(path), images)
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise Refusal(
                f"{path} is expected to hold {len(images)} labels, whole numbers from 0, and"
                f" {list(labels.shape)} of {labels.dtype} came"
            )
    return _split(path.stem, images, labels, seed)


def _recording(path: Path, seed: int) -> Images:
    """The frames of a recording, each once; without labels."""
    from qtwin.replay.dataset import load_dataset

    recorded = load_dataset(path)
    if len(recorded.spec.obs_shape) not in (2, 3):
        raise Refusal(
            f"{path} was recorded in {recorded.spec.id}, whose observations {list(recorded.spec.obs_shape)} are no"
            " images; record one whose are, qtwin record minatar:Breakout"
        )
    return _split(recorded.spec.id.partition(":")[2], _checked(str(path), recorded.steps.obs), None, seed)


def _checked(where: str, images: Array) -> Array:
    """Images [M, H, W, C] as uint8, or as float32 in [0, 1]; refuses what is none."""
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise Refusal(f"{where} is expected to hold images [M, H, W, C], and {list(images.shape)} came")
    if images.dtype == np.uint8:
        return images
    if images.dtype == bool:
        return images.astype(np.float32)
    images = images.astype(np.float32)
    finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if not finite.all():
        raise Refusal(f"{where} is expected to hold finite numbers, and image {int(np.argmin(finite))} does not")
    if images.min() < 0.0 or images.max() > 1.0:
        raise Refusal(
            f"{where} is expected to hold whole numbers of 8 bits or numbers from 0 to 1, and"
            f" {images.min():g} to {images.max():g} came; divide by the greatest"
        )
    return images


def _cifar(path: Path) -> Images:
    def read(files: tuple[str, ...]) -> tuple[Array, Array]:
        rows = []
        for name in files:
            if not (path / name).is_file():
                raise Refusal(f"{path} is expected to hold CIFAR-10's {name}, and does not; unpack the binary version")
            raw = np.fromfile(path / name, np.uint8)
            if raw.size != CIFAR_IMAGES * CIFAR_ROW:
                raise Refusal(
                    f"{path / name} is expected to have {CIFAR_IMAGES * CIFAR_ROW:,} bytes, and {raw.size:,} came; it"
                    " was cut short or is another file"
                )
            rows.append(raw.reshape(CIFAR_IMAGES, CIFAR_ROW))
        raw = np.concatenate(rows)
        if raw[:, 0].max() > 9:
            raise Refusal(f"{path} is expected to have labels from 0 to 9, and {raw[:, 0].max()} came")
        images = raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), raw[:, 0].astype(np.int32)

    train, test = read(CIFAR_TRAIN), read(CIFAR_TEST)
    return Images("cifar10", *train, *test)


def _folder(path: Path, seed: int) -> Images:
    from PIL import Image, UnidentifiedImageError

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise Refusal(f"{path} is expected to hold pictures ({', '.join(SUFFIXES)}), and there is none")
    pictures = []
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as picture:
                pictures.append(np.asarray(picture.convert("RGB")))
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise Refusal(f"{file} cannot be read as a picture: {error}") from None
        if pictures[-1].shape != pictures[0].shape:
            first, other = ("x".join(map(str, p.shape[:2])) for p in (pictures[0], pictures[-1]))
            raise Refusal(
                f"pictures are expected to be of one size; {files[0].name} has {first} and {file.name} {other}"
            )
    parents = sorted({file.parent for file in files})
    labels = np.array([parents.index(file.parent) for file in files]) if len(parents) > 1 else None
    return _split(path.name, np.stack(pictures), labels, seed)
