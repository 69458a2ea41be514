"""``qtwin list``: what can be chosen by name. Read without importing JAX."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import TYPE_CHECKING

from qtwin.errors import one_of

if TYPE_CHECKING:
    from qtwin.envs.spec import EnvSpec

# what can be listed, with a line about it; each is the values of an option
LISTS = {
    "agents": "algorithms, for --agent",
    "targets": "target updates, for --target",
    "bootstraps": "bootstrap targets, for --bootstrap",
    "regularisers": "regularisers, for --regularise",
    "envs": "environments",
    "presets": "published hyperparameters, for --preset",
    "nets": "networks, for --net",
    "preprocessings": "Atari preprocessing, for --preprocessing",
    "protocols": "Atari evaluation protocols, for qtwin eval --protocol",
    "methods": "self-supervised methods, for qtwin siamese",
    "augmentations": "image augmentations, for qtwin siamese --augment",
    "diagnostics": "what is measured during training (--diagnose)",
}
NAME_WIDTH = 24  # columns; a longer name has a line of its own


def listing(what: str) -> dict[str, str]:
    """The names of one list, each with a line about it.

    Args:
      what: a key of ``LISTS``.
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
    # One interval, unless the bounds differ between the numbers.
    same = len(set(spec.action_low)) == len(set(spec.action_high)) == 1
    return f"actions of {count} number{'s' * (count > 1)} {'in' if same else 'within'} [{low}, {high}]"


def list_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [WHAT] [--json]"
    parser.add_argument("what", metavar="WHAT", nargs="?", help="one of " + ", ".join(LISTS))
    parser.add_argument("--json", action="store_true", help="print JSON")


def list_names(arguments: argparse.Namespace) -> int:
    found = LISTS if arguments.what is None else listing(arguments.what)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    for line in in_columns(found, shutil.get_terminal_size().columns):
        print(line)
    return 0


def in_columns(found: dict[str, str], columns: int) -> list[str]:
    """Names, and the text about each in a column beside them, wrapped.

    Args:
      found: by name.
      columns: width of the terminal.
    """
    width = max(len(name) for name in found if len(name) <= NAME_WIDTH) + 2
    indent, lines = " " * width, []
    for name, about in found.items():
        first = f"{name:<{width}}" if len(name) <= width - 2 else f"{name}\n{indent}"
        text = textwrap.fill(
            about,
            max(columns, 40),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=True,
            break_on_hyphens=False,
        )
        lines += (first + text[width:]).splitlines()
    return lines
