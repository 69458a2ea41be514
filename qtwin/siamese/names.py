"""The small languages of the Siamese options, read and checked without importing JAX."""

from __future__ import annotations

import math

from qtwin.errors import Refusal, nearest

# name: (how it is written, what it does)
AUGMENTATIONS = {
    "crop": ("crop[:LEAST]", "a random part of at least LEAST of the area (0.2 if left out), in the image's own size"),
    "shift": ("shift:PIXELS", "moved by up to so many pixels each way, the border repeated"),
    "turn": ("turn:DEGREES", "turned about its centre by up to so many degrees each way"),
    "flip": ("flip", "left and right changed, for every second view"),
    "colour": ("colour[:STRENGTH]", "brightness, contrast and saturation, by up to STRENGTH (0.4), four times of five"),
    "grey": ("grey", "without colour, one time of five"),
    "blur": ("blur", "a Gaussian blur, one time of two"),
}


def encoder_choice(name: str, image_shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Reads ``conv:WIDTH,WIDTH,...`` or ``resnet18``; returns the widths of its layers.

    Args:
      name: as written.
      image_shape: what it is to take, [H, W, C]; None where that is not known yet.
    """
    kind, _, rest = name.partition(":")
    if name == "resnet18":
        return 64, 128, 256, 512
    if kind != "conv":
        raise Refusal(f"unknown encoder '{name}'{nearest(kind, ['conv:32,64,128', 'resnet18'])}")
    widths = widths_choice(rest, f"an encoder is written conv:WIDTH,WIDTH,... and '{name}' came; write conv:32,64,128")
    if image_shape is not None and min(image_shape[:2]) < 2 ** (len(widths) - 1):
        raise Refusal(
            f"each of {len(widths)} layers halves the image, and nothing of {image_shape[0]}x{image_shape[1]} is left"
            " for the last; write fewer, --encoder conv:32,64"
        )
    return widths


def widths_choice(text: str, complaint: str) -> tuple[int, ...]:
    """Reads ``128,128``; refuses with ``complaint``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise Refusal(complaint)
    return tuple(int(part) for part in parts)


def augment_choice(text: str) -> tuple[tuple[str, float | None], ...]:
    """Reads ``crop:0.3+flip+shift:4`` into steps with their numbers, None where none was written."""
    steps = []
    for step in text.split("+"):
        name, colon, rest = step.strip().partition(":")
        if name not in AUGMENTATIONS:
            raise Refusal(f"unknown augmentation '{step}' in '{text}'{nearest(name, AUGMENTATIONS)}")
        form, value = AUGMENTATIONS[name][0], None
        if colon:
            try:
                value = float(rest)
            except ValueError:
                value = math.nan
        bad = {
            "crop": value is not None and not 0 < value <= 1,
            "shift": value is None or not value >= 1 or value != int(value),
            "turn": value is None or not 0 < value <= 180,
            "colour": value is not None and not 0 < value <= 1,
        }
        if bad.get(name, bool(colon)):
            raise Refusal(f"the augmentation '{name}' is written {form}, and '{step}' came; write crop:0.3+shift:4")
        steps.append((name, value))
    return tuple(steps)
