"""The options of `qtwin train`, and what they ask for. Read without importing JAX."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from qtwin.agents.catalog import every_setting, own_settings
from qtwin.config.options import SETTINGS, option
from qtwin.errors import Refusal
from qtwin.request.config_file import config_option, said

if TYPE_CHECKING:
    from qtwin.request.train import Request


ENV_TIMEOUT = "60"  # seconds
OVER = "over the preset's, over the agent's own"


class Parser(argparse.ArgumentParser):
    """argparse, but what it objects to is a `Refusal` in one sentence."""

    def error(self, message: str) -> NoReturn:
        what, _, complaint = message.partition(": ")
        if complaint.startswith("expected"):
            name = what.removeprefix("argument ").split("/")[-1]
            raise Refusal(f"{name} needs a value and none came; see {self.prog} --help")
        if message.startswith("the following arguments are required"):
            example = {"ENV": "CartPole-v1", "RUN": "runs/CartPole-v1-dqn-1", "--out": "--out data.safetensors"}
            example["METHOD"] = "simsiam"
            missing = complaint.split(", ")[0]
            raise Refusal(
                f"{self.prog} needs {missing} and none came; write {self.prog} {example.get(missing, missing)}"
            )
        if complaint.startswith("ignored explicit argument"):
            raise Refusal(f"{what.removeprefix('argument ')} takes no value; see {self.prog} --help")
        raise Refusal(f"{message}; see {self.prog} --help")

    def options(self) -> list[str]:
        """Every option there is."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


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


def train_options(parser: Parser) -> None:
    parser.add_argument("env", metavar="ENV", nargs="?", help="the environment, as CartPole-v1 (qtwin list envs)")
    config_option(parser)
    parser.add_argument("--agent", metavar="NAME", help="the algorithm (qtwin list agents)")
    parser.add_argument("--preset", metavar="NAME", help="settings by name (qtwin list presets)")
    parser.add_argument("--seeds", metavar="K", default=None, help="how many seeds, trained side by side")
    parser.add_argument("--seed", metavar="S", default=None, help="the first of them")
    parser.add_argument("--out", metavar="DIR", help="the run directory; a fresh one under runs/ if left out")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--data", metavar="FILE", help="learn offline from a recording (qtwin record)")
    parser.add_argument("--eval-episodes", metavar="N", help="greedy episodes at the end, for each seed (100)")
    parser.add_argument("--eval-max-steps", metavar="N", help="cut an evaluation episode after N steps (10,000)")
    parser.add_argument("--log-points", metavar="N", help="evaluations on the way (20)")
    parser.add_argument("--engine", metavar="E", help="auto, fused (in JAX) or hosted (in Python)")
    parser.add_argument("--overlap", action="store_true", help="hosted: collect while the regression runs")
    parser.add_argument("--diagnose", metavar="K", help="measure the twin at every Kth of them; 0 never")
    parser.add_argument("--checkpoints", metavar="N", help="so many in the run (5), or every:N transitions one")
    parser.add_argument("--frames", metavar="WHERE", help="remembered images: memory, or disk (in the run directory)")
    parser.add_argument("--env-timeout", metavar="S", help="seconds for a step in Python (60); 0 is for ever")
    parser.add_argument("--env-mode", metavar="HOW", help="sync, or async: apart, and replaced if they die or hang")
    parser.add_argument("--on-nan", metavar="HOW", help="from an environment: stop, or drop it and go on with another")
    parser.add_argument("--keep", metavar="HOW", help="which stay: last:2, every:10, best:1, or several with commas")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
    setting_options(parser)


def request_of(arguments: argparse.Namespace) -> Request:
    """What ``qtwin train`` was asked for, checked."""
    from qtwin.request.train import build

    asked = said(arguments)
    if "env" not in asked:
        raise Refusal("qtwin train needs ENV and none came; write qtwin train CartPole-v1")
    settings = {field: asked.pop(field) for field in (*every_setting(), "data") if field in asked}
    return build(**{"env_timeout": ENV_TIMEOUT} | asked, settings=settings)
