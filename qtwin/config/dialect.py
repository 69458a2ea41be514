"""Two ways to write the same setting: ``--target soft:0.005`` for a command line, ``target="soft:0.005"`` for Python.

Refusals and notes name options. Where Python asked, `python_dialect` turns the options of a message into keywords. Read
without importing JAX.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

from qtwin.config.options import ALIASES
from qtwin.errors import Refusal

FLAGS = ("resume", "quiet", "overlap")
# Words that may follow an option in a sentence and are not its value. A test reads every message in the package.
_PROSE = """
a adds again against and applies are as asks at be but came can changes counts does draws for from gathers goes had
has have here holds if in instead is it keeps learned learns leaves lets means moves must names needs nothing of or
out over prints puts reads records removes replaces samples says sets stands takes than that the to together too
twice used was were when where which with without works writes
"""
PROSE = frozenset(_PROSE.split())
FUNCTIONS = {"train": "train", "siamese": "train_encoder"}
_VALUE = r"(?!--|\()(?:'[^']*'|\S*[^\s,;.:)?'\"])"
_OPTION = re.compile(rf"--([a-z][a-z0-9-]*[a-z0-9])(?:(=| )({_VALUE}))?")
_COMMAND = re.compile(rf"\bqtwin ({'|'.join(FUNCTIONS)}) ((?!-)[^\s;,]+)((?: --[a-z-]+(?:[= ]{_VALUE})?)+)")


def in_python(message: str) -> str:
    """A message about options as one about keywords.

    ``write --target soft:0.01`` becomes ``write target="soft:0.01"``, ``--lr is a number`` becomes ``learning_rate is
    a number``, and a whole command becomes a call of its function.
    """
    return _OPTION.sub(_keyword, _COMMAND.sub(_call, message))


@contextlib.contextmanager
def python_dialect() -> Iterator[None]:
    """Inside it a `Refusal` names keywords instead of options; also usable as a decorator."""
    try:
        yield
    except Refusal as refusal:
        refusal.args = (in_python(str(refusal)), *refusal.args[1:])
        raise


def _call(found: re.Match[str]) -> str:
    options = ", ".join(_keyword(each) for each in _OPTION.finditer(found[3]))
    return f"qtwin.{FUNCTIONS[found[1]]}({json.dumps(found[2])}, {options})"


def _keyword(found: re.Match[str]) -> str:
    if found[1] == "import":  # of the command line alone
        return found[0]
    name, between, value = found[1].replace("-", "_"), found[2], found[3]
    name = ALIASES.get(name, name)
    prose = value is not None and between == " " and value.lower() in PROSE
    if name in FLAGS:
        asked = name if value in ("is", "needs", "takes") else f"{name}=True"
        return asked if value is None else f"{asked}{between}{value}"
    if value is None:
        return name
    return f"{name} {value}" if prose else f"{name}={_literal(value)}"


def _literal(value: str) -> str:
    if value in ("yes", "no"):
        return str(value == "yes")
    plain = value.replace("_", "")
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", plain):
        return value
    return json.dumps(value.strip("'"), ensure_ascii=False)
