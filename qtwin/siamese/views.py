"""What a Siamese method learns from in the place of a replay: passes over images, two views of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qtwin.config.siamese_specs import augment_choice
from qtwin.errors import Refusal
from qtwin.replay.base import Replay
from qtwin.siamese import augment
from qtwin.siamese.augment import Augmentation
from qtwin.types import Array, Timestep

ORDER, VIEW = 0, 1  # streams of random numbers: of the passes' orders, and of the augmentations


class Views(NamedTuple):
    """A batch: two views of every image, drawn anew each time. [B, H, W, C] float32 in [0, 1]"""

    first: Array
    second: Array


class Gallery(NamedTuple):
    """The images where the learner computes. [M, H, W, C] float32 in [0, 1], or uint8."""

    images: Array


def views(images: Array, augmentation: Augmentation, batch: int) -> Replay:
    """Passes over the images in batches, as a data loader that shuffles and drops the last incomplete batch makes them.

    A pass is ``M // batch`` gradient steps and shows each image once, but for the ``M % batch`` that no whole batch is
    left for. The order of a pass, and so which images it leaves out, is drawn from the run's key and the number of the
    pass alone: a run that was stopped in the middle of a pass goes on with the images that the pass has left. (One that
    went back to a checkpoint for a loss that was not finite has another key from there on, and other orders.)

    Args:
      images: float32 in [0, 1], or uint8, which is kept as it is and divided by 255 when it is looked at. [M, H, W, C]
      augmentation: makes a view of an image.
      batch: B, at most M. [images]

    Raises:
      Refusal: there are fewer images than a batch needs.
    """
    total = images.shape[0]
    steps = steps_of_pass(total, batch)
    shape = jax.ShapeDtypeStruct(images.shape, images.dtype)

    def init(example: Timestep, cycle: Any) -> Gallery:
        del example, cycle
        # Fetched by the program that starts a run, not compiled into it: a constant would be part of its text.
        return Gallery(jax.pure_callback(lambda: images, shape, vmap_method="sequential"))

    def add(state: Gallery, chunk: Timestep) -> Gallery:
        del chunk
        return state  # nothing is collected

    def sample_at(state: Gallery, key: Array, count: Array) -> Views:
        number, step = count // steps, count % steps
        order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, ORDER), number), total)
        rows = jax.lax.dynamic_slice_in_dim(order, step * batch, batch)
        how = jax.random.fold_in(jax.random.fold_in(key, VIEW), count)
        return Views(*augment.two_views(augmentation, how, as_floats(state.images[rows])))

    return Replay(total, batch, init, add, sample_at, sample_at=sample_at)


def steps_of_pass(images: int, batch: int) -> int:
    """Whole batches in a pass over the images. [gradient steps]

    Raises:
      Refusal: there are fewer images than a batch needs.
    """
    if not 1 <= batch <= images:
        raise Refusal(f"there are {images:,} images to learn from and a batch needs {batch:,}; use a smaller batch")
    return images // batch


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
