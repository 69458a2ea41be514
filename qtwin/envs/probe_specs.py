"""The probe environments by name: what each is for, and its shape. Read without importing JAX."""

from __future__ import annotations

from qtwin.envs.spec import EnvSpec

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
}

# Of one shape, so that a program compiled for one of them runs them all.
VECTOR_STATES, VECTOR_SHAPE, VECTOR_DTYPE = 6, (2,), "float32"
CHAIN_STATES = 6
TIME_LIMITS = {"endless": 10, "final-observation": 1, "chain": 20}

PROBES: dict[str, EnvSpec] = {
    name: EnvSpec(f"probe:{name}", VECTOR_SHAPE, VECTOR_DTYPE, 2, time_limit=TIME_LIMITS.get(name))
    for name in DESCRIPTIONS
}
PROBES["chain"] = EnvSpec("probe:chain", (), "int32", 2, CHAIN_STATES, TIME_LIMITS["chain"])
