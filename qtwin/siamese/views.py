"""What a Siamese method learns from in the place of a replay: two views of each image of a batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qtwin.replay.base import Replay
from qtwin.siamese import augment
from qtwin.siamese.augment import Augmentation
from qtwin.siamese.names import augment_choice
from qtwin.types import Array, Timestep


class Views(NamedTuple):
    """A batch: two views of every image, drawn anew each time. [B, H, W, C] float32 in [0, 1]"""

    first: Array
    second: Array


class Gallery(NamedTuple):
    """The images where the learner computes. [M, H, W, C] float32 in [0, 1], or uint8."""

    images: Array


def views(images: Array, augmentation: Augmentation, batch: int) -> Replay:
    """Images to learn from, none of them twice in a batch.

    Args:
      images: float32 in [0, 1], or uint8, which is kept as it is and divided by 255 when it is looked at. [M, H, W, C]
      augmentation: makes a view of an image.
      batch: B, at most M. [images]
    """
    shape = jax.ShapeDtypeStruct(images.shape, images.dtype)

    def init(example: Timestep, cycle: Any) -> Gallery:
        del example, cycle
        # Fetched by the program that starts a run, not compiled into it: a constant would be part of its text.
        return Gallery(jax.pure_callback(lambda: images, shape, vmap_method="sequential"))

    def add(state: Gallery, chunk: Timestep) -> Gallery:
        del chunk
        return state  # nothing is collected

    def sample(state: Gallery, key: Array, step: Array) -> Views:
        del step
        which, how = jax.random.split(key)
        rows = jax.random.choice(which, images.shape[0], (batch,), replace=False)
        return Views(*augment.two_views(augmentation, how, as_floats(state.images[rows])))

    return Replay(images.shape[0], batch, init, add, sample)


def as_floats(images: Array) -> Array:
    """Images as float32 in [0, 1]."""
    return images.astype(jnp.float32) / 255.0 if images.dtype == jnp.uint8 else images


def augmentation_of(text: str) -> Augmentation:
    """The augmentation that ``crop:0.3+flip+shift:4`` asks for."""
    makers = {
        "crop": lambda least: augment.resized_crop(0.2 if least is None else least),
        "shift": lambda pixels: augment.shift(int(pixels)),
        "turn": lambda degrees: augment.turn(degrees),
        "flip": lambda _: augment.flip,
        "colour": lambda s: augment.sometimes(augment.colour(*[0.4 if s is None else s] * 3), 0.8),
        "grey": lambda _: augment.sometimes(augment.greyscale, 0.2),
        "blur": lambda _: augment.sometimes(augment.blur(), 0.5),
    }
    return augment.compose(*[makers[name](value) for name, value in augment_choice(text)])
