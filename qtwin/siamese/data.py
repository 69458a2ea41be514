"""Images to learn from: scattered digits, CIFAR-10 from a local folder, pictures, an array file, or recorded frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qtwin.errors import Refusal, nearest
from qtwin.siamese.arrays import as_images, check_images_shape, read_array_file, with_channels
from qtwin.siamese.image_folder import read_folder
from qtwin.siamese.sizes import LIMIT, check_size, open_regular
from qtwin.storage.files import size_of
from qtwin.types import Array

CANVAS = 28  # scattered digits stand on a canvas of this size [pixels]
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


def load_images(data: str, seed: int = 0, limit: float = LIMIT) -> Images:
    """The images that ``data`` names.

    Args:
      data: ``digits``; a folder that holds CIFAR-10's binary version; a folder of pictures of one size, whose
        sub-folders, if there are any, are their labels; an ``.npy`` or ``.npz`` file (arrays ``images`` [M, H, W, C]
        or [M, H, W], and perhaps ``labels`` [M]); or a recording of ``qtwin record``, whose frames are the images.
      seed: of the scattering, and of which images are put aside to judge by.
      limit: memory that the images may take; nothing larger is read. [GiB]

    Raises:
      Refusal: there is nothing there, not what was expected, or more than the limit.
    """
    if data == "digits":
        return scattered_digits(seed)
    path = Path(data)
    if path.suffix in (".npy", ".npz"):
        return _split(path.stem, *read_array_file(path, limit), seed)
    if path.suffix == ".safetensors":
        return _recording(path, seed, limit)
    if not data or not os.path.isdir(path):
        hint = nearest(data, ["digits"]) if not os.path.lexists(path) else ""
        raise Refusal(f"--data is digits, a folder of images, an .npy or .npz file or a recording, not '{data}'{hint}")
    if any((path / file).exists() for file in (*CIFAR_TRAIN, *CIFAR_TEST)):
        return _cifar(path)
    return _split(path.name, *read_folder(path, limit), seed)


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


def _recording(path: Path, seed: int, limit: float) -> Images:
    """The frames of a recording, each once; without labels."""
    from qtwin.replay.dataset import load_dataset

    if not os.path.lexists(path):
        raise Refusal(f"there is no recording {path}; write one with qtwin record ENV --out {path}")
    with open_regular(path, 2**62) as file:
        check_size(str(path), size_of(file) // 4, limit)  # a frame is recorded as obs and as next_obs
    recorded = load_dataset(path)
    where, frames = f"{path} (obs)", recorded.steps.obs
    if len(recorded.spec.obs_shape) not in (2, 3):
        raise Refusal(
            f"{path} was recorded in {recorded.spec.id}, whose observations {list(recorded.spec.obs_shape)} are not"
            f" images; record another environment, for example qtwin record minatar:Breakout"
        )
    check_images_shape(where, frames.shape)
    check_size(where, frames.size * (1 if frames.dtype == np.uint8 else 4), limit)
    return _split(recorded.spec.id.partition(":")[2], with_channels(as_images(where, frames)), None, seed)


def _cifar(path: Path) -> Images:
    def read(files: tuple[str, ...]) -> tuple[Array, Array]:
        rows = []
        for name in files:
            if not (path / name).exists():
                raise Refusal(f"{path} is expected to hold CIFAR-10's {name}, and does not; unpack the binary version")
            with open_regular(path / name, 2**62) as file:
                size = size_of(file)
                if size != CIFAR_IMAGES * CIFAR_ROW:
                    raise Refusal(
                        f"{path / name} is expected to have {CIFAR_IMAGES * CIFAR_ROW:,} bytes, and {size:,} came; it"
                        " was cut short or is another file"
                    )
                raw = np.frombuffer(file.read(size), np.uint8)
            rows.append(raw.reshape(CIFAR_IMAGES, CIFAR_ROW))
        raw = np.concatenate(rows)
        if raw[:, 0].max() > 9:
            raise Refusal(f"{path} is expected to have labels from 0 to 9, and {raw[:, 0].max()} came")
        images = raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), raw[:, 0].astype(np.int32)

    train, test = read(CIFAR_TRAIN), read(CIFAR_TEST)
    return Images("cifar10", *train, *test)
