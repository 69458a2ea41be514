"""From an agent's actions to an environment's: continuous ones leave in [-1, 1] and arrive in the environment's units.

Read without importing JAX.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium.spaces import Box

from qtwin.envs.spaces import FLOATS, INTEGERS, WHOLE, SpaceSpec
from qtwin.errors import Diverged, Refusal
from qtwin.types import Array

UNBOUNDED = float(np.finfo(np.float32).max)  # a bound of this size is none: some write it where they mean infinity


def to_bounds(action: Array, low: Array, high: Array) -> Array:
    """A continuous action in the environment's own units; -1 and 1 give the bounds exactly.

    Args:
      action: in [-1, 1]; what lies outside is clipped. [..., A]
      low, high: the bounds of each number. [A], or [..., A] where ranks may not be promoted
    """
    t = (action + 1) / 2
    return (low * (1 - t) + high * t).clip(low, high)


def bounds_of(name: str, space: Box) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The lower and the upper bound of each number of an action, flattened, exact.

    Raises:
      Refusal: they are not finite, whole numbers beyond 2^53, neither floating-point nor whole numbers, or there is
        none.
    """
    dtype = space.dtype.name
    if dtype not in (*FLOATS, *INTEGERS) or space.low.size == 0:
        came = f"a box of {dtype}" if space.low.size else "a box that holds no number"
        raise Refusal(
            f"{name} has actions in {came}, and a box of floating-point or whole numbers or one discrete action is"
            " needed; wrap it in gymnasium.wrappers.TransformAction and hand it to from_vector"
        )
    low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
    most = WHOLE if dtype in INTEGERS else np.nextafter(UNBOUNDED, 0)
    # Written so that a bound that is no number fails it too.
    if not all(abs(bound) <= most for bound in (*low, *high)):
        needed = "finite bounds are" if dtype in FLOATS else "whole numbers from -2^53 to 2^53 are"
        raise Refusal(
            f"{name} has actions in [{min(low):g}, {max(high):g}], and {needed} needed; wrap it in"
            " gymnasium.wrappers.TransformAction(env, lambda a: a, Box(-1.0, 1.0, shape)) and hand it to from_vector"
        )
    return tuple(map(float, low)), tuple(map(float, high))


def translator(name: str, space: SpaceSpec) -> Callable[[Array], Array]:
    """``actions -> actions``, from the agent's side to the environment's: for training, recordings and loaded policies.

    Discrete actions [...] count from 0 on the agent's side, wherever the space starts. Continuous ones [..., A] are in
    [-1, 1] there, and [..., *shape] in the environment's units and type. Where the environment takes whole numbers they
    are rounded to the nearest, halves to the even one. What comes out lies in the space, to the last bit.

    Args:
      name: the environment's, for messages.
      space: of one action.
    """
    kind = np.dtype(space.dtype)
    if space.kind == "discrete":
        start = kind.type(space.start)
        return lambda actions: np.asarray(actions).astype(kind) + start
    # In 64 bits an action passes through bounds of [-1, 1] unchanged, and every bound is exact.
    low, high = (bound.astype(np.float64) for bound in space.bounds())

    def translate(actions: Array) -> Array:
        if not np.isfinite(actions).all():
            raise Diverged(
                f"{name} received an action that is not finite, so the agent's network has diverged; try a smaller --lr"
            )
        inside = to_bounds(np.asarray(actions, np.float64), low, high)
        if kind.kind in "iu":
            inside = np.rint(inside)
        return inside.astype(kind).reshape((*inside.shape[:-1], *space.shape))

    return translate
