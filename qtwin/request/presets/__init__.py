"""Presets: what other libraries and papers run, said in this house's units. Read without importing JAX.

A library's "every 500" may count frames, transitions, vector steps, calls or gradient steps; here the target's period
is always in gradient steps, and a test counts the copies that each library's own rule makes. Where a preset cannot
follow a library (gSDE, say), its note says so.
"""

from __future__ import annotations

from qtwin.errors import one_of
from qtwin.request.presets.continuous import CLEANRL, PAPERS
from qtwin.request.presets.discrete import DISCRETE
from qtwin.request.presets.preset import Preset
from qtwin.request.presets.sb3 import SB3
from qtwin.request.presets.value_based import VALUE_BASED

PRESETS = {preset.name: preset for preset in (*DISCRETE, *VALUE_BASED, *PAPERS, *CLEANRL, *SB3)}


def preset_of(name: str) -> Preset:
    """The preset ``name``; refuses an unknown one and offers the nearest."""
    return PRESETS[one_of("preset", name, PRESETS)]
