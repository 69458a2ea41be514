"""The options of `qtwin train`. Read without importing JAX."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qtwin.agents.catalog import every_setting
from qtwin.request.help_text import (
    COMMON_SETTINGS,
    SETTING_GROUPS,
    Option,
    add_options,
    agents_settings,
    shared_settings,
)
from qtwin.request.run_options import CONFIG, RUN_OPTIONS, asked_of

if TYPE_CHECKING:
    from qtwin.request.train import Request


ENV_TIMEOUT = "60"  # [seconds]
# Options of a training run that are no settings of the algorithm.
TRAIN_OPTIONS = RUN_OPTIONS | {
    "config": CONFIG,
    "agent": Option("NAME", "algorithm (qtwin list agents)", "dqn, or sac for continuous actions"),
    "preset": Option("NAME", "published hyperparameters (qtwin list presets)", "none"),
    "data": Option("FILE", "learn offline from a recording made by qtwin record"),
    "eval_episodes": Option("N", "episodes of the final evaluation, per seed", "100"),
    "eval_max_steps": Option(
        "N", "step limit of an evaluation episode [transitions]", "the environment's time limit, at least 10000"
    ),
    "diagnose": Option(
        "K", "run diagnostics at every K-th evaluation; 0 turns them off", "1 in runs of 2000 gradient steps or more"
    ),
    "engine": Option("E", "auto, fused (all in JAX, one program) or hosted (environments in Python)", "auto"),
    "overlap": Option(None, "hosted engine: collect while the gradient steps run"),
    "frames": Option("WHERE", "storage of images in the replay buffer: memory, or disk (in --out)", "memory"),
    "env_timeout": Option(
        "S", "time limit for one step of environments in Python [seconds]; 0 is no limit", ENV_TIMEOUT
    ),
    "env_mode": Option(
        "HOW", "Gymnasium environments: sync, or async (one process each, restarted after a crash or hang)", "sync"
    ),
    "on_nan": Option("HOW", "on a non-finite number from an environment: stop, or drop (replace it)", "stop"),
}
COMMON = (
    *("agent", "preset", "steps", "seeds", "seed", "out", "resume"),
    *(name for name in COMMON_SETTINGS if name != "steps"),
    *("eval_episodes", "quiet"),
)
GROUPS = {
    "": COMMON,
    "evaluation, diagnostics and checkpoints": ("log_points", "eval_max_steps", "diagnose", "checkpoints", "keep"),
    **SETTING_GROUPS,
    "replay": ("prioritise", "frames"),
    "offline learning": ("data",),
    "engine and environments": ("engine", "overlap", "env_timeout", "env_mode", "on_nan"),
    "options from a file": ("config",),
}
ORDER = (
    "An option overrides the preset, and the preset overrides the agent's defaults. A default marked 'for dqn' differs"
    " between agents."
)


def setting_options(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Adds the options that set fields of `Config`, and those of agents' own settings.

    Args:
      parser: of a command.
      nargs: "+" where an option takes several values.
    """
    own, groups = agents_settings()
    add_options(parser, shared_settings() | own, {"common settings": COMMON_SETTINGS} | SETTING_GROUPS | groups, nargs)


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that were set explicitly, by the names of `Config`'s fields."""
    said = {field: getattr(arguments, field, None) for field in (*every_setting(), "data")}
    return {field: value for field, value in said.items() if value is not None}


def train_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``qtwin train``: the common ones first, then the others by subject."""
    parser.usage = "%(prog)s ENV [options]"
    parser.epilog = ORDER
    parser.add_argument("env", metavar="ENV", nargs="?", help="environment, for example CartPole-v1 (qtwin list envs)")
    own, groups = agents_settings()
    add_options(parser, TRAIN_OPTIONS | shared_settings() | own, GROUPS | groups)


def request_of(arguments: argparse.Namespace) -> Request:
    """The checked request of a ``qtwin train`` command line."""
    from qtwin.request.train import build

    asked, settings = asked_of(arguments, "env", "qtwin train CartPole-v1", (*every_setting(), "data"))
    return build(**{"env_timeout": ENV_TIMEOUT} | asked, settings=settings)
