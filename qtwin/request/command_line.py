"""The options of `qtwin train`, and what they ask for. Read without importing JAX."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qtwin.agents.catalog import every_setting, own_settings
from qtwin.config.options import SETTINGS, option
from qtwin.request.run_options import asked_of, run_options

if TYPE_CHECKING:
    from qtwin.request.train import Request


ENV_TIMEOUT = "60"  # seconds
OVER = "over the preset's, over the agent's own"


def setting_options(parser: argparse.ArgumentParser, about: str = OVER, nargs: str | None = None) -> None:
    """The options that set fields of `Config`, and those that some agents have for themselves, by their names.

    Args:
      parser: takes them.
      about: what ``--help`` says of all of them.
      nargs: of each of them, "+" where an option takes several values.
    """
    group = parser.add_argument_group("settings", about)
    for field, (takes, means) in SETTINGS.items():
        group.add_argument(option(field), dest=field, metavar=takes, help=means, nargs=nargs)
    for agents, fields in own_settings().items():
        group = parser.add_argument_group(f"settings of {', '.join(agents)}")
        for name, field in fields.items():
            takes, means = field.metadata["takes"], field.metadata["means"]
            group.add_argument(option(name), dest=name, metavar=takes, help=means, nargs=nargs)


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that were said aloud, by the names of `Config`'s fields."""
    said = {field: getattr(arguments, field, None) for field in (*every_setting(), "data")}
    return {field: value for field, value in said.items() if value is not None}


def train_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``qtwin train``."""
    parser.add_argument("env", metavar="ENV", nargs="?", help="the environment, as CartPole-v1 (qtwin list envs)")
    meanings = {
        "log_points": "evaluations on the way (20)",
        "checkpoints": "so many in the run (5), or every:N transitions one",
    }
    after = {
        "config": _recipe_options,
        "resume": _data_options,
        "log_points": _engine_options,
        "checkpoints": _environment_options,
        "quiet": setting_options,
    }
    run_options(parser, meanings, after)


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", metavar="NAME", help="the algorithm (qtwin list agents)")
    parser.add_argument("--preset", metavar="NAME", help="settings by name (qtwin list presets)")


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="FILE", help="learn offline from a recording (qtwin record)")
    parser.add_argument("--eval-episodes", metavar="N", help="greedy episodes at the end, for each seed (100)")
    parser.add_argument("--eval-max-steps", metavar="N", help="cut an evaluation episode after N steps (10,000)")


def _engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", metavar="E", help="auto, fused (in JAX) or hosted (in Python)")
    parser.add_argument("--overlap", action="store_true", help="hosted: collect while the regression runs")
    parser.add_argument("--diagnose", metavar="K", help="measure the twin at every Kth of them; 0 never")


def _environment_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", metavar="WHERE", help="remembered images: memory, or disk (in the run directory)")
    parser.add_argument("--env-timeout", metavar="S", help="seconds for a step in Python (60); 0 is for ever")
    parser.add_argument("--env-mode", metavar="HOW", help="sync, or async: apart, and replaced if they die or hang")
    parser.add_argument("--on-nan", metavar="HOW", help="from an environment: stop, or drop it and go on with another")


def request_of(arguments: argparse.Namespace) -> Request:
    """What ``qtwin train`` was asked for, checked."""
    from qtwin.request.train import build

    asked, settings = asked_of(arguments, "env", "qtwin train CartPole-v1", (*every_setting(), "data"))
    return build(**{"env_timeout": ENV_TIMEOUT} | asked, settings=settings)
