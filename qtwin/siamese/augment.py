"""Augmentations in JAX: each a pure function of a key and one image, compiled with the step that learns from it.

An image is float32 [H, W, C] in [0, 1]. `two_views` maps an augmentation over a batch, twice.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qtwin.types import Array

Augmentation = Callable[[Array, Array], Array]  # (key, image [H, W, C]) -> image [H, W, C]


def compose(*steps: Augmentation) -> Augmentation:
    """One after another, each with a key of its own."""

    def all_of(key: Array, image: Array) -> Array:
        for i, step in enumerate(steps):
            image = step(jax.random.fold_in(key, i), image)
        return image

    return all_of


def sometimes(step: Augmentation, probability: float) -> Augmentation:
    """``step`` with the given probability, else the image as it is."""

    def perhaps(key: Array, image: Array) -> Array:
        which, what = jax.random.split(key)
        return jnp.where(jax.random.uniform(which) < probability, step(what, image), image)

    return perhaps


def resized_crop(least: float = 0.2, most: float = 1.0, ratio: float = 4 / 3) -> Augmentation:
    """A random part of the image in the image's own size, by bilinear interpolation (Szegedy et al. 2015).

    Args:
      least, most: the part's share of the area, drawn uniformly.
      ratio: width to height, relative to the image's own, lies between 1 / ratio and ratio, uniform in its logarithm.
    """

    def crop(key: Array, image: Array) -> Array:
        height, width, _ = image.shape
        area_key, ratio_key, y_key, x_key = jax.random.split(key, 4)
        area = jax.random.uniform(area_key, (), jnp.float32, least, most)
        log_ratio = jnp.log(ratio)
        aspect = jnp.exp(jax.random.uniform(ratio_key, (), jnp.float32, -log_ratio, log_ratio))
        # As shares of the whole; what would stick out is cut, which keeps the crop inside.
        tall, wide = jnp.minimum(jnp.sqrt(area / aspect), 1.0), jnp.minimum(jnp.sqrt(area * aspect), 1.0)
        top = jax.random.uniform(y_key) * (1 - tall) * height
        left = jax.random.uniform(x_key) * (1 - wide) * width
        scale = jnp.stack([1 / tall, 1 / wide])
        move = -jnp.stack([top, left]) * scale
        return jax.image.scale_and_translate(image, image.shape, (0, 1), scale, move, "linear", antialias=False)

    return crop


def flip(key: Array, image: Array) -> Array:
    """Left and right changed, for every second image."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def shift(pixels: int) -> Augmentation:
    """Moved by up to so many pixels each way, the border repeated (Yarats et al. 2021, DrQ: pixels 4 of 84)."""

    def moved(key: Array, image: Array) -> Array:
        padded = jnp.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
        top, left = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
        return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)

    return moved


def turn(degrees: float) -> Augmentation:
    """Turned about its centre by up to so many degrees each way, by bilinear interpolation, zeros beyond the border."""

    def turned(key: Array, image: Array) -> Array:
        height, width, _ = image.shape
        angle = jnp.deg2rad(jax.random.uniform(key, (), jnp.float32, -degrees, degrees))
        y = jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2
        x = jnp.arange(width, dtype=jnp.float32)[None, :] - (width - 1) / 2
        from_y = jnp.cos(angle) * y - jnp.sin(angle) * x + (height - 1) / 2
        from_x = jnp.sin(angle) * y + jnp.cos(angle) * x + (width - 1) / 2
        channel = lambda c: jax.scipy.ndimage.map_coordinates(c, [from_y, from_x], order=1)  # noqa: E731
        return jax.vmap(channel, in_axes=-1, out_axes=-1)(image)

    return turned


def colour(brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4) -> Augmentation:
    """Brightness, contrast and, with three channels, saturation, each scaled by a factor within 1 +- its strength."""

    def jitter(key: Array, image: Array) -> Array:
        bright, contrasted, saturated = (
            1 + strength * jax.random.uniform(k, (), jnp.float32, -1.0, 1.0)
            for strength, k in zip((brightness, contrast, saturation), jax.random.split(key, 3), strict=True)
        )
        image = jnp.clip(image * bright, 0.0, 1.0)
        grey = _grey(image)
        image = jnp.clip(jnp.mean(grey) + (image - jnp.mean(grey)) * contrasted, 0.0, 1.0)
        if image.shape[-1] == 3:
            grey = _grey(image)
            image = jnp.clip(grey + (image - grey) * saturated, 0.0, 1.0)
        return image

    return jitter


def greyscale(key: Array, image: Array) -> Array:
    """Without colour, every channel its luminance."""
    del key
    return jnp.broadcast_to(_grey(image), image.shape)


def blur(least: float = 0.1, most: float = 2.0, radius: int = 3) -> Augmentation:
    """A Gaussian blur with a deviation drawn uniformly (Chen et al. 2020, appendix A). [pixels]"""

    def blurred(key: Array, image: Array) -> Array:
        sigma = jax.random.uniform(key, (), jnp.float32, least, most)
        offsets = jnp.arange(-radius, radius + 1)
        kernel = jnp.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = kernel / jnp.sum(kernel)
        for axis in (0, 1):
            padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
            padded, size = jnp.pad(image, padding, mode="edge"), image.shape[axis]
            shifts = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(2 * radius + 1)]
            image = sum(weight * part for weight, part in zip(kernel, shifts, strict=True))
        return image

    return blurred


def two_views(augmentation: Augmentation, key: Array, images: Array) -> tuple[Array, Array]:
    """Two views of every image: images [B, H, W, C] -> ([B, H, W, C], [B, H, W, C])."""
    first, second = jax.random.split(key)
    size = images.shape[0]
    each = jax.vmap(augmentation)
    return each(jax.random.split(first, size), images), each(jax.random.split(second, size), images)


def _grey(image: Array) -> Array:
    if image.shape[-1] != 3:
        return jnp.mean(image, axis=-1, keepdims=True)
    return jnp.sum(image * jnp.array([0.299, 0.587, 0.114])[None, None], axis=-1, keepdims=True)
