"""What there is to choose from, one line each. Read without importing JAX."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from qtwin.errors import one_of

if TYPE_CHECKING:
    from qtwin.envs.spec import EnvSpec

LISTS = (
    *("agents", "targets", "bootstraps", "regularisers", "envs", "presets", "nets", "preprocessings", "protocols"),
    *("methods", "augmentations", "diagnostics"),
)


def listing(what: str) -> dict[str, str]:
    """The names that ``what`` can take, each with a line about it.

    Args:
      what: one of ``LISTS``.
    """
    match one_of("list", what, LISTS):
        case "agents":
            from qtwin.agents.catalog import AGENTS

            return {name: record.about for name, record in AGENTS.items()}
        case "targets":
            from qtwin.target_update.specs import SPECS

            return {info.form: info.line for info in SPECS.values()}
        case "bootstraps":
            from qtwin.config.bootstrap_specs import BOOTSTRAPS

            return {info.form: info.line for info in BOOTSTRAPS.values()}
        case "regularisers":
            from qtwin.config.bootstrap_specs import REGULARISERS

            return {info.form: info.line for info in REGULARISERS.values()}
        case "nets":
            from qtwin.nets.names import NAMES

            return dict(NAMES)
        case "preprocessings":
            from qtwin.envs.preprocessing import PREPROCESSINGS

            return {name: each.about for name, each in PREPROCESSINGS.items()}
        case "protocols":
            from qtwin.envs.preprocessing import PROTOCOLS

            return {name: each.about for name, each in PROTOCOLS.items()}
        case "methods":
            from qtwin.siamese.catalog import METHODS

            return {info.name: info.line for info in METHODS.values()}
        case "diagnostics":
            from qtwin.measure.catalog import MEASURES

            return {info.log_name or info.name: f"{info.about} [{info.unit}]" for info in MEASURES.values()}
        case "augmentations":
            from qtwin.config.siamese_specs import AUGMENTATIONS

            return dict(AUGMENTATIONS.values())
        case "presets":
            from qtwin.request.presets import PRESETS

            return {preset.name: f"for {preset.made_for_words}; {preset.source}" for preset in PRESETS.values()}
        case _:
            return _envs()


def _envs() -> dict[str, str]:
    from qtwin.envs.catalog import HOMES
    from qtwin.envs.registered import called, listed

    found = {}
    for home in HOMES.values():
        for name, spec in listed(home).items():
            remark = called(home, "remark", name) if home.remark else ""
            found[name] = _about(spec) + (f"; {remark}" if remark else "")
    return found | {home.form: home.line for home in HOMES.values() if not home.names}


def _about(spec: EnvSpec) -> str:
    obs = f"{spec.num_states} states" if spec.num_states else f"{list(spec.obs_shape)} {spec.obs_dtype}"
    limit = f", at most {spec.time_limit:,} steps" if spec.time_limit else ""
    return f"{obs}, {_actions(spec)}{limit}"


def _actions(spec: EnvSpec) -> str:
    if not spec.continuous:
        return f"{spec.num_actions} actions"
    count = len(spec.action_low)
    low, high = f"{min(spec.action_low):g}", f"{max(spec.action_high):g}"
    # One interval only where all numbers have the same.
    same = len(set(spec.action_low)) == len(set(spec.action_high)) == 1
    return f"actions of {count} number{'s' * (count > 1)} {'in' if same else 'within'} [{low}, {high}]"


def list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="one of " + ", ".join(LISTS))
    parser.add_argument("--json", action="store_true", help="for programs")


def list_names(arguments: argparse.Namespace) -> int:
    found = listing(arguments.what)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    width = max(len(name) for name in found)
    for name, about in found.items():
        print(f"{name:<{width}}  {about}")
    return 0
