"""How a command line is read. Imported first of all, so with few imports."""

from __future__ import annotations

import argparse
from typing import NoReturn

from qtwin.errors import Refusal


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
