"""What is public stays: every name of `qtwin` with its signature, as ``fixtures/public_api.txt`` has it.

``python tests/test_public_api.py`` writes the file anew, when a change is meant.
"""

import inspect
import re
import sys
from pathlib import Path

import qtwin

FILE = Path(__file__).parent / "fixtures" / "public_api.txt"


def signature(name: str) -> str:
    thing = getattr(qtwin, name)
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return name
    if inspect.isclass(thing) and issubclass(thing, tuple) and hasattr(thing, "_fields"):
        defaults = {field: f"{field}={value!r}" for field, value in thing._field_defaults.items()}
        return f"{name}({', '.join(defaults.get(field, field) for field in thing._fields)})"
    bare = inspect.Parameter.empty
    plain = [each.replace(annotation=bare) for each in inspect.signature(thing).parameters.values()]
    return f"{name}{inspect.Signature(plain)}"


def public() -> str:
    return "".join(re.sub(r" at 0x[0-9a-f]+", "", signature(name)) + "\n" for name in qtwin.__all__)


def test_every_public_signature_is_as_it_was():
    assert public() == FILE.read_text(encoding="utf-8"), "if this is meant: python tests/test_public_api.py"


def test_what_algorithms_are_written_against_is_promised():
    assert signature("epsilon_greedy") == "epsilon_greedy(q, epsilon, key)"
    assert qtwin.Agent._fields[:3] == ("init", "act", "loss")
    assert qtwin.Aux._fields[:2] == ("td_error", "q")


if __name__ == "__main__":
    FILE.write_text(public(), encoding="utf-8")
    sys.stdout.write(public())
