"""The options of a run, whatever it learns: how they are written, read and checked. Read without importing JAX."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.config.options import option, whole
from qtwin.errors import Refusal
from qtwin.request.config_file import config_option, said
from qtwin.request.retention import CHECKPOINTS, KEEP, parse_checkpoints, parse_keep
from qtwin.request.run_config import BOUND, SavedRun, as_before, same_run
from qtwin.request.run_directory import place_of, seeds_of

# option: (what it takes, None where it is a flag; what it means), in the order of a command's help
RUN_OPTIONS = {
    "seeds": ("K", "how many seeds, trained side by side"),
    "seed": ("S", "the first of them"),
    "out": ("DIR", "the run directory; a fresh one under runs/ if left out"),
    "resume": (None, "go on with the run in --out"),
    "log_points": ("N", "how often on the way it is evaluated"),
    "checkpoints": ("N", "so many in the run (5), or every:N steps one"),
    "keep": ("HOW", "which stay: last:2, every:10, best:1, or several with commas"),
    "quiet": (None, "say nothing"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out, checked: what the requests of all kinds of run have in common.

    Attributes:
      seeds: which seeds, trained side by side.
      out: the run directory, which holds nothing yet, or the run to go on with; None where nothing is written.
      resume: go on with the run in ``out``.
      log_points: how many times on the way it is evaluated and logged.
      quiet: say nothing.
      checkpoints: how many, or ``every:N`` (`qtwin.request.retention.parse_checkpoints`).
      keep: which of them stay (`qtwin.request.retention.parse_keep`).
    """

    seeds: tuple[int, ...]
    out: str | None
    resume: bool
    log_points: int
    quiet: bool
    checkpoints: str = CHECKPOINTS
    keep: str = KEEP


class Given(NamedTuple):
    """The same options as they were given; None stands for what was left out.

    Attributes:
      seeds: how many seeds; 1, or a resumed run's, if None.
      seed: the first of them; 0, or a resumed run's, if None.
      out: the run directory; a fresh one under ``runs/`` if None.
      resume: go on with the run in ``out``.
      log_points: how many.
      quiet: say nothing.
      checkpoints: 5, or a resumed run's, if None.
      keep: the last 2 if None.
      files: False for a run without a directory.
    """

    log_points: Any
    seeds: Any = None
    seed: Any = None
    out: str | None = None
    resume: bool = False
    quiet: bool = False
    checkpoints: Any = None
    keep: Any = None
    files: bool = True


def run_options(
    parser: argparse.ArgumentParser,
    meanings: dict[str, str],
    after: dict[str, Callable[[argparse.ArgumentParser], None]],
) -> None:
    """Adds the options of a run.

    Args:
      parser: of a command that begins a run.
      meanings: help texts in place of those in `RUN_OPTIONS`.
      after: the command's other options, under the name of the one that they follow in its help.
    """
    config_option(parser)
    after.get("config", _nothing)(parser)
    for name, (takes, means) in RUN_OPTIONS.items():
        how = {"action": "store_true"} if takes is None else {"metavar": takes}
        parser.add_argument(option(name), dest=name, help=meanings.get(name, means), **how)
        after.get(name, _nothing)(parser)


def _nothing(parser: argparse.ArgumentParser) -> None:
    """No more options."""


def asked_of(
    arguments: argparse.Namespace, what: str, example: str, settings: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a command line asks for, over what the file behind its ``--config`` says.

    Args:
      arguments: as they were parsed.
      what: the command's first argument; it may stand in the file.
      example: a command that has it.
      settings: the names of the run's settings.

    Returns:
      ``(options, settings)``; nothing that neither the command line nor the file says.
    """
    asked = said(arguments)
    if what not in asked:
        command = " ".join(example.split()[:2])
        raise Refusal(f"{command} needs {what.upper()} and none came; write {example}")
    return asked, {name: asked.pop(name) for name in settings if name in asked}


def read_options(given: dict[str, Any], log_points: int) -> Given:
    """Checks the options of a run one by one.

    Args:
      given: by the names of `Given`, as values or as the text that an option holds; what is missing was left out.
      log_points: how many there are if that was left out.
    """
    found = Given(**{"log_points": log_points} | given)
    if not found.files and found.resume:
        raise Refusal("resume=True goes on with the run in a directory, and out=None came; write out='DIR'")
    keep = KEEP if found.keep is None else str(found.keep)
    parse_keep(keep)
    checkpoints = None if found.checkpoints is None else str(found.checkpoints)
    if checkpoints is not None:
        parse_checkpoints(checkpoints)
    return found._replace(log_points=whole(found.log_points, "--log-points", 1), checkpoints=checkpoints, keep=keep)


def go_on(
    given: Given,
    config: Any,
    run: dict[str, Any],
    saved: SavedRun | None,
    may_change: tuple[str, ...] = (),
    seeds_as_before: bool = True,
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The seeds and how the run is carried out: what is asked for, and as a resumed run had it where nothing is.

    Args:
      given: from `read_options`.
      config: the settings that are asked for.
      run: what of `BOUND` is asked for; None, or no entry, where nothing is.
      saved: the run to go on with; None for a new one.
      may_change: settings that may differ from the saved run's.
      seeds_as_before: with neither ``seeds`` nor ``seed`` given, the seeds are the saved run's.

    Returns:
      the seeds, and a value for each name in `BOUND`.

    Raises:
      Refusal: the saved run had other settings, seeds or was carried out in another way; all that differs is listed.
    """
    run = dict.fromkeys(BOUND) | run | {"checkpoints": given.checkpoints}
    if saved and seeds_as_before and given.seeds is None and given.seed is None:
        seeds = saved.seeds
    else:
        seeds = seeds_of(given.seeds, given.seed)
    if saved:
        run = as_before(run, saved.file["run"])
        same_run(Path(str(given.out)), saved.file, config, seeds, run, may_change)
    return seeds, {name: BOUND[name] if value in (None, "") else value for name, value in run.items()}


def placed(given: Given, seeds: tuple[int, ...], checkpoints: str, stem: str) -> dict[str, Any]:
    """The fields of `RunOptions`; refuses a directory in which no run can be begun, or none be gone on with.

    Args:
      given: from `read_options`.
      seeds: from `go_on`.
      checkpoints: likewise.
      stem: a fresh directory is named after it.
    """
    return {
        "seeds": seeds,
        "out": place_of(given.out, given.resume, stem) if given.files else None,
        "resume": given.resume,
        "log_points": given.log_points,
        "quiet": given.quiet,
        "checkpoints": checkpoints,
        "keep": given.keep,
    }
