"""``qtwin rates``: rate cards of presets and agents. Read without importing JAX."""

from __future__ import annotations

import argparse
import dataclasses
import json

from qtwin.agents.catalog import agent_of, check_read, reads
from qtwin.cli import rate_card
from qtwin.config import Config
from qtwin.config.options import read_settings
from qtwin.errors import Refusal
from qtwin.request.command_line import setting_options, settings_of
from qtwin.request.presets import preset_of


def rates_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [--preset NAME ... | --agent NAME ...] [options]"
    parser.add_argument("--preset", metavar="NAME", nargs="+", help="presets to show side by side (qtwin list presets)")
    parser.add_argument("--agent", metavar="NAME", nargs="+", help="agents to show side by side (qtwin list agents)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    setting_options(parser)


def rates(arguments: argparse.Namespace) -> int:
    if arguments.preset and arguments.agent:
        raise Refusal("a rate card shows presets or agents, and both came; leave out --agent or --preset")
    recipes = []
    for preset in map(preset_of, arguments.preset or ()):
        recipes += [(name, config, preset) for name, config in preset.recipes.items()]
    if not recipes:
        agents = arguments.agent or ["online_q", "dqn", "fqi"]  # the three classic choices of the three rates
        recipes = [(agent, agent_of(agent).defaults, None) for agent in agents]
    said = settings_of(arguments)
    agents = [config.agent for _, config, _ in recipes]
    for field, value in said.items():
        if not any(reads(agent, field) for agent in agents):
            check_read(recipes[0][1], {field: value})
    columns = [
        rate_card.column(name, dataclasses.replace(config, **read_settings(_for(config, said), config)), preset)
        for name, config, preset in recipes
    ]
    if arguments.json:
        print(json.dumps(rate_card.as_json(columns), indent=1))
    else:
        rate_card.show(columns)
    return 0


def _for(config: Config, said: dict[str, str]) -> dict[str, str]:
    """The settings that a recipe's agent uses; the others are meant for the cards beside it."""
    return {field: value for field, value in said.items() if reads(config.agent, field)}
