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
