"""A request out of a file: what the command line would say, as JSON or TOML. Read without importing JAX."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from qtwin.agents.catalog import AGENTS, reads
from qtwin.agents.own import OF_EVERY_AGENT
from qtwin.config.options import option, yes
from qtwin.config.synonyms import hint
from qtwin.errors import Refusal, Unusable, nearest, one_of
from qtwin.storage.files import LARGEST_JSON, read_bytes, read_json

LONGEST = 4096  # characters of a value; more than any path has
NOT_IN_A_FILE = ("config", "resume")


def said(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a command line says, over what the file behind its ``--config`` says; nothing that neither says.

    Raises:
      Refusal: the file cannot be read, or says what no option is called or takes.
    """
    aloud = {name: value for name, value in vars(arguments).items() if value is not None and value is not False}
    file = aloud.pop("config", None)
    return aloud if file is None else read_request(Path(file), arguments) | aloud


def read_request(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a file says, by the names of the options' fields; numbers as the text that an option would hold.

    Args:
      path: a file of ``name = value``, the name an option's with or without dashes (``n-step``, ``n_step``), or a run's
        directory or ``config.json``.
      arguments: has a field for every option there is.
    """
    names = [name for name in vars(arguments) if name not in NOT_IN_A_FILE]
    spoken = {option(name).removeprefix("--").replace("-", "_"): name for name in names}
    found, flat = {}, _flat(_parsed(path), path, getattr(arguments, "agent", None))
    for mine, theirs in (("agent", "method"), ("method", "agent")):
        if mine in names and theirs in flat and theirs not in names:
            raise Refusal(f"{path} is a request of qtwin {'siamese' if theirs == 'method' else 'train'}")
    for key, value in flat.items():
        name = key.replace("-", "_")
        name = spoken.get(name, name)
        if name not in names:
            near = hint(key[:60], [*spoken, *names], value, {*map(option, names), "--resume"})
            raise Refusal(f"{path}: unknown setting '{key[:60]}'{near}")
        if name in found:
            raise Refusal(f"{path} says '{name}' twice; leave one of them out")
        found[name] = _value(value, name, getattr(arguments, name), path)
    return {name: value for name, value in found.items() if value is not False}


def _parsed(path: Path) -> dict:
    path = path / "config.json" if path.is_dir() else path
    kind = path.suffix.lower()
    if kind not in (".json", ".toml"):
        raise Refusal(f"--config is a .toml or .json file, not '{path}'; write for example --config request.toml")
    try:
        if kind == ".json":
            found = read_json(path)
        else:
            found = tomllib.loads(read_bytes(path, LARGEST_JSON).decode("utf-8"))
    except Unusable as error:
        raise Refusal(f"--config {error}; write a .toml or .json file") from None
    except OSError as error:
        beside = [str(each) for each in path.parent.glob("*.*")] if path.parent.is_dir() else []
        near = nearest(str(path), [each for each in beside if each.endswith((".json", ".toml"))])
        near = near if "did you mean" in near else ""
        raise Refusal(f"--config {path} cannot be read ({error.strerror or error}){near}") from None
    except (ValueError, RecursionError) as error:  # also text that is no UTF-8
        reason = " ".join(str(error).split())[:120] or "nested too deeply"
        raise Refusal(f"--config {path} is no {kind[1:].upper()} ({reason})") from None
    if not isinstance(found, dict):
        raise Refusal(f"--config {path} is expected to hold names with values, and a {type(found).__name__} came")
    return found


def _flat(found: dict, path: Path, agent: str | None = None) -> dict[str, Any]:
    """A run's ``config.json`` as a flat request; a flat request as it is."""
    if "config" not in found:
        return found
    for part in ("config", "run"):
        if not isinstance(found.get(part, {}), dict):
            raise Refusal(f"{path}: '{part}' is expected to hold names with values")
    for part in found:
        one_of(f"part of {path}", part, ("config", "env", "run", "seeds", "versions"))
    flat = {**_own(found["config"], agent), **found.get("run", {})}
    seeds = found.get("seeds", [])
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        raise Refusal(f"{path}: 'seeds' are whole numbers, not {str(seeds)[:60]}")
    if seeds:
        if seeds != list(range(seeds[0], seeds[0] + len(seeds))):
            raise Refusal(f"{path}: 'seeds' are consecutive, not {str(seeds)[:60]}")
        flat |= {"seed": seeds[0], "seeds": len(seeds)}
    return flat


def _own(config: dict, agent: str | None) -> dict:
    """A run's settings for ``agent``, its own if None: without those of other agents that say nothing.

    Runs of earlier versions hold every agent's settings, and with another agent the file's own are left over. What is
    not as it is by default stays, and is refused.
    """
    agent = agent or config.get("agent")
    if not isinstance(agent, str) or agent not in AGENTS:
        return config
    return {
        name: value
        for name, value in config.items()
        if name not in OF_EVERY_AGENT or reads(agent, name) or value != OF_EVERY_AGENT[name]
    }


def _value(value: Any, name: str, default: Any, path: Path) -> Any:
    if isinstance(default, bool):
        return yes(value if isinstance(value, bool) else str(value)[:60], f"{path}: '{name}'")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        came = repr(value[:60]) if isinstance(value, str) else f"a {type(value).__name__}"
        raise Refusal(f"{path}: '{name}' is one number or one line of text, and {came} came; see {option(name)}")
    return value
