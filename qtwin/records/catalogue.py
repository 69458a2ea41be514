"""A catalogue: records by name, those of this package and those from outside. Read without importing JAX.

A record from outside comes by `register`, in a module that the user imports or names after ``--import``, or by an entry
point of an installed package. Entry points are read once, when a name is not known or a catalogue is listed.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from qtwin.errors import Refusal
from qtwin.records.fields import alike, imported

T = TypeVar("T")

# By the type of a record, its catalogue; imported when such a record comes.
CATALOGUES = {
    "AgentInfo": "qtwin.agents.catalog:AGENTS",
    "TargetRuleInfo": "qtwin.target_update.catalog:SPECS",
    "EnvHomeInfo": "qtwin.envs.catalog:HOMES",
    "MeasureInfo": "qtwin.measure.catalog:MEASURES",
    "BootstrapInfo": "qtwin.config.bootstrap_specs:BOOTSTRAPS",
    "RegulariserInfo": "qtwin.config.bootstrap_specs:REGULARISERS",
    "ReplayInfo": "qtwin.replay.catalog:REPLAYS",
    "MethodInfo": "qtwin.siamese.catalog:METHODS",
    "Preset": "qtwin.request.presets:PRESETS",
}
GROUPS = ("qtwin.agents", "qtwin.envs", "qtwin.records")  # of entry points
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")  # what a spec, an option and a file's name can hold

_origins: dict[tuple[str, str], str] = {}
_installed: set[tuple[str, str]] = set()  # of them, those that entry points brought
_reading = threading.RLock()
_read = _under_way = False


class Catalogue(Mapping[str, T]):
    """Records by name, in their order."""

    def __init__(self, kind: str, shape: type[T], records: Iterable[T], problems: str, first: bool = False):
        """A catalogue of this package's own records.

        Args:
          kind: what one of them is, in a word or two: "agent".
          shape: the type of a record. Its first field is its name.
          records: this package's own.
          problems: ``(record, outside=True) -> [what is wrong]`` by ``"module:function"``.
          first: a record from outside comes before those that are there, not after them.
        """
        self.kind, self.shape, self.problems, self.first = kind, shape, problems, first
        self._records = {name_of(record): record for record in records}

    def __getitem__(self, name: str) -> T:
        if name not in self._records:
            read_entry_points()
        return self._records[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        read_entry_points()
        return iter(tuple(self._records))

    def __len__(self) -> int:
        read_entry_points()
        return len(self._records)

    @property
    def outside(self) -> tuple[str, ...]:
        """The names of the records from outside this package."""
        return tuple(name for name in self if (self.kind, name) in _origins)

    def add(self, record: T, origin: str) -> None:
        """Adds a record from outside.

        Args:
          record: it.
          origin: the module that it comes from.

        Raises:
          Refusal: it is half filled, or another one has its name.
        """
        name = name_of(record)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Refusal(
                f"the name of {_a(self.kind)} begins with a letter and holds only letters, digits, '_', '-' and '.',"
                f" and {str(name)[:80]!r} came; choose another name"
            )
        there = self._records.get(name)
        if there is not None and not alike(there, record):
            by = f"registered by {_origins[self.kind, name]}" if (self.kind, name) in _origins else "one of qtwin's own"
            raise Refusal(
                f"there is {_a(self.kind)} '{name}' already, {by}, and another record came with this name; choose"
                " another name"
            )
        try:
            wrong = imported(self.problems)(record, outside=True)
        except Exception as error:  # a field of a type that nobody asks about
            wrong = [f"{type(error).__name__}: {error}"]
        if wrong:
            raise Refusal(f"the {self.kind} '{name}' cannot be registered: {'; '.join(wrong)}")
        if there is None:
            _origins[self.kind, name] = origin
            if _under_way:
                _installed.add((self.kind, name))
        if self.first and there is None:
            self._records = {name: record, **self._records}
        else:
            self._records[name] = record


def register(record: Any) -> None:
    """Adds an agent, a target rule, an environment home, a diagnostic, ... of your own to those that qtwin has.

    From then on it can be chosen by its name, in Python and on the command line: it has its settings in ``--help``, its
    line in ``qtwin list``, exact resume, ``eval``, ``compare`` and everything else that the built-in ones have. JAX is
    not imported for it. Registering the same record again changes nothing.

    Args:
      record: an `AgentInfo`, `TargetRuleInfo`, `EnvHomeInfo`, `MeasureInfo`, `BootstrapInfo`, `RegulariserInfo`,
        `ReplayInfo`, `MethodInfo` or `Preset`. Where a field holds a function by ``"module:function"``, that module is
        imported when the function is used.

    Raises:
      Refusal: it is no such record, it is half filled or contradicts itself, or another record has its name.
    """
    _add(record, sys._getframe(1).f_globals.get("__name__", "__main__"))


def origin_of(kind: str, name: str) -> str:
    """The module that registered a record from outside; "" for one of this package.

    Args:
      kind: "agent", "target update", "environment home", "diagnostic", "way to bootstrap", "regulariser", "replay",
        "method" or "preset".
      name: of the record.
    """
    return _origins.get((kind, name), "")


def registered_here() -> bool:
    """Does this process have records that another one has only if it imports the same modules?"""
    return bool(_origins.keys() - _installed)


def name_of(record: Any) -> Any:
    """The name of a record: its first field, or ``name``."""
    return record[0] if isinstance(record, tuple) else record.name


def read_entry_points() -> None:
    """Adds the records of installed packages' entry points, the first time; a broken one costs a line on stderr."""
    global _read, _under_way
    with _reading:
        if _read:
            return
        _read = True  # before anything is imported, which may list a catalogue itself
        import importlib.metadata  # takes longer than all else that is imported here

        try:
            found = importlib.metadata.entry_points()
        except Exception as error:  # a damaged file of some package
            _complain("the entry points of the installed packages cannot be read", error)
            return
        _under_way = True
        for group in GROUPS:
            for point in found.select(group=group):
                try:
                    _add_all(point.load(), point.module)
                except (Exception, SystemExit) as error:
                    _complain(f"the entry point {point.name} of {group} cannot be loaded", error)
        _under_way = False


def _add_all(found: Any, origin: str) -> None:
    """Adds what an entry point names: a record, several, or a function that returns them.

    A module, or None from a function, has registered its records itself.
    """
    if callable(found):
        found = found()
    if found is None or isinstance(found, type(sys)):
        return
    several = isinstance(found, list) or (isinstance(found, tuple) and not hasattr(found, "_fields"))
    for record in found if several else (found,):
        _add(record, origin)


def _add(record: Any, origin: str) -> None:
    reference = CATALOGUES.get(type(record).__name__)
    catalogue = imported(reference) if reference else None
    if catalogue is None or not isinstance(record, catalogue.shape):
        what = type(record).__name__
        came = f"the class {record.__name__}" if isinstance(record, type) else f"{record!r:.80} ({what})"
        raise Refusal(
            f"register takes a record, one of {', '.join(CATALOGUES)}, and {came} came; write for example"
            " qtwin.register(qtwin.AgentInfo(...))"
        )
    catalogue.add(record, origin)


def _complain(what: str, error: BaseException) -> None:
    words = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(error).split()))
    kind = "" if isinstance(error, Refusal) else f"{type(error).__name__}: "
    try:
        print(f"qtwin: {what}: {kind}{words[:500]}".rstrip(": "), file=sys.stderr)
    except (OSError, ValueError):  # nobody reads it any more
        return


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
