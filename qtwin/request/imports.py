"""Modules that a command names after ``--import``: imported before its options are read. Read without importing JAX.

They register what they bring (`qtwin.register`). Only the user says so, in that very command: no file that is read back
imports anything.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from qtwin.errors import Refusal, nearest, told
from qtwin.storage.files import staying

OPTION = "--import"


def import_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--import`` to a command's help; `split_imports` has taken it out of what is parsed."""
    group = parser.add_argument_group("modules of your own")
    about = "import MODULE first, as python -m finds it; it registers agents, environments, ... (repeatable)"
    group.add_argument(OPTION, metavar="MODULE", default=argparse.SUPPRESS, help=about)


def split_imports(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The modules that a command line names after ``--import``, and its other words.

    One without a value stays, for the parser to refuse.
    """
    names, rest, i = [], [], 0
    while i < len(words):
        if words[i] == "--":
            return tuple(names), [*rest, *words[i:]]
        if words[i] == OPTION and i + 1 < len(words) and not words[i + 1].startswith("-"):
            names.append(words[i + 1])
            i += 2
            continue
        if words[i].startswith(f"{OPTION}="):
            names.append(words[i].partition("=")[2])
        else:
            rest.append(words[i])
        i += 1
    return tuple(dict.fromkeys(names)), rest


def import_words(names: tuple[str, ...]) -> list[str]:
    """The options that name these modules, for another process."""
    return [word for name in names for word in (OPTION, name)]


def import_modules(names: tuple[str, ...]) -> None:
    """Imports modules by their dotted names, with the current directory on ``sys.path`` as ``python -m`` has it.

    Raises:
      Refusal: a name is none, there is no such module, or it raised; one sentence with the reason.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
            plain = Path(name).name.removesuffix(".py")
            example = plain if plain.isidentifier() else "mypackage"
            raise Refusal(
                f"{OPTION} takes the dotted name of a module, as python -m does, and '{name[:200]}' came; write for"
                f" example {OPTION} {example}"
            )
    if names:
        _look_here()
    for name in names:
        _import(name)


def _import(name: str) -> None:
    try:
        with staying():  # the module may change the working directory, and the command's paths mean this one
            importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            near = nearest(name, _modules_here())
            raise Refusal(
                f"{OPTION} {name}: there is no module '{missing}', neither in this directory nor where Python looks for"
                f" modules{near if 'did you mean' in near else '; write its name as python -m takes it'}"
            ) from None
        raise Refusal(f"{OPTION} {name}: the module cannot be imported: {told(error, _folder_of(name))}") from error


def _folder_of(name: str) -> str:
    """Where the files of a module's package are."""
    try:
        found = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return ""
    return os.path.dirname(found.origin) if found and found.origin else ""


def _look_here() -> None:
    try:
        here = os.getcwd()
    except OSError:  # deleted
        return
    if not sys.flags.safe_path and not {here, ""} & set(sys.path):
        sys.path.insert(0, here)
        importlib.invalidate_caches()


def _modules_here() -> list[str]:
    """The modules and packages of the current directory."""
    try:
        entries = sorted(Path().iterdir())[:1000]
    except OSError:
        return []
    packages = [entry.name for entry in entries if (entry / "__init__.py").is_file()]
    return packages + [entry.stem for entry in entries if entry.suffix == ".py"]
