"""``qtwin siamese``: its options, and what it does with them. Read without importing JAX."""

from __future__ import annotations

import argparse
from pathlib import Path

from qtwin.errors import Refusal
from qtwin.settings import option
from qtwin.siamese.request import SETTINGS, build, saved_config


def siamese_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="simsiam, byol, moco, simclr (qtwin list methods)")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="digits, a folder (CIFAR-10's binary files, or pictures), .npy, .npz or a recording",
    )
    parser.add_argument("--seeds", metavar="K", default=None, help="how many seeds, trained side by side")
    parser.add_argument("--seed", metavar="S", default=None, help="the first of them")
    parser.add_argument("--out", metavar="DIR", help="the run directory; a fresh one under runs/ if left out")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--log-points", metavar="N", default="15", help="how often on the way the features are judged")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
    group = parser.add_argument_group("settings", "over the method's own for such images")
    for field, (takes, means) in SETTINGS.items():
        group.add_argument(option(field), dest=field, metavar=takes, help=means)


def siamese(arguments: argparse.Namespace) -> int:
    said = {field: getattr(arguments, field) for field in SETTINGS if getattr(arguments, field) is not None}
    data, seeds, seed = arguments.data, arguments.seeds, arguments.seed
    if arguments.resume and arguments.out and (Path(arguments.out) / "config.json").is_file():
        config, saved = saved_config(Path(arguments.out))
        if arguments.method != config.method:
            raise Refusal(
                f"the run in {arguments.out} is one of {config.method}, not {arguments.method}; write qtwin siamese"
                f" {config.method} --resume --out {arguments.out}"
            )
        said = {field: getattr(config, field) for field in SETTINGS} | said
        data = data or config.data
        if seeds is None and seed is None:
            seed, seeds = saved[0], len(saved)
    request = build(
        arguments.method,
        data=data or "digits",
        seeds=seeds,
        seed=seed,
        out=arguments.out,
        resume=arguments.resume,
        log_points=arguments.log_points,
        quiet=arguments.quiet,
        settings=said,
    )
    from qtwin.siamese.run import run

    return run(request)
