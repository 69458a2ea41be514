"""The parser of the command line. Imported first, so it imports little itself."""

from __future__ import annotations

import argparse
import shutil
from typing import Any, NoReturn

from qtwin.errors import Refusal


class Formatter(argparse.HelpFormatter):
    """Help texts of at most 100 columns, with room for the longer options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(shutil.get_terminal_size().columns, 100) - 2)


class Parser(argparse.ArgumentParser):
    """argparse, but an error is a `Refusal` in one sentence."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=Formatter, **how)

    def error(self, message: str) -> NoReturn:
        what, _, complaint = message.partition(": ")
        if complaint.startswith("expected"):
            name = what.removeprefix("argument ").split("/")[-1]
            raise Refusal(f"{name} needs a value; see {self.prog} --help")
        if message.startswith("the following arguments are required"):
            example = {"ENV": "CartPole-v1", "RUN": "runs/CartPole-v1-dqn-1", "--out": "--out data.safetensors"}
            example["METHOD"] = "simsiam"
            missing = complaint.split(", ")[0]
            raise Refusal(f"{self.prog} needs {missing}; write for example {self.prog} {example.get(missing, missing)}")
        if complaint.startswith("ignored explicit argument"):
            raise Refusal(f"{what.removeprefix('argument ')} takes no value; see {self.prog} --help")
        raise Refusal(f"{message}; see {self.prog} --help")

    def options(self) -> list[str]:
        """All options that the help shows."""
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        return [name for action in shown for name in action.option_strings if name.startswith("--")]
