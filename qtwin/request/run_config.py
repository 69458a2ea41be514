"""What a run directory says of its run, and whether it is the one that is asked for. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.agents import handed_in
from qtwin.agents.catalog import AGENTS, agent_of
from qtwin.config.config import Config
from qtwin.envs.catalog import HOMES
from qtwin.errors import Refusal
from qtwin.records import origin_of
from qtwin.request.run_directory import resolve_run_dir
from qtwin.storage.files import replace
from qtwin.storage.reading import problem, read_record, shown
from qtwin.storage.schemas import RUN_CONFIG, settings
from qtwin.target_update.catalog import SPECS
from qtwin.types import OWN

# Options that the bits or the memory of a run depend on; the other options are given again when it resumes.
BOUND = {"engine": "auto", "overlap": False, "checkpoints": "5", "frames": "memory", "eval_max_steps": 0}
MAY_CHANGE = ("steps", "schedule_steps", "frames")


def bound(request: Any) -> dict:
    """What of a request `BOUND` names, as ``config.json`` holds it under "run"."""
    return {name: getattr(request, name) for name in BOUND}


def read_config(out: Path, kind: type = Config) -> dict:
    """A run's ``config.json``: ``{"config": {...}, "seeds": [...], ...}``, checked field by field.

    Args:
      out: the run directory.
      kind: the dataclass that its "config" holds.
    """
    file, again = out / "config.json", "train anew to another --out"
    if not file.exists():
        raise Refusal(f"there is no run at {out} to go on with ({file.name} is missing); leave --resume out")
    saved = read_record(file, RUN_CONFIG, again)
    if kind is Config and "method" in saved["config"]:
        raise Refusal(
            f"the run in {out} is one of qtwin siamese, which has an encoder and no policy; write qtwin siamese to"
            " go on with it, or qtwin.load_encoder to use it"
        )
    if kind is not Config and "agent" in saved["config"] and "method" not in saved["config"]:
        raise Refusal(f"the run in {out} is one of qtwin train, which has a policy; write qtwin train to go on with it")
    if kind is Config:
        _check_registered(saved.get("registered", {}), out)
        kind = _kind_of(saved["config"], file, again)
    # A run of an earlier version has no settings that came later, and goes on without them.
    before = {each.name: each.default for each in dataclasses.fields(kind) if each.default is not dataclasses.MISSING}
    saved["config"] = before | saved["config"]
    saved["run"] = BOUND | saved.get("run", {})
    for name, expected in settings(kind).items():
        if name not in saved["config"]:
            raise Refusal(f"{file} is damaged: '{name}' is missing; {again}")
        if problem(saved["config"][name], expected):
            raise Refusal(f"{file}: '{name}' has the wrong type ({shown(saved['config'][name])}); {again}")
    for name, default in BOUND.items():
        if type(saved["run"][name]) is not type(default):
            raise Refusal(f"{file}: '{name}' has the wrong type ({shown(saved['run'][name])}); {again}")
    return saved


# Settings that name a record, and the kind of record.
NAMING = {"agent": "agent", "env": "environment home", "target": "target update"}


def registered(config: Config) -> dict[str, str]:
    """The modules that registered what a run names, by kind and name (``agent cautious``); nothing of qtwin's own."""
    found = {}
    for field, kind in NAMING.items():
        name = getattr(config, field).partition(":")[0]
        if origin := origin_of(kind, name):
            found[f"{kind} {name}"] = origin
    return found


def _check_registered(needs: dict[str, str], out: Path) -> None:
    """Refuses to read a run whose agent, environment or target update is not registered here."""
    catalogues = {"agent": AGENTS, "environment home": HOMES, "target update": SPECS}
    missing = {}
    for what, module in needs.items():
        kind, _, name = what.rpartition(" ")
        if name not in catalogues.get(kind, {}):
            missing[f"the {kind} '{name}'"] = module
    if not missing:
        return
    modules = list(dict.fromkeys(module for module in missing.values() if module != "__main__"))
    how = f"write {' '.join(f'--import {module}' for module in modules)}, or import it in Python"
    how = how if modules else "register it first, as the script did that trained it"
    are = "is" if len(missing) == 1 else "are"
    raise Refusal(f"the run in {out} uses {' and '.join(missing)}, which {are} not registered here; {how}")


def _kind_of(config: dict, file: Path, again: str) -> type[Config]:
    """The class of a run's settings, which hangs on its agent."""
    agent = config.get("agent", "dqn")
    if isinstance(agent, str) and agent.startswith(OWN):
        return Config
    if not isinstance(agent, str) or agent not in AGENTS:
        raise Refusal(f"{file} is damaged: there is no agent {shown(agent)}; {again}")
    return agent_of(agent).config


class SavedRun(NamedTuple):
    """A run to go on with.

    Attributes:
      config: its settings, a `Config` or another kind of run's.
      seeds: its seeds.
      file: all of its ``config.json``.
    """

    config: Any
    seeds: tuple[int, ...]
    file: dict


def saved_run(out: str | None, kind: type = Config) -> SavedRun:
    """The run in ``out``, whose settings are a ``kind``; refuses a directory that holds no such run."""
    file = read_config(Path(resolve_run_dir(out, True)), kind)
    if kind is Config:
        kind = agent_of(file["config"]["agent"]).config
    known = {field.name for field in dataclasses.fields(kind)}
    config = kind(**{name: value for name, value in file["config"].items() if name in known})
    return SavedRun(config, tuple(file["seeds"]), file)


def as_before(run: dict, before: dict) -> dict:
    """These options, with those that were not set explicitly (None, or the default) as before."""
    return {name: before[name] if run[name] in (None, BOUND[name]) else run[name] for name in BOUND}


def same_run(
    out: Path,
    saved: dict,
    config: Any,
    seeds: tuple[int, ...],
    run: dict | None = None,
    may_change: tuple[str, ...] = (),
) -> None:
    """Refuses to go on with a run under other settings, and lists all that differ.

    Args:
      out: the run directory.
      saved: from `read_config`.
      config: what is asked for now, a `Config` or another kind of run's.
      seeds: likewise.
      run: likewise, the values of ``BOUND``.
      may_change: fields that may differ.
    """
    # Another agent may have settings that the run has not: that it is another says it all.
    names = [field.name for field in dataclasses.fields(config) if field.name in saved["config"]]
    before = {name: saved["config"][name] for name in names}
    now = {name: getattr(config, name) for name in names}
    if run is not None:
        before, now = before | {name: saved["run"][name] for name in BOUND}, now | run
    before["seeds"], now["seeds"] = saved["seeds"], list(seeds)
    other = [f"{name} {before[name]!r}, not {now[name]!r}" for name in now if before[name] != now[name]]
    other = [text for text in other if text.split()[0] not in may_change]
    if other:
        own = any(str(before[name]).startswith(OWN) for name in now if before[name] != now[name])
        instead = "hand in what it began with" if own else f"leave {'that' if len(other) == 1 else 'those'} out"
        raise Refusal(f"the run in {out} was started with {'; '.join(other)}: {instead}, or train to another --out")


def description_of(config: Any, seeds: tuple[int, ...], **more: Any) -> dict:
    """What ``config.json`` holds: the settings, the seeds, the versions, and ``more``."""
    import importlib.metadata  # takes longer than all else that is imported here

    versions = {
        name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "gymnax", "gymnasium", "numpy")
    }
    return {
        "config": written(config),
        **more,
        "seeds": list(seeds),
        "versions": {"python": sys.version.split()[0], **versions},
    }


def written(config: Any) -> dict[str, Any]:
    """The settings of a run as ``config.json`` holds them: of what was handed in the names, and of an `Algorithm` only
    what is known of it.
    """
    found = dataclasses.asdict(config)
    if not handed_in.is_finished(found.get("agent", "")):
        return found
    known = (*handed_in.SETTABLE, *handed_in.FACTS)
    return {name: value for name, value in found.items() if name in known}


def write_json(file: Path, value: dict) -> None:
    """``value`` as a file, whole or not at all."""
    replace(file, (json.dumps(value, indent=1) + "\n").encode())
