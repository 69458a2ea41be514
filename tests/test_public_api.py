"""What is public stays: every name of `qtwin` with its signature, as ``fixtures/public_api.txt`` has it.

``python tests/test_public_api.py`` writes the file anew, when a change is meant.
"""

import inspect
import re
import sys
from pathlib import Path

import pytest

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


def test_old_names_work_for_one_release_and_warn():
    with pytest.warns(DeprecationWarning, match=r"qtwin.taken is now qtwin.q_of_action"):
        assert qtwin.taken is qtwin.q_of_action
    with pytest.warns(DeprecationWarning, match="PolicyUpdate"):
        assert qtwin.Improvement is qtwin.PolicyUpdate
    with pytest.warns(DeprecationWarning, match=r"field twinned of qtwin.Algorithm is now target_parts"):
        made = qtwin.Algorithm(None, None, None, None, None, twinned=("critic",))
    assert made.target_parts == ("critic",)
    with pytest.warns(DeprecationWarning, match=r"field relabel .* is now process_chunk"):
        made = made._replace(relabel=print)
    assert made.process_chunk is print
    with pytest.warns(DeprecationWarning, match="relabel"):
        assert made.relabel is print
    assert isinstance(made, qtwin.Algorithm)
    with pytest.warns(DeprecationWarning, match="target_variables"):
        assert qtwin.Twin(1, 2).follower == 2
    with pytest.raises(AttributeError):
        _ = qtwin.no_such_name


if __name__ == "__main__":
    FILE.write_text(public(), encoding="utf-8")
    sys.stdout.write(public())
