"""Presets: the hyperparameters of other libraries and papers, in qtwin's units. Read without importing JAX.

A library's "every 500" may count frames, transitions, vector steps, calls or gradient steps. Here the target's period
is always in gradient steps, and a test counts the copies that the library's own rule makes. The note of a preset says
where it differs from the original (no gSDE, for example).
"""

from __future__ import annotations

from qtwin.agents.catalog import AGENTS
from qtwin.errors import one_of
from qtwin.records import Catalogue
from qtwin.request.presets.continuous import CLEANRL, PAPERS
from qtwin.request.presets.discrete import DISCRETE
from qtwin.request.presets.preset import Preset
from qtwin.request.presets.sb3 import SB3
from qtwin.request.presets.value_based import VALUE_BASED

PRESETS = Catalogue(
    "preset", Preset, (*DISCRETE, *VALUE_BASED, *PAPERS, *CLEANRL, *SB3), "qtwin.request.presets:problems"
)


def preset_of(name: str) -> Preset:
    """The preset ``name``; refuses an unknown name and suggests the nearest."""
    return PRESETS[one_of("preset", name, PRESETS)]


def problems(preset: Preset, outside: bool = False) -> list[str]:
    """The problems of a preset, one line each; empty for a valid one.

    Args:
      preset: the preset.
      outside: whether it is defined outside this package; the requirements are the same.
    """
    del outside
    wrong = [f"{field} is empty" for field in ("made_for", "source") if not getattr(preset, field)]
    if isinstance(preset.made_for, str):
        wrong.append(f"made_for is a tuple of names, not {preset.made_for!r}")
    for config in (preset.config, *preset.rows):
        agent = getattr(config, "agent", None)
        if agent not in AGENTS or type(config) is not AGENTS[agent].config:
            wrong.append(f"its recipe is no run of a registered agent, but {config!r:.80}")
    return wrong
