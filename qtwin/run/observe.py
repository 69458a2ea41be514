"""What a policy is called with, brought to what its network has learned from; what cannot be is refused in a sentence.

Read without importing JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtwin.envs.spaces import WHOLE, SpaceSpec
from qtwin.errors import Refusal
from qtwin.types import Array


def observed(space: SpaceSpec, obs: Any, dtype: str) -> Array:
    """An observation of ``space``, or a batch of them, as agents have it.

    Numbers of another type are converted where that loses nothing: to whole numbers where all of them are whole and in
    the type's range, to flags where all are 0 or 1. States count from 0 in what is returned.

    Args:
      space: of the observations.
      obs: [*shape], or a batch [B, *shape]; an array, a number, or lists of them.
      dtype: the type that is returned.

    Raises:
      Refusal: another shape, numbers that are no observations of this space or were scaled otherwise, NaN or infinity.
    """
    obs = _array(obs)
    _check_shape(space, obs)
    if obs.dtype.kind not in "biuf":
        raise Refusal(f"this policy takes an observation of numbers, {_wanted(space)}, and {obs.dtype} came")
    if space.kind == "discrete":
        return _states(space, obs).astype(dtype)
    if obs.dtype != space.dtype:
        obs = _of_its_type(space, obs)
    with np.errstate(over="ignore"):
        kept = obs.astype(dtype)
    if kept.dtype.kind == "f":
        if not np.isfinite(kept).all():
            came = obs[~np.isfinite(kept)][0]
            raise Refusal(f"this policy takes an observation of finite numbers, {_wanted(space)}, and {came:g} came")
    elif kept.dtype != obs.dtype:
        _check_range(obs, dtype)
    return kept


def _array(obs: Any) -> Array:
    if isinstance(obs, tuple) and len(obs) == 2 and isinstance(obs[1], dict):
        raise Refusal("this policy takes an observation, and (obs, info) came, as reset gives it; hand in obs alone")
    try:
        return np.asarray(obs)
    except ValueError:
        raise Refusal(
            f"this policy takes an array of numbers, and a {type(obs).__name__} that makes none came"
        ) from None


def _wanted(space: SpaceSpec) -> str:
    if space.kind == "discrete":
        return f"a whole number from {space.start} to {space.start + space.n - 1}"
    return f"{space.dtype}{list(space.shape)}"


def _check_shape(space: SpaceSpec, obs: Array) -> None:
    shape = space.shape
    if obs.shape == shape or (obs.ndim == len(shape) + 1 and obs.shape[1:] == shape):
        return
    raise Refusal(
        f"this policy takes an observation of shape {list(shape)}, or a batch [{', '.join(['B', *map(str, shape)])}]"
        f" of them, and {list(obs.shape)} came{_turned(shape, obs)}"
    )


def _turned(shape: tuple[int, ...], obs: Array) -> str:
    """The end of a sentence about images whose channels stand at the other end."""
    if len(shape) != 3:
        return ""
    axes, there = ((1, 2, 0), (shape[2], *shape[:2])), ((2, 0, 1), (*shape[1:], shape[0]))
    for where, (order, turned) in (("first", axes), ("last", there)):
        if obs.shape == turned:
            return f", with the channels {where}; hand in np.transpose(obs, {order})"
        if obs.shape[1:] == turned:
            return f", with the channels {where}; hand in np.transpose(obs, {(0, *(axis + 1 for axis in order))})"
    return ""


def _states(space: SpaceSpec, obs: Array) -> Array:
    """States as whole numbers from 0."""
    wrong = (obs < space.start) | (obs > space.start + space.n - 1)
    if obs.dtype.kind == "f":
        wrong |= (obs != np.floor(obs)) | (np.abs(obs) > WHOLE)
    if wrong.any():
        raise Refusal(f"this policy takes {_wanted(space)} as observation, and {obs[wrong].ravel()[0]} came")
    return obs.astype(space.dtype) - np.dtype(space.dtype).type(space.start)


def _of_its_type(space: SpaceSpec, obs: Array) -> Array:
    """Numbers of another type than the space's; refuses those that would be other numbers, or were scaled otherwise."""
    if np.dtype(space.dtype).kind == "f":
        if obs.dtype.kind in "iu" and obs.size:
            low, high = min(space.low), max(space.high)
            least, most = int(obs.min()), int(obs.max())
            if np.isfinite([low, high]).all() and (least < low or most > high):
                raise Refusal(
                    f"this policy takes {_wanted(space)} from {low:g} to {high:g}, and {obs.dtype} from {least} to"
                    f" {most} came; scale the numbers as the environment does"
                )
        return obs
    if obs.dtype.kind == "f" and obs.size:
        _check_whole(space, obs)
    _check_range(obs, space.dtype)
    return obs.astype(space.dtype)


def _check_whole(space: SpaceSpec, obs: Array) -> None:
    """Refuses floating-point numbers that are no whole ones, or that may be bytes divided by 255."""
    scaled = min(space.low) >= 0 and max(space.high) >= 255 and obs.min() >= 0 and obs.max() <= 1
    if scaled and obs.max() > 0:
        raise Refusal(
            f"this policy takes {_wanted(space)} from 0 to {max(space.high):g}, and {obs.dtype} between 0 and"
            f" {obs.max():g} came; multiply by 255 and cast to {space.dtype}, or cast alone if they are not scaled"
        )
    wrong = ~(obs == np.floor(obs))  # of infinity, not true of NaN; its range is checked after
    if wrong.any():
        raise Refusal(
            f"this policy takes whole numbers, {_wanted(space)}, and {obs[wrong][0]:g} came as {obs.dtype}; hand in"
            " what the environment gives"
        )


def _check_range(obs: Array, dtype: str) -> None:
    if not obs.size or obs.dtype == bool:
        return
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    wrong = (obs < least) | (obs > most)
    if wrong.any():
        raise Refusal(
            f"this policy takes {dtype}, which reaches from {least} to {most}, and {obs[wrong].ravel()[0]} came"
        )
