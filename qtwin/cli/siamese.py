"""``qtwin siamese``: its options, and what it does with them. Read without importing JAX."""

from __future__ import annotations

import argparse

from qtwin.config.options import option
from qtwin.errors import Refusal
from qtwin.interrupts import importing
from qtwin.request.config_file import config_option, said
from qtwin.request.siamese import SETTINGS, SiameseRequest, build


def siamese_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", nargs="?", help="simsiam, byol, ... (qtwin list methods)")
    config_option(parser)
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="digits, a folder (CIFAR-10's binary files, or pictures), .npy, .npz or a recording",
    )
    parser.add_argument("--data-limit", metavar="GIB", help="memory that the images may take (1) [GiB]")
    parser.add_argument("--seeds", metavar="K", default=None, help="how many seeds, trained side by side")
    parser.add_argument("--seed", metavar="S", default=None, help="the first of them")
    parser.add_argument("--out", metavar="DIR", help="the run directory; a fresh one under runs/ if left out")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--log-points", metavar="N", help="how often on the way the features are judged (15)")
    parser.add_argument("--checkpoints", metavar="N", help="so many in the run (5), or every:N gradient steps one")
    parser.add_argument("--keep", metavar="HOW", help="which stay: last:2, every:10, best:1, or several with commas")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
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
    asked = said(arguments)
    if "method" not in asked:
        raise Refusal("qtwin siamese needs METHOD and none came; write qtwin siamese simsiam")
    settings = {field: asked.pop(field) for field in SETTINGS if field in asked}
    return build(**asked, settings=settings)
