"""The fields of a record: what is missing, what leads nowhere, what is the same. Read without importing JAX."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def imported(reference: Any) -> Any:
    """The object that ``"package.module:name"`` refers to; its module is imported by this call, not before.

    Args:
      reference: such a text, or the object itself, as a record from outside may hold it.
    """
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def blanks(record: Any, may_be_empty: tuple[str, ...] = ()) -> list[str]:
    """What is missing in a record: one line for each field that is "" or () and may not be.

    Args:
      record: a NamedTuple.
      may_be_empty: the fields for which an empty value means something.
    """
    return [
        f"{field} is empty"
        for field, value in record._asdict().items()
        if field not in may_be_empty and (value is None or (isinstance(value, (str, tuple)) and not value))
    ]


def dangling(record: Any, fields: tuple[str, ...], outside: bool = False) -> list[str]:
    """References of a record that lead nowhere: one line for each. "" is skipped.

    No module is imported to find out, but the packages that it lies in.

    Args:
      record: a NamedTuple.
      fields: those that hold ``"package.module:name"``.
      outside: the record is of no module of this package: the function itself may stand in place of the reference, and
        be defined in any way.
    """
    wrong = []
    for field in fields:
        reference = getattr(record, field)
        if outside and callable(reference):
            continue
        if not isinstance(reference, str):
            wrong.append(f"{field} is written package.module:name, not {reference!r}")
            continue
        module, colon, name = reference.partition(":")
        if reference and not (colon and leads_somewhere(module, name, outside)):
            wrong.append(f"{field} refers to {reference}, which does not exist")
    return wrong


def leads_somewhere(module: str, name: str, outside: bool = False) -> bool:
    """Is there such a module, and does it define the function or class ``name``?

    Args:
      module: its dotted name.
      name: of a function or class.
      outside: anything else that is called so will do, and so will what cannot be looked into.
    """
    if outside and hasattr(sys.modules.get(module), name):
        return True
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return False
    if found is None or not found.origin:
        return False
    try:
        body = ast.parse(Path(found.origin).read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError):
        return outside
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name for node in body):
        return True
    return outside and _mentioned(ast.Module(body, []), name)


def _mentioned(tree: ast.AST, name: str) -> bool:
    """Is ``name`` bound anywhere: assigned, imported (a star may bring anything), or defined behind a condition?"""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=found, ctx=ast.Store()) | ast.FunctionDef(name=found) | ast.ClassDef(name=found):
                names = {found}
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names = {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
            case _:
                continue
        if names & {name, "*"}:
            return True
    return False


def alike(one: Any, other: Any) -> bool:
    """Do two records say the same? What a module defines anew when it is imported again is what it was before."""
    if one is other:
        return True
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, type) and isinstance(other, type):
        return _named(one) == _named(other) and alike(_settings(one), _settings(other))
    if dataclasses.is_dataclass(one) and dataclasses.is_dataclass(other):
        return alike(type(one), type(other)) and alike(_values(one), _values(other))
    if hasattr(one, "__qualname__") and hasattr(other, "__qualname__"):
        return _named(one) == _named(other) and (one.__qualname__.isidentifier() or _code(one) == _code(other))
    return type(one) is type(other) and one == other


def _named(what: Any) -> tuple[str, str]:
    return what.__module__, what.__qualname__


def _code(function: Any) -> Any:
    """What a function does, as far as it can be compared: for a lambda, whose name says nothing."""
    code = getattr(function, "__code__", None)
    return None if code is None else (code.co_code, code.co_names, [str(each) for each in code.co_consts])


def _settings(kind: type) -> tuple:
    if not dataclasses.is_dataclass(kind):
        return ()
    return tuple((field.name, field.default, field.metadata) for field in dataclasses.fields(kind))


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
