"""Parsers of the Siamese options. Read without importing JAX."""

from __future__ import annotations

import math

from qtwin.errors import Refusal, nearest

# name: (how it is written, what it does)
AUGMENTATIONS = {
    "crop": ("crop[:LEAST]", "random resized crop of at least LEAST of the area (default 0.2)"),
    "shift": ("shift:PIXELS", "random shift of up to PIXELS pixels each way, edge padding"),
    "turn": ("turn:DEGREES", "random rotation of up to DEGREES degrees each way"),
    "flip": ("flip", "horizontal flip with probability 0.5"),
    "colour": (
        "colour[:STRENGTH]",
        "jitter of brightness, contrast and saturation by up to STRENGTH (default 0.4), probability 0.8",
    ),
    "grey": ("grey", "greyscale with probability 0.2"),
    "blur": ("blur", "Gaussian blur with probability 0.5"),
}


def augment_choice(text: str) -> tuple[tuple[str, float | None], ...]:
    """Parses ``crop:0.3+flip+shift:4`` into steps with their numbers, None where a step has none."""
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
            raise Refusal(
                f"the augmentation '{name}' is written {form}, got '{step}'; write for example crop:0.3+shift:4"
            )
        steps.append((name, value))
    return tuple(steps)
