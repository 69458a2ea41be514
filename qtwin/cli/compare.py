"""``qtwin compare`` and ``qtwin report``: options in, a comparison out. Read without importing JAX."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from qtwin.agents.catalog import every_setting
from qtwin.config.options import number, option, whole
from qtwin.errors import Refusal
from qtwin.request.command_line import setting_options
from qtwin.request.imports import import_words
from qtwin.storage.reading import plain


def compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("env", metavar="ENV", help="the environment, for example CartPole-v1 (qtwin list envs)")
    parser.add_argument("--agent", metavar="NAME", nargs="+", help="algorithms (qtwin list agents)")
    parser.add_argument("--preset", metavar="NAME", nargs="+", help="recipes (qtwin list presets)")
    parser.add_argument("--seeds", metavar="K", default="5", help="how many seeds of each")
    parser.add_argument("--seed", metavar="S", default="0", help="the first of them")
    parser.add_argument("--out", metavar="DIR", help="the comparison's directory; named by its content if left out")
    parser.add_argument("--budget", metavar="MINUTES", help="refuse a grid that would take longer")
    parser.add_argument("--eval-episodes", metavar="N", default="100", help="greedy episodes at the end, for each seed")
    parser.add_argument("--eval-max-steps", metavar="N", default="0", help="cut an evaluation episode after N steps")
    parser.add_argument("--log-points", metavar="N", default="20", help="evaluations on the way")
    parser.add_argument("--engine", metavar="E", default="auto", help="auto, fused (in JAX) or hosted (in Python)")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
    parser.set_defaults(imports=())  # handed on to the processes of the cells
    setting_options(parser, "each takes one value or several; every combination is run", nargs="+")


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
        raise Refusal(f"--out is a directory, and {folder} is a file; write another --out")
    return lab.run(folder, protocol, cells, _command(protocol, said, folder), budget, arguments.quiet)


def report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a comparison's directory")


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
    # What is no UTF-8 in a path is shown as a question mark: the page and the terminal could not hold it.
    return plain(shlex.join([*words, "--out", str(folder)]))
