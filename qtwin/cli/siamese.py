"""``qtwin siamese``: its options, and what it does with them. Read without importing JAX."""

from __future__ import annotations

import argparse

from qtwin.config.options import option
from qtwin.interrupts import importing
from qtwin.request.run_options import asked_of, run_options
from qtwin.request.siamese import SETTINGS, SiameseRequest, build


def siamese_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``qtwin siamese``."""
    parser.add_argument("method", metavar="METHOD", nargs="?", help="simsiam, byol, ... (qtwin list methods)")
    meanings = {
        "log_points": "how often on the way the features are judged (15)",
        "checkpoints": "so many in the run (5), or every:N gradient steps one",
    }
    run_options(parser, meanings, {"config": _data_options, "quiet": _setting_options})


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="digits, a folder (CIFAR-10's binary files, or pictures), .npy, .npz or a recording",
    )
    parser.add_argument("--data-limit", metavar="GIB", help="memory that the images may take (1) [GiB]")


def _setting_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings", "over the method's own for such images")
    for field, (takes, means) in SETTINGS.items():
        group.add_argument(option(field), dest=field, metavar=takes, help=means)


def siamese(arguments: argparse.Namespace) -> int:
    with importing():
        request = request_of(arguments)
        from qtwin.run.siamese.train import run
    return run(request)


def request_of(arguments: argparse.Namespace) -> SiameseRequest:
    """What ``qtwin siamese`` was asked for, checked."""
    asked, settings = asked_of(arguments, "method", "qtwin siamese simsiam", tuple(SETTINGS))
    return build(**asked, settings=settings)
