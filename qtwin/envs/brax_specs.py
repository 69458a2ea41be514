"""The environments of Brax by name. Read without importing JAX or Brax."""

from __future__ import annotations

import importlib.util

from qtwin.envs.spec import EnvSpec
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Refusal

# Of Brax's environments: numbers in an observation, and in an action, which is in [-1, 1] whatever the motors bear.
BRAX = {
    "ant": (27, 8),
    "halfcheetah": (17, 6),
    "hopper": (11, 3),
    "humanoid": (244, 17),
    "humanoidstandup": (244, 17),
    "inverted_double_pendulum": (8, 1),
    "inverted_pendulum": (4, 1),
    "pusher": (23, 7),
    "reacher": (11, 2),
    "swimmer": (8, 2),
    "walker2d": (17, 6),
}
BRAX_LIMIT = 1000  # the length of an episode where Brax is not told another


def brax_resolve(name: str) -> EnvSpec:
    """What an agent may know of a Brax environment."""
    if name not in BRAX:
        raise Refusal(
            f"unknown environment 'brax:{name}'{nearest_env(f'brax:{name}', [f'brax:{known}' for known in BRAX])}"
        )
    if not importlib.util.find_spec("brax"):
        raise Refusal(f"brax:{name} needs brax, which is not installed; write pip install 'qtwin[brax]'")
    obs, actions = BRAX[name]
    return EnvSpec(
        f"brax:{name}",
        (obs,),
        "float32",
        None,
        time_limit=BRAX_LIMIT,
        action_low=(-1.0,) * actions,
        action_high=(1.0,) * actions,
    )
