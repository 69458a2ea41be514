"""What ``policy.json`` says of sizes, held against what an environment can have. Read without importing JAX."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.errors import Refusal

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
        return all(type(value) in (int, float) and math.isfinite(value) for value in values)

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
    for low, high in zip(*(np.float32(side) for side in sides), strict=True):
        if not low < high:
            raise Refusal(f"{file}: 'action_low' {low:g} is not below 'action_high' {high:g}")
