"""An environment's own two spaces as plain data: what it gives and takes, before any translation.

Agents, replays and recordings see something simpler (`qtwin.envs.spec.EnvSpec`): states and actions that count from 0,
continuous actions flat and in [-1, 1]. Read without importing JAX.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtwin.errors import Refusal
from qtwin.types import Array

if TYPE_CHECKING:
    from gymnasium.spaces import Space

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATS, *INTEGERS, "bool")
LARGEST = 2**24  # numbers in one observation or action
WHOLE = 2**53  # whole numbers up to this one are exact in 64-bit floating point
MANY = 2**17  # bounds, all of which are kept
BEYOND = {"-inf": -math.inf, "inf": math.inf}  # how JSON, which has no infinity, writes that there is no bound


@dataclasses.dataclass(frozen=True)
class SpaceSpec:
    """One space of an environment.

    Attributes:
      kind: "discrete" (the whole numbers start, ..., start + n - 1) or "box" (an array of bounded numbers).
      dtype: numpy's name of the type of what it holds.
      shape: of what it holds; () where it is discrete.
      n, start: of a discrete space.
      low, high: of a box, exact: one bound for all of its numbers, or one for each of them, row by row. Without a bound
        -inf or inf. Where more than ``MANY`` numbers have different bounds, the outermost bound stands for all.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...] = ()
    n: int = 0
    start: int = 0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """The numbers in one of its members."""
        return math.prod(self.shape)

    def bounds(self) -> tuple[Array, Array]:
        """The bounds of a box, of its own type. [size] each"""
        import numpy as np

        kind = np.dtype(self.dtype)
        return tuple(np.broadcast_to(np.array(side, kind), (self.size,)) for side in (self.low, self.high))


def space_of(name: str, what: str, space: Space) -> SpaceSpec:
    """A space of Gymnasium's as plain data.

    Args:
      name: the environment's, for messages.
      what: "actions" or "observations", for messages.
      space: `Discrete` or `Box`.

    Raises:
      Refusal: its type is none of ``DTYPES``, or a discrete space reaches beyond the largest number of its type.
    """
    import numpy as np
    from gymnasium.spaces import Discrete

    kind = np.dtype(space.dtype).name
    if what == "observations" and space.dtype.kind == "f" and kind not in FLOATS:
        kind = "float64"  # more bits than that are kept nowhere
    if kind not in DTYPES:
        raise Refusal(
            f"{name} has {what} of the type {kind}, and one of {', '.join(DTYPES)} is needed; wrap it in"
            f" gymnasium.wrappers.Transform{what[:-1].capitalize()} and hand it to from_vector"
        )
    if isinstance(space, Discrete):
        n, start = int(space.n), int(space.start)
        if start + n > np.iinfo(kind).max:
            raise Refusal(
                f"{name} has {what} from {start} to {start + n - 1}, which reaches the end of {kind}, where the space's"
                " own 'contains' fails; let it start at a smaller number"
            )
        return SpaceSpec("discrete", kind, n=n, start=start)
    low, high = _shortest(space.low.astype(kind), np.min), _shortest(space.high.astype(kind), np.max)
    return SpaceSpec("box", kind, tuple(space.shape), low=low, high=high)


def _shortest(bounds: Array, outermost: Callable[[Array], Any]) -> tuple:
    """One side of a box, exact; one number where all are the same."""
    import numpy as np

    flat = np.asarray(bounds).ravel()
    if flat.dtype == bool:
        flat = flat.astype(int)
    if flat.size > MANY or (flat.size and (flat == flat[0]).all()):
        flat = outermost(flat).reshape(1)
    return tuple(flat.tolist())


def to_json(space: SpaceSpec) -> dict[str, Any]:
    """A space as ``policy.json`` has it; `from_json` reads it back."""
    if space.kind == "discrete":
        return {"kind": "discrete", "n": space.n, "start": space.start, "shape": [], "dtype": space.dtype}
    sides = {side: [_finite(bound) for bound in getattr(space, side)] for side in ("low", "high")}
    sides = {side: bounds[0] if len(bounds) == 1 and space.size != 1 else bounds for side, bounds in sides.items()}
    return {"kind": "box", "shape": list(space.shape), "dtype": space.dtype, **sides}


def _finite(bound: float) -> float | str:
    return bound if math.isfinite(bound) else str(float(bound))


def from_json(where: str, said: Any) -> SpaceSpec:
    """A space out of a file that somebody else may have written.

    Args:
      where: the file and the field, for messages.
      said: what it holds there.

    Raises:
      Refusal: it describes no space; the sentence names the part that is wrong.
    """

    import numpy as np

    def refuse(part: str, expected: str) -> None:
        came = str(said.get(part))[:80] if part else str(said)[:80]
        raise Refusal(f"{where}: {f'{part!r} ' if part else ''}is expected to be {expected}, not {came}")

    if not isinstance(said, dict):
        refuse("", "a space, with 'kind', 'shape' and 'dtype'")
    kind, shape, dtype = said.get("kind"), said.get("shape"), said.get("dtype")
    if kind not in ("discrete", "box"):
        refuse("kind", "'discrete' or 'box'")
    if dtype not in (INTEGERS if kind == "discrete" else DTYPES):
        refuse("dtype", f"the name of a type that a {kind} space can have")
    if not isinstance(shape, list) or not all(type(size) is int and 1 <= size <= LARGEST for size in shape):
        refuse("shape", "a list of sizes")
    if math.prod(shape) > LARGEST or (kind == "discrete" and shape):
        refuse("shape", "[]" if kind == "discrete" else f"of at most {LARGEST} numbers")
    if kind == "discrete":
        n, start, range_of = said.get("n"), said.get("start"), np.iinfo(dtype)
        if type(n) is not int or not 1 <= n <= range_of.max:
            refuse("n", "a whole number of at least 1")
        if type(start) is not int or not range_of.min <= start <= range_of.max - n:
            refuse("start", f"a whole number from which {n} of them fit into {dtype}")
        return SpaceSpec(kind, dtype, n=n, start=start)
    sides = {}
    for side in ("low", "high"):
        bounds = said.get(side)
        if isinstance(bounds, list) and len(bounds) != math.prod(shape):
            refuse(side, f"{math.prod(shape)} bounds, one for each number of shape {shape}")
        bounds = bounds if isinstance(bounds, list) else [bounds]
        if not all(_is_bound(bound, dtype) for bound in bounds):
            refuse(side, f"bounds that are numbers of {dtype}, or '-inf' and 'inf' where there is none")
        sides[side] = tuple(BEYOND.get(bound, bound) for bound in bounds)
    space = SpaceSpec(kind, dtype, tuple(shape), **sides)
    low, high = space.bounds()
    if not (low <= high).all():
        refuse("low", f"not above 'high', {str(said.get('high'))[:40]}")
    return space


def _is_bound(bound: Any, dtype: str) -> bool:
    """Is it a number of that type, to the last bit, or that there is no bound?"""
    import numpy as np

    if isinstance(bound, str):
        return bound in BEYOND and dtype in FLOATS
    if dtype in FLOATS:
        if type(bound) is not float and not (type(bound) is int and abs(bound) <= WHOLE):
            return False
        with np.errstate(over="ignore"):
            return math.isfinite(bound) and float(np.dtype(dtype).type(bound)) == bound
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return type(bound) is int and least <= bound <= most
