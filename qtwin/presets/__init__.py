"""Presets: what other libraries and papers run, said in this house's units. Read without importing JAX.

A library's "every 500" may count frames, transitions, vector steps, calls or gradient steps; here the target's period
is always in gradient steps, and a test counts the copies that each library's own rule makes. Where a preset cannot
follow a library (gSDE, say), its note says so.
"""

from __future__ import annotations

from qtwin.agents import AGENTS as AGENTS  # their descriptions, beside their numbers
from qtwin.config import Config
from qtwin.defaults import CONTINUOUS_DEFAULTS, VALUE_DEFAULTS
from qtwin.errors import one_of
from qtwin.presets.continuous import CLEANRL, PAPERS
from qtwin.presets.discrete import DISCRETE
from qtwin.presets.discrete import ZOO_SPELLING as ZOO_SPELLING
from qtwin.presets.preset import Preset
from qtwin.presets.sb3 import SB3
from qtwin.presets.value_based import VALUE_BASED

# What each agent runs when nothing else is asked for.
AGENT_DEFAULTS = {
    "online_q": Config(
        "CartPole-v1", agent="online_q", net="mlp:120,84", loss="half-mse", optimiser="adam", learning_rate=2.5e-4,
        collect=1, regress=1, target="tied", warmup=0, replay=0, batch=1, explore="1:0.05:50%", envs=1, steps=500_000,
    ),
    "dqn": Config(
        "CartPole-v1", agent="dqn", net="mlp:120,84", loss="mse", optimiser="adam", learning_rate=2.5e-4,
        collect=10, regress=1, target="hard:50", warmup=10_000, replay=10_000, batch=128, explore="1:0.05:50%",
        envs=10, steps=500_000,
    ),
    "fqi": Config(
        "CartPole-v1", agent="fqi", net="mlp:120,84", bootstrap="double", loss="mse", optimiser="adam",
        learning_rate=1e-3, collect=1_000, regress=1_000, target="hard:100", warmup=1_000, replay=1_000_000, batch=128,
        explore="1:0.05:50%", envs=10, steps=50_000,
    ),
} | VALUE_DEFAULTS | CONTINUOUS_DEFAULTS  # fmt: skip

PRESETS = {preset.name: preset for preset in (*DISCRETE, *VALUE_BASED, *PAPERS, *CLEANRL, *SB3)}


def preset_of(name: str) -> Preset:
    """The preset ``name``; refuses an unknown one and offers the nearest."""
    return PRESETS[one_of("preset", name, PRESETS)]
