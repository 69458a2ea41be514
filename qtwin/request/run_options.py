"""The options that every kind of run has: how they are written, read and checked. Read without importing JAX."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.config.options import flag, whole
from qtwin.errors import Refusal
from qtwin.request.config_file import said
from qtwin.request.help_text import Option
from qtwin.request.retention import CHECKPOINTS, KEEP, parse_checkpoints, parse_keep
from qtwin.request.run_config import BOUND, SavedRun, as_before, same_run
from qtwin.request.run_directory import resolve_run_dir, seeds_of

CONFIG = Option("FILE", "read options from a .toml or .json file, or from a run's config.json")
RUN_OPTIONS = {
    "seeds": Option("K", "number of seeds, trained side by side", "1"),
    "seed": Option("S", "first seed", "0"),
    "out": Option("DIR", "run directory", "a new one under runs/"),
    "resume": Option(None, "continue the run in --out"),
    "log_points": Option("N", "evaluations during training, evenly spaced", "20"),
    "checkpoints": Option("N", "checkpoints per run, or every:N transitions", "5"),
    "keep": Option("HOW", "checkpoints to keep: last:N, every:N, best:N, or several joined by commas", KEEP),
    "quiet": Option(None, "print nothing"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run, checked. The requests of all kinds of run share them.

    Attributes:
      seeds: the seeds, trained side by side.
      out: the run directory: empty, or a run to continue; None where nothing is written.
      resume: continue the run in ``out``.
      log_points: number of evaluations during training.
      quiet: print nothing.
      checkpoints: how many per run, or ``every:N`` (`qtwin.request.retention.parse_checkpoints`).
      keep: the checkpoints to keep (`qtwin.request.retention.parse_keep`).
    """

    seeds: tuple[int, ...]
    out: str | None
    resume: bool
    log_points: int
    quiet: bool
    checkpoints: str = CHECKPOINTS
    keep: str = KEEP


class Given(NamedTuple):
    """The same options as they were given; None means that an option was left out.

    Attributes:
      seeds: number of seeds; if None, 1 or what the resumed run has.
      seed: the first seed; if None, 0 or what the resumed run has.
      out: the run directory; if None, a new one under ``runs/``.
      resume: continue the run in ``out``.
      log_points: number of evaluations during training.
      quiet: print nothing.
      checkpoints: if None, 5 or what the resumed run has.
      keep: if None, the last 2.
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


def asked_of(
    arguments: argparse.Namespace, what: str, example: str, settings: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a command line, and those of its ``--config`` file where the command line does not set them.

    Args:
      arguments: the parsed command line.
      what: the command's positional argument; the file may hold it.
      example: a valid command, for the error message.
      settings: the names of the run's settings.

    Returns:
      ``(options, settings)``, without what neither the command line nor the file sets.
    """
    asked = said(arguments)
    if what not in asked:
        command = " ".join(example.split()[:2])
        raise Refusal(f"{command} needs {what.upper()}; write for example {example}")
    return asked, {name: asked.pop(name) for name in settings if name in asked}


def read_options(given: dict[str, Any], log_points: int) -> Given:
    """Checks each option of a run.

    Args:
      given: by the names of `Given`, as values or as the text of an option; missing ones were left out.
      log_points: the default of that option.
    """
    found = Given(**{"log_points": log_points} | given)
    if not found.files and found.resume:
        raise Refusal("resume=True goes on with the run in a directory, and out=None came; write out='DIR'")
    keep = KEEP if found.keep is None else str(found.keep)
    parse_keep(keep)
    checkpoints = None if found.checkpoints is None else str(found.checkpoints)
    if checkpoints is not None:
        parse_checkpoints(checkpoints)
    flag(found.resume, "--resume")
    flag(found.quiet, "--quiet")
    return found._replace(log_points=whole(found.log_points, "--log-points", 1), checkpoints=checkpoints, keep=keep)


def go_on(
    given: Given,
    config: Any,
    run: dict[str, Any],
    saved: SavedRun | None,
    may_change: tuple[str, ...] = (),
    seeds_as_before: bool = True,
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The seeds and options of a run. What was left out is as the resumed run has it, or the default.

    Args:
      given: from `read_options`.
      config: the requested settings.
      run: the requested values of `BOUND`; None, or a missing entry, means left out.
      saved: the run to continue; None for a new one.
      may_change: settings that may differ from those of the saved run.
      seeds_as_before: with neither ``seeds`` nor ``seed`` given, take the seeds of the saved run.

    Returns:
      the seeds, and a value for each name in `BOUND`.

    Raises:
      Refusal: the saved run has other settings, seeds or options; the message lists all differences.
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
    """The fields of `RunOptions`; refuses a directory in which a run can be neither started nor continued.

    Args:
      given: from `read_options`.
      seeds: from `go_on`.
      checkpoints: from `go_on`.
      stem: the first part of a new directory's name.
    """
    return {
        "seeds": seeds,
        "out": resolve_run_dir(given.out, given.resume, stem) if given.files else None,
        "resume": given.resume,
        "log_points": given.log_points,
        "quiet": given.quiet,
        "checkpoints": checkpoints,
        "keep": given.keep,
    }
