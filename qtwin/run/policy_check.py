"""What ``policy.json`` says of sizes, held against what an environment can have. Read without importing JAX."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from qtwin.envs.actions import UNBOUNDED
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.envs.spaces import INTEGERS, WHOLE, from_json
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal

KEPT = {  # types in which observations of another one may be kept
    "float64": ("float32",), "float16": ("float32",), "int64": ("int32", "float32"),
    "uint64": ("int32", "uint32", "float32"), "uint32": ("float32",),
}  # fmt: skip
LARGEST_OBS = 2**24  # numbers in one observation
MOST = 2**20  # actions, states, stacked frames
LONGEST_NET = 1000  # characters


def check_sizes(file: Path, d: dict) -> None:
    """Refuses a description whose sizes no environment has; what comes after them allocates by them.

    Args:
      file: is named.
      d: what it holds, every field there and of the right type.
    """

    def whole(value: object) -> bool:
        return type(value) is int and 1 <= value <= MOST

    def numbers(values: list) -> bool:
        return all(type(value) in (int, float) and abs(value) < UNBOUNDED for value in values)

    sides = d["action_low"], d["action_high"]
    good = {
        "obs_shape": all(map(whole, d["obs_shape"])) and math.prod(d["obs_shape"]) <= LARGEST_OBS,
        "obs_dtype": d["obs_dtype"] in ("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "float32"),
        "num_actions": d["num_actions"] is None or whole(d["num_actions"]),
        "num_states": d["num_states"] is None or whole(d["num_states"]),
        "action_low": numbers(sides[0]) and len(sides[0]) <= MOST,
        "action_high": numbers(sides[1]) and len(sides[0]) == len(sides[1]),
        "stack": whole(d["stack"]),
        "preprocessing": d["preprocessing"] in ("", *PREPROCESSINGS),
        "net": len(d["net"]) <= LONGEST_NET,
    }
    for field, fine in good.items():
        if not fine:
            raise Refusal(f"{file}: '{field}' is what no environment has, {str(d[field])[:80]!r}")
    for low, high in zip(*sides, strict=True):
        if low > high:
            raise Refusal(f"{file}: 'action_low' {low:g} is above 'action_high' {high:g}")
    _check_spaces(file, d)


def _check_spaces(file: Path, d: dict) -> None:
    """Refuses spaces that are none, and those that the other fields contradict; a policy of format 2 has none."""
    there = [field for field in ("observation_space", "action_space") if field in d]
    if len(there) == 1:
        raise Refusal(f"{file}: '{there[0]}' stands alone, and 'observation_space' and 'action_space' are expected")
    if not there:
        return
    obs, action = (from_json(f"{file}: '{field}'", d[field]) for field in there)
    seen = [list(obs.shape), obs.n or None]
    if seen != [d["obs_shape"], d["num_states"]] or d["obs_dtype"] not in (obs.dtype, *KEPT.get(obs.dtype, ())):
        raise Refusal(
            f"{file}: 'observation_space' does not fit 'obs_shape', 'obs_dtype' and 'num_states',"
            f" {d['obs_shape']}, {d['obs_dtype']} and {d['num_states']}"
        )
    if action.kind == "discrete":
        fits = d["num_actions"] == action.n and not d["action_low"]
    else:
        sides = [np.broadcast_to(side, (action.size,)).tolist() for side in (action.low, action.high)]
        fits = sides == [d["action_low"], d["action_high"]]
        if action.dtype == "bool" or (action.dtype in INTEGERS and any(abs(b) > WHOLE for side in sides for b in side)):
            raise Refusal(f"{file}: 'action_space' has a type or bounds that no action can have")
    if not fits:
        raise Refusal(f"{file}: 'action_space' does not fit 'num_actions', 'action_low' and 'action_high'")


def spec_of(description: dict) -> EnvSpec:
    """The environment that a policy was trained in, as ``policy.json`` describes it."""
    own = {
        field: from_json(f"'{field}'", description[field])
        for field in ("observation_space", "action_space")
        if field in description
    }
    return EnvSpec(
        description["env"],
        tuple(description["obs_shape"]),
        description["obs_dtype"],
        description["num_actions"],
        description["num_states"],
        stack=description["stack"],
        preprocessing=description["preprocessing"],
        action_low=tuple(description["action_low"]),
        action_high=tuple(description["action_high"]),
        **own,
    )
