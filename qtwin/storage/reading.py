"""What a JSON file that is read back must hold: kinds as plain data, and one reader. Read without importing JAX.

A kind describes a value (``Whole(1)``, ``ListOf(Number())``, ``Record({"steps": Whole(1)})``); `problem` says in words
where a value differs from it. The files themselves are described in `qtwin.storage.schemas`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.errors import Refusal, Unusable
from qtwin.storage.files import read_json

# Of a number: float32 fits, and neither squares nor sums nor areas over 2^63 steps of such numbers overflow.
LARGEST = 1e100
SHOWN = 60  # characters of what came


class Anything(NamedTuple):
    """Any JSON value."""


class Flag(NamedTuple):
    """true or false."""


class Whole(NamedTuple):
    """A whole number."""

    least: int = 0
    most: int = 2**63 - 1


class Number(NamedTuple):
    """A finite number."""

    least: float = -LARGEST
    most: float = LARGEST


class Text(NamedTuple):
    """Text that can be printed: no control characters, so that a terminal shows it and does not obey it."""

    longest: int = 4096


class Maybe(NamedTuple):
    """``kind`` or null."""

    kind: Any


class Either(NamedTuple):
    """One of several kinds."""

    kinds: tuple


class ListOf(NamedTuple):
    """A list of so many values of a kind."""

    kind: Any
    least: int = 0
    most: int = 2**20


class MapOf(NamedTuple):
    """An object with any names, whose values are of a kind."""

    kind: Any


class Record(NamedTuple):
    """An object with known fields.

    Attributes:
      fields: that must be there.
      optional: that may be there.
      others: what any other field may hold; None where there may be no other.
    """

    fields: Mapping[str, Any]
    optional: Mapping[str, Any] = {}
    others: Any = Anything()


def problem(value: Any, kind: Any, at: str = "") -> str | None:
    """What is wrong with a value that is expected to be of a kind, in words; None where nothing is.

    Args:
      value: from JSON.
      kind: one of the kinds of this module.
      at: the value's name, ``cells[3].steps``; "" is the file as a whole.
    """
    match kind:
        case Anything():
            return None
        case Maybe():
            return None if value is None else problem(value, kind.kind, at)
        case Either():
            fits = any(problem(value, each, at) is None for each in kind.kinds)
            return None if fits else _wrong(value, kind, at)
        case ListOf():
            return _list_problem(value, kind, at)
        case MapOf():
            return _map_problem(value, Record({}, {}, kind.kind), at)
        case Record():
            return _map_problem(value, kind, at)
    return None if _fits(value, kind) else _wrong(value, kind, at)


def _fits(value: Any, kind: Any) -> bool:
    match kind:
        case Flag():
            return type(value) is bool
        case Whole():
            return type(value) is int and kind.least <= value <= kind.most
        case Number():
            return type(value) in (int, float) and kind.least <= value <= kind.most  # NaN is neither
        case Text():
            return isinstance(value, str) and len(value) <= kind.longest and plain(value) == value
    raise TypeError(f"{kind!r} is no kind")


def _list_problem(value: Any, kind: ListOf, at: str) -> str | None:
    if not isinstance(value, list) or not kind.least <= len(value) <= kind.most:
        return _wrong(value, kind, at)
    return next((found for i, each in enumerate(value) if (found := problem(each, kind.kind, f"{at}[{i}]"))), None)


def _map_problem(value: Any, kind: Record, at: str) -> str | None:
    if not isinstance(value, dict):
        return _wrong(value, kind, at)
    inside = f"{at}." if at else ""
    for name in kind.fields:
        if name not in value:
            return f"'{inside}{name}' is missing"
    known = {**kind.fields, **kind.optional}
    for name, each in value.items():
        if name not in known and (kind.others is None or not _fits(name, Text())):
            return f"{_named(at)} holds a field {shown(name)}, which is not known"
        if found := problem(each, known.get(name, kind.others), f"{inside}{name}"):
            return found
    return None


def _wrong(value: Any, kind: Any, at: str) -> str:
    return f"{_named(at)} is expected to be {words(kind)}, and {shown(value)} came"


def _named(at: str) -> str:
    return f"'{at}'" if at else "the file"


def words(kind: Any) -> str:
    """A kind in words."""
    match kind:
        case Whole():
            return "a whole number " + _range(kind.least, kind.most, kind.most == Whole().most)
        case Number():
            if kind == Number():
                return "a finite number"
            return "a finite number " + _range(kind.least, kind.most, kind.most == LARGEST)
        case Maybe():
            return f"{words(kind.kind)}, or null"
        case Either():
            return " or ".join(map(words, kind.kinds))
        case ListOf():
            count = f"{kind.least}" if kind.least == kind.most else f"{kind.least} to {kind.most}"
            return f"a list of {count} values"
        case Text():
            return f"text of at most {kind.longest} characters"
        case Flag():
            return "true or false"
    return "an object"


def _range(least: float, most: float, unbounded: bool) -> str:
    return f"of at least {least:g}" if unbounded else f"from {least} to {most}"


def shown(value: Any) -> str:
    """A value that came, as short as a sentence needs it."""
    if isinstance(value, list):
        return f"a list of {len(value)} values"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return repr(value[:SHOWN]) if len(value) <= SHOWN else f"{value[:SHOWN]!r}..."
    if value is None:
        return "null"
    if type(value) is int and abs(value) >= 10**SHOWN:
        return "a whole number of many digits"
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain(text: str) -> str:
    """``text`` with a question mark for every control character and for what UTF-8 cannot hold."""
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)


def read_record(file: Path, kind: Any, advice: str = "") -> Any:
    """What a JSON file holds, held against ``kind``.

    Args:
      file: it.
      kind: what it must hold.
      advice: what to do about a damaged one, the end of the sentence.

    Raises:
      Refusal: it cannot be read, is no JSON or holds something else; one sentence with the file and the field.
    """
    end = f"; {advice}" if advice else ""
    try:
        value = read_json(file)
    except Unusable as error:
        raise Refusal(f"{error}{end}") from None
    except OSError as error:
        raise Refusal(f"{file} cannot be read ({error.strerror or error}){end}") from None
    except ValueError as error:
        raise Refusal(f"{file} is damaged: it is not JSON ({str(error)[:80]}){end}") from None
    if found := problem(value, kind):
        raise Refusal(f"{file} is damaged: {found}{end}")
    return value
