"""The probe environments by name: what each is for, and its shape. Read without importing JAX."""

from __future__ import annotations

from qtwin.envs.spec import EnvSpec
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Refusal

# name: the one property of an agent that the probe holds up to the light
DESCRIPTIONS = {
    "constant": "a reward of 1 and the end: value 1, nothing bootstrapped from a terminal state",
    "observation": "the reward is the observation: the value depends on it",
    "discounting": "the reward comes one step later: value gamma",
    "action": "the reward depends on the action",
    "action-observation": "the reward depends on whether the action fits the observation",
    "delayed": "the first action decides a reward two steps later: value gamma^2",
    "endless": "a reward of 1 for ever, cut by a time limit of 10: value 1 / (1 - gamma)",
    "final-observation": "cut before the reward comes: bootstrapped from the true last observation, value gamma",
    "chain": "six states in a row, a reward at the right end: value gamma^distance, discrete observation",
    "continuous-constant": "a reward of 1 and the end: value 1 for every action",
    "continuous-action": "reward -|a - 0.5|: the best action lies inside the bounds",
    "continuous-observation": "reward -|a - s/2| with s observed: the best action is half of it",
    "continuous-bound": "reward a: the best action is the upper bound",
    "continuous-discounting": "the reward 1 - |a - 0.5| comes one step later: value gamma, that of the best action",
    "continuous-delayed": "reward 1 - |a - 0.5| for the first action, paid two steps later: value gamma^2",
    "continuous-endless": "a reward of 1 for ever, cut by a time limit of 10: value 1 / (1 - gamma)",
    "continuous-final-observation": "cut before the reward comes: bootstrapped from the true last observation",
    "continuous-units": "two numbers with unlike bounds, rewarded in their own units: best at (2, 0.1)",
}

# Of one shape, so that a program compiled for one of them runs them all.
VECTOR_STATES, VECTOR_SHAPE, VECTOR_DTYPE = 6, (2,), "float32"
CHAIN_STATES = 6
TIME_LIMITS = {
    "endless": 10, "final-observation": 1, "chain": 20, "continuous-endless": 10, "continuous-final-observation": 1,
}  # fmt: skip
# Of one shape as well, but for the last: two numbers that tell the state, then one for every number of the action.
CONTINUOUS_STATES = 4
BOUNDS = {"continuous-units": ((-1.0, 0.0), (3.0, 0.5))}
ONE_NUMBER = ((-1.0,), (1.0,))


def _discrete(name: str) -> EnvSpec:
    return EnvSpec(f"probe:{name}", VECTOR_SHAPE, VECTOR_DTYPE, 2, time_limit=TIME_LIMITS.get(name))


def _continuous(name: str) -> EnvSpec:
    low, high = BOUNDS.get(name, ONE_NUMBER)
    limit = TIME_LIMITS.get(name)
    return EnvSpec(
        f"probe:{name}", (2 + len(low),), "float32", None, time_limit=limit, action_low=low, action_high=high
    )


DISCRETE: dict[str, EnvSpec] = {
    name: _discrete(name) for name in DESCRIPTIONS if not name.startswith("continuous-")
}  # fmt: skip
DISCRETE["chain"] = EnvSpec("probe:chain", (), "int32", 2, CHAIN_STATES, TIME_LIMITS["chain"])
CONTINUOUS: dict[str, EnvSpec] = {name: _continuous(name) for name in DESCRIPTIONS if name.startswith("continuous-")}
PROBES = DISCRETE | CONTINUOUS


def probe_resolve(name: str) -> EnvSpec:
    """What an agent may know of a probe environment."""
    if name not in PROBES:
        raise Refusal(f"unknown environment 'probe:{name}'{nearest_env(f'probe:{name}', probe_names())}")
    return PROBES[name]


def probe_names() -> dict[str, EnvSpec]:
    """Every probe environment by the name to write."""
    return {spec.id: spec for spec in PROBES.values()}


def probe_remark(name: str) -> str:
    """What a probe environment is for."""
    return DESCRIPTIONS[name.removeprefix("probe:")]
