"""What the records of all catalogues share. Read without importing JAX.

A record is a NamedTuple that holds every fact about one thing that can be chosen by name: an agent, a target rule, an
environment's home, a replay, a measure, a Siamese method. Tables are derived from records, and code asks a record what
it can do, never what it is called.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any


def imported(reference: str) -> Any:
    """The object that ``"package.module:name"`` refers to; its module is imported by this call, not before."""
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


def dangling(record: Any, fields: tuple[str, ...]) -> list[str]:
    """References of a record that lead nowhere: one line for each. No module is imported to find out; "" is skipped.

    Args:
      record: a NamedTuple.
      fields: those that hold ``"package.module:name"``.
    """
    wrong = []
    for field in fields:
        reference = getattr(record, field)
        module, colon, name = reference.partition(":")
        if reference and not (colon and name in _names_of(module)):
            wrong.append(f"{field} refers to {reference}, which does not exist")
    return wrong


def _names_of(module: str) -> set[str]:
    """The functions and classes that a module defines; none if there is no such module."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return set()
    if found is None or not found.origin:
        return set()
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
