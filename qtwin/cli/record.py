"""``qtwin record``. Read without importing JAX."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from qtwin.cli.evaluate import read_run
from qtwin.config.options import number, whole
from qtwin.errors import Refusal
from qtwin.interrupts import broken_off, importing


def record_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s ENV --out FILE [options]"
    parser.add_argument("env", metavar="ENV", help="environment (qtwin list envs)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the recording: a new .safetensors file")
    parser.add_argument("--steps", metavar="N", help="number of transitions")
    parser.add_argument(
        "--policy", metavar="RUN", default="random", help="run whose policy acts, or random (default: random)"
    )
    parser.add_argument(
        "--epsilon",
        metavar="EPS",
        default="0",
        help="probability of a random action instead of the policy's (default: 0)",
    )
    parser.add_argument("--seed", metavar="S", default="0", help="seed of the recording (default: 0)")
    parser.add_argument(
        "--enumerate",
        action="store_true",
        help="record every outcome of every action in every state once (finite MDPs)",
    )


def record(arguments: argparse.Namespace) -> int:
    with importing():
        command = _recording(arguments)
    return broken_off(command)


def _recording(arguments: argparse.Namespace) -> Callable[[], int]:
    """Checks the request and imports what it needs; returns the recording as a function."""
    from qtwin.envs.catalog import resolve
    from qtwin.replay.dataset import new_file
    from qtwin.request.run_directory import anchored
    from qtwin.run.devices import prepare
    from qtwin.run.policy import read_description

    out = anchored(arguments.out)  # before an environment is made, which may change the working directory
    resolve(arguments.env)
    new_file(arguments.out)
    if arguments.enumerate and arguments.steps is not None:
        raise Refusal("--enumerate records every outcome once and takes no --steps; leave one of them out")
    if not arguments.enumerate and arguments.steps is None:
        raise Refusal("a recording needs its number of transitions; write --steps 10000, or --enumerate")
    steps = None if arguments.steps is None else whole(arguments.steps, "--steps", 1)
    seed, epsilon = whole(arguments.seed, "--seed", 0), number(arguments.epsilon, "--epsilon")
    if epsilon > 1:
        raise Refusal(f"--epsilon must be between 0 and 1, not {arguments.epsilon}; write for example --epsilon 0.1")
    policy = arguments.policy
    if policy != "random":
        read_run(policy)
        read_description(Path(policy))
        policy = anchored(policy)
    if not arguments.enumerate:
        prepare(1)
    from qtwin.run.record import run

    return lambda: run(arguments.env, out, steps, policy, seed, epsilon, arguments.enumerate, arguments.out)
