"""Which numbers survive in the type that they are kept in. Read without importing JAX."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from qtwin.types import Array

if TYPE_CHECKING:
    from gymnasium.spaces import Box

KEPT = {
    "float64": "float32",
    "longdouble": "float32",
    "float128": "float32",
    "float16": "float32",
    "int64": "int32",
    "uint64": "uint32",
}


def kept_dtype(space: Box) -> str:
    """The type in which observations of a box are kept: 64 bits become 32.

    Whole numbers whose bounds do not fit into 32 bits become float32, which is what networks compute in; bounds at the
    ends of the 64 bits count as none, and values are then checked as they come.
    """
    kept = KEPT.get(space.dtype.name, space.dtype.name)
    if space.dtype.kind not in "iu" or kept == space.dtype.name:
        return kept
    ends, held = np.iinfo(space.dtype), np.iinfo(kept)
    low = space.low[space.low != ends.min]
    high = space.high[space.high != ends.max]
    # Either kind of bound may lie beyond either end: a box from 2**40 up has only a lower one.
    bounds = np.concatenate([low.ravel(), high.ravel()])
    return kept if not bounds.size or fits(bounds, (held.min, held.max)) else "float32"


def note_rounding(name: str, space: Box) -> None:
    """Warns of whole numbers that are kept as float32, which does not tell all of them apart."""
    if space.dtype.kind in "iu" and kept_dtype(space) == "float32":
        low, high = int(space.low.min()), int(space.high.max())
        warnings.warn(
            f"{name} has observations of {space.dtype} from {low:,} to {high:,}; they are kept as float32, which holds"
            " whole numbers exactly up to 16,777,216 and about 7 digits of larger ones; if the last digits matter,"
            " scale them in gymnasium.wrappers.TransformObservation",
            stacklevel=3,
        )


def limits(*dtypes: str | np.dtype) -> tuple[float, float]:
    """The least and the greatest number that all of ``dtypes`` hold; none of them is bool."""
    ends = []
    for kind in map(np.dtype, dtypes):
        whole, known = kind.kind in "iu", np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
        ends.append((int(known.min), int(known.max)) if whole else (float(known.min), float(known.max)))
    lows, highs = zip(*ends, strict=True)
    return max(lows), min(highs)


def fits(numbers: Array, within: tuple[float, float]) -> bool:
    """Do all numbers lie within two bounds? One that is not finite does not."""
    low, high = within
    return not numbers.size or bool(numbers.min() >= low and numbers.max() <= high)


def misfit(numbers: Array, within: tuple[float, float]) -> Array | None:
    """Where numbers lie outside two bounds; None where none does. NaN does not."""
    if fits(numbers, within):
        return None
    low, high = within
    outside = (numbers < low) | (numbers > high)
    return outside if outside.any() else None
