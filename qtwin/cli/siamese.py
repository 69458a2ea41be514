"""``qtwin siamese``. Read without importing JAX."""

from __future__ import annotations

import argparse

from qtwin.interrupts import importing
from qtwin.request.help_text import Option, add_options
from qtwin.request.run_options import CONFIG, RUN_OPTIONS, asked_of
from qtwin.request.siamese import SETTINGS, SiameseRequest, build
from qtwin.siamese.sizes import LIMIT

SIAMESE_OPTIONS = RUN_OPTIONS | {
    "config": CONFIG,
    "data": Option(
        "DATA", "digits, a folder (CIFAR-10's binary files, or pictures), .npy, .npz or a recording", "digits"
    ),
    "data_limit": Option("GIB", "memory that the images may take [GiB]", f"{LIMIT:g}"),
    "log_points": RUN_OPTIONS["log_points"]._replace(default="15"),
    "checkpoints": RUN_OPTIONS["checkpoints"]._replace(means="checkpoints per run, or every:N gradient steps"),
}
GROUPS = {
    "": ("data", "epochs", "seeds", "seed", "out", "resume", "target", "encoder", "learning_rate", "batch", "quiet"),
    "network": ("projector", "predictor", "bottleneck", "batch_norm", "stats_policy"),
    "loss": ("stop_gradient", "symmetric", "temperature", "queue"),
    "optimiser and augmentation": ("momentum", "weight_decay", "augment"),
    "evaluation and checkpoints": ("log_points", "checkpoints", "keep"),
    "more": ("data_limit", "config"),
}


def siamese_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``qtwin siamese``."""
    parser.usage = "%(prog)s METHOD [options]"
    parser.epilog = "Settings without a default here have one per method and data set."
    parser.add_argument(
        "method", metavar="METHOD", nargs="?", help="simsiam, byol, moco or simclr (qtwin list methods)"
    )
    settings = {field: Option(takes, means) for field, (takes, means) in SETTINGS.items()}
    add_options(parser, SIAMESE_OPTIONS | settings, GROUPS)


def siamese(arguments: argparse.Namespace) -> int:
    with importing():
        request = request_of(arguments)
        from qtwin.run.siamese.train import run
    return run(request)


def request_of(arguments: argparse.Namespace) -> SiameseRequest:
    """The checked request of a ``qtwin siamese`` command line."""
    asked, settings = asked_of(arguments, "method", "qtwin siamese simsiam", tuple(SETTINGS))
    return build(**asked, settings=settings)
