"""The grid of a comparison: one cell for each combination of what was asked for, named by its content.

Read without importing JAX.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.agents.catalog import AGENTS, every_setting, reads
from qtwin.agents.own import OF_EVERY_AGENT
from qtwin.config.config import Config
from qtwin.config.options import option
from qtwin.config.rates_of import budget
from qtwin.errors import Refusal
from qtwin.records import registered_here
from qtwin.request.imports import import_words
from qtwin.request.train import Request, build
from qtwin.storage.files import replace
from qtwin.storage.reading import Anything, MapOf, plain, problem, read_record, shown
from qtwin.storage.schemas import PLAN as PLAN_FILE
from qtwin.target_update.specs import parse as parse_target
from qtwin.types import OWN, HandedIn

FORMAT = 1
PLAN = "grid.json"  # in a comparison's directory: what was asked for
RESULTS = "compare.json"
BARE = ("target", "bootstrap", "agent", "preset", "net", "regularise")  # values that say themselves what they are


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a comparison: a setting with all its seeds.

    Attributes:
      label: how it is called, by what varies.
      folder: its run directory's name.
      varied: what varies, and its value here.
      request: the run.
      words: the options of ``qtwin train`` that ask for it, without the directory.
      asked: what `qtwin.request.train.build` makes the request of, without the directory.
      registered: this process has records (`qtwin.register`) that the cell's own would not have.
    """

    label: str
    folder: str
    varied: dict[str, str]
    request: Request
    words: tuple[str, ...]
    asked: dict[str, Any] = dataclasses.field(default_factory=dict)
    registered: bool = False

    @property
    def here(self) -> bool:
        """It runs in this process, for something in it was handed in from Python, or is registered here alone."""
        return self.registered or any(is_own(value) for value in vars(self.request.config).values())


def is_own(value: Any) -> bool:
    """Is a setting the name of something that was handed in?"""
    return isinstance(value, HandedIn) and value.startswith(OWN)


class Protocol(NamedTuple):
    """What all cells share.

    Attributes:
      env: the environment.
      seeds: how many for each cell.
      seed: the first of them.
      eval_episodes: greedy episodes at the end, for each seed.
      log_points: evaluations on the way.
      engine: auto, fused or hosted.
      eval_max_steps: steps after which an evaluation episode is cut (`qtwin.engine.played.eval_steps`).
      imports: the modules after ``--import``, which each cell's process imports too.
      version: of what was handed in.
    """

    env: str
    seeds: int
    seed: int = 0
    eval_episodes: int = 100
    log_points: int = 20
    engine: str = "auto"
    eval_max_steps: int = 0
    imports: tuple[str, ...] = ()
    version: str = ""


def cells_of(protocol: Protocol, options: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Every combination of the options' values, each checked as ``qtwin train`` would.

    Args:
      protocol: what all share.
      options: by name (``agent``, ``preset`` and the settings), one value or several.

    Raises:
      Refusal: a combination makes no sense, or there is nothing to compare.
    """
    options = {name: list(dict.fromkeys(values)) for name, values in options.items()}
    varied = [name for name, values in options.items() if len(values) > 1]
    if not varied:
        raise Refusal(
            "a comparison needs an option with several values, and each came with one; write for example"
            " --target hard:100 soft:0.005 tied"
        )
    cells, known = [], every_setting()
    for values in itertools.product(*options.values()):
        chosen = dict(zip(options, values, strict=True))
        differs = {name: chosen[name] for name in varied}
        # What all cells share may be for some of the agents alone: --support beside DQN and C51.
        others = {name for name in known if len(options.get(name, ())) == 1 and _for_others(name, options, chosen)}
        chosen = {name: value for name, value in chosen.items() if name not in others}
        settings = {name: value for name, value in chosen.items() if name in known}
        asked = {"env": protocol.env, "diagnose": 1, "quiet": True, "settings": settings}
        asked |= {name: chosen.get(name) for name in ("agent", "preset")}
        asked |= {name: value for name, value in protocol._asdict().items() if name not in ("env", "imports")}
        try:
            request = build(**asked)
        except Refusal as refusal:
            raise Refusal(f"{refusal} (in the cell {label_of(differs)})") from None
        label = label_of(differs)
        folder, words = f"{_slug(label)}-{digest(request)}", _words(protocol, chosen)
        registered = not protocol.imports and registered_here()
        cells.append(Cell(label, folder, differs, request, words, asked, registered))
    return list({cell.folder: cell for cell in cells}.values())


def _for_others(field: str, options: dict[str, Sequence[str]], chosen: dict[str, str]) -> bool:
    """Is ``field`` nothing to this cell's agent, but something to another's?"""
    agents = [agent for agent in options.get("agent", ()) if agent in AGENTS]
    return (
        chosen.get("agent") in agents
        and not reads(chosen["agent"], field)
        and any(reads(agent, field) for agent in agents)
    )


def label_of(varied: dict[str, str]) -> str:
    """``hard:100``, or ``hard:100, double, lr 0.001``."""
    return ", ".join(
        value if name in BARE else f"{option(name).removeprefix('--')} {value}" for name, value in varied.items()
    )


def digest(request: Request) -> str:
    """Eight letters that stand for everything that decides a cell's numbers."""
    config = OF_EVERY_AGENT | dataclasses.asdict(request.config)
    if not config["schedule_steps"]:  # a setting that came later: what was begun without it goes on
        del config["schedule_steps"]
    if not config["env_kwargs"]:
        del config["env_kwargs"]
    content = {
        "config": config,
        "seeds": list(request.seeds),
        "eval_episodes": request.eval_episodes,
        "log_points": request.log_points,
        "engine": request.engine,
        **({"eval_max_steps": request.eval_max_steps} if request.eval_max_steps else {}),
        **({"version": request.version} if request.version else {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def default_folder(protocol: Protocol, cells: list[Cell]) -> Path:
    """``runs/compare-CartPole-v1-1a2b3c4d``: the same for the same grid, so that the same words go on with it."""
    together = hashlib.sha256("".join(sorted(cell.folder for cell in cells)).encode()).hexdigest()[:8]
    return Path("runs") / f"compare-{_slug(protocol.env)}-{together}"


def write_plan(folder: Path, protocol: Protocol, cells: list[Cell], command: str) -> None:
    """Keeps what was asked for, so that a report knows what is missing."""
    plan = {
        "format": FORMAT,
        "command": command,
        "env": protocol.env,
        "seeds": list(cells[0].request.seeds),
        "varied": sorted({name for cell in cells for name in cell.varied}, key=list(cells[0].varied).index),
        "cells": [
            {
                "label": plain(cell.label),
                "folder": cell.folder,
                "varied": {name: plain(value) for name, value in cell.varied.items()},
                "steps": cell.request.config.steps,
                "command": plain(f"qtwin train {shlex.join(cell.words)}" if not cell.here else command),
            }
            for cell in cells
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / PLAN, (json.dumps(plan, indent=1) + "\n").encode())


def read_plan(folder: Path) -> dict:
    """What a comparison was asked for.

    Raises:
      Refusal: there is none, or its file is damaged.
    """
    file, again = folder / PLAN, "write the command of the comparison again"
    if not file.exists():
        raise Refusal(
            f"there is no comparison at {folder} ({PLAN} is missing); write the directory qtwin compare named"
        )
    plan = read_record(file, MapOf(Anything()), again)
    if plan.get("format") != FORMAT:
        raise Refusal(f"{file} has format {shown(plan.get('format'))} and this version reads {FORMAT}; update qtwin")
    if wrong := problem(plan, PLAN_FILE):
        raise Refusal(f"{file} is damaged: {wrong}; {again}")
    for i, cell in enumerate(plan["cells"]):
        if Path(cell["folder"]).name != cell["folder"] or cell["folder"] == "..":
            raise Refusal(f"{file} is damaged: 'cells[{i}].folder' is no plain name; {again}")
    return plan


def price_group(config: Config) -> str:
    """Cells that cost the same for each step share this."""
    rule = parse_target(config.target, budget(config))
    alike = dataclasses.replace(
        config, target="", learning_rate=0.0, discount=0.0, explore="", steps=0, schedule_steps=0, warmup=0
    )
    return json.dumps(dataclasses.asdict(alike) | {"copies": rule.copies, "row": rule.row}, sort_keys=True)


def _words(protocol: Protocol, chosen: dict[str, str]) -> tuple[str, ...]:
    words = [protocol.env]
    for name, value in chosen.items():
        words += [f"--{name}" if name in ("agent", "preset") else option(name), value]
    words += ["--seeds", str(protocol.seeds), "--seed", str(protocol.seed), "--log-points", str(protocol.log_points)]
    words += ["--eval-episodes", str(protocol.eval_episodes), "--diagnose", "1"]
    words += ["--eval-max-steps", str(protocol.eval_max_steps)] if protocol.eval_max_steps else []
    words += import_words(protocol.imports)
    return tuple(words + (["--engine", protocol.engine] if protocol.engine != "auto" else []))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")[:60]
