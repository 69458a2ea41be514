"""From an agent's actions to an environment's: continuous ones leave in [-1, 1] and arrive in the environment's units.

Read without importing JAX.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

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
    """The lower and the upper bound of each number of an action, flattened.

    Raises:
      Refusal: they are not finite, the numbers are whole ones, or there is none.
    """
    if not np.issubdtype(space.dtype, np.floating) or space.low.size == 0:
        came = f"a box of {space.dtype}" if space.low.size else "a box that holds no number"
        raise Refusal(
            f"{name} has actions in {came}, and a box of floating-point numbers or one discrete action is needed; wrap"
            " it in gymnasium.wrappers.TransformAction and hand it to from_vector"
        )
    low, high = (tuple(np.asarray(bound, float).ravel().tolist()) for bound in (space.low, space.high))
    # Written so that a bound that is no number fails it too.
    if not all(abs(bound) < UNBOUNDED for bound in (*low, *high)):
        raise Refusal(
            f"{name} has actions in [{min(low):g}, {max(high):g}], and finite bounds are needed; wrap it in"
            " gymnasium.wrappers.TransformAction(env, lambda a: a, Box(-1.0, 1.0, shape)) and hand it to from_vector"
        )
    return low, high


def translator(name: str, space: Space) -> Callable[[Array], Array]:
    """``actions -> actions`` of a vector of environments, from the agent's side to the environment's.

    Discrete actions [N] count from 0 on the agent's side, wherever the space starts. Continuous ones [N, A] are in
    [-1, 1] there, and [N, *shape] in the environment's units and type.

    Args:
      name: the environment's, for messages.
      space: of one action.
    """
    if isinstance(space, Discrete):
        start = int(space.start)
        return lambda actions: np.asarray(actions, np.int64) + start
    # In 64 bits an action passes through bounds of [-1, 1] unchanged.
    low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)

    def translate(actions: Array) -> Array:
        if not np.isfinite(actions).all():
            raise Diverged(
                f"{name} was handed an action that is no finite number, so the agent's network has diverged; try a"
                " smaller --lr"
            )
        return to_bounds(np.asarray(actions, np.float64), low, high).astype(space.dtype).reshape(-1, *space.shape)

    return translate
