"""``qtwin compare`` and ``qtwin report``. Read without importing JAX."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from qtwin.agents.catalog import every_setting
from qtwin.config.options import number, option, whole
from qtwin.errors import Refusal
from qtwin.request.command_line import setting_options
from qtwin.request.help_text import Option, add_options
from qtwin.request.imports import import_words
from qtwin.storage.reading import plain

COMPARE_OPTIONS = {
    "seeds": Option("K", "number of seeds of each cell of the grid", "5"),
    "seed": Option("S", "first seed", "0"),
    "out": Option("DIR", "directory of the comparison", "under runs/, named after its content"),
    "budget": Option("MINUTES", "refuse a grid that would take longer", "no limit"),
    "eval_episodes": Option("N", "episodes of the final evaluation, per seed", "100"),
    "eval_max_steps": Option(
        "N", "step limit of an evaluation episode [transitions]; 0 is the environment's, at least 10000", "0"
    ),
    "log_points": Option("N", "evaluations during training, evenly spaced", "20"),
    "engine": Option("E", "auto, fused (all in JAX, one program) or hosted (environments in Python)", "auto"),
    "quiet": Option(None, "print nothing"),
}
DEFAULTS = {
    "seeds": "5",
    "seed": "0",
    "eval_episodes": "100",
    "eval_max_steps": "0",
    "log_points": "20",
    "engine": "auto",
}


def compare_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s ENV --SETTING VALUE VALUE ... [options]"
    parser.epilog = (
        "Every setting takes one value or several, and every combination of values is run: the cells of the grid."
    )
    parser.add_argument("env", metavar="ENV", help="environment, for example CartPole-v1 (qtwin list envs)")
    parser.add_argument("--agent", metavar="NAME", nargs="+", help="algorithms (qtwin list agents)")
    parser.add_argument("--preset", metavar="NAME", nargs="+", help="presets (qtwin list presets)")
    add_options(parser, COMPARE_OPTIONS, {"": tuple(COMPARE_OPTIONS)})
    parser.set_defaults(**DEFAULTS, imports=())  # imports are handed on to the processes of the cells
    setting_options(parser, nargs="+")


def compare(arguments: argparse.Namespace) -> int:
    from qtwin.lab import compare as lab
    from qtwin.lab.grid import Protocol, cells_of, default_folder

    said = {name: getattr(arguments, name) for name in ("agent", "preset", *every_setting())}
    said = {name: values for name, values in said.items() if values is not None}
    protocol = Protocol(
        arguments.env,
        whole(arguments.seeds, "--seeds", 1),
        whole(arguments.seed, "--seed", 0),
        whole(arguments.eval_episodes, "--eval-episodes", 1),
        whole(arguments.log_points, "--log-points", 1),
        arguments.engine,
        whole(arguments.eval_max_steps, "--eval-max-steps", 0),
        arguments.imports,
    )
    budget = None if arguments.budget is None else number(arguments.budget, "--budget")
    cells = cells_of(protocol, said)
    folder = Path(arguments.out) if arguments.out else default_folder(protocol, cells)
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"--out needs a directory, and {folder} is a file; write another --out")
    return lab.run(folder, protocol, cells, _command(protocol, said, folder), budget, arguments.quiet)


def report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="directory of a comparison")


def report(arguments: argparse.Namespace) -> int:
    from qtwin.lab.grid import read_plan
    from qtwin.lab.report import conclude
    from qtwin.request.run_directory import stay_inside

    read_plan(Path(arguments.folder))
    stay_inside(Path(arguments.folder))
    conclude(Path(arguments.folder), print)
    return 0


def _command(protocol, said: dict[str, list[str]], folder: Path) -> str:
    words = ["qtwin", "compare", protocol.env]
    for name, values in said.items():
        words += [f"--{name}" if name in ("agent", "preset") else option(name), *values]
    words += ["--seeds", str(protocol.seeds)]
    words += ["--seed", str(protocol.seed)] if protocol.seed else []
    words += ["--log-points", str(protocol.log_points)] if protocol.log_points != 20 else []
    words += ["--eval-episodes", str(protocol.eval_episodes)] if protocol.eval_episodes != 100 else []
    words += ["--eval-max-steps", str(protocol.eval_max_steps)] if protocol.eval_max_steps else []
    words += import_words(protocol.imports)
    # Bytes of a path that are not UTF-8 are shown as question marks: neither page nor terminal could show them.
    return plain(shlex.join([*words, "--out", str(folder)]))
