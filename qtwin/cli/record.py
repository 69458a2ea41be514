"""``qtwin record``: its options, and what is wrong with them. Read without importing JAX."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from qtwin.cli.evaluate import read_run
from qtwin.config.options import number, whole
from qtwin.errors import Refusal
from qtwin.interrupts import broken_off, importing


def record_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("env", metavar="ENV", help="the environment (qtwin list envs)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the recording, a new .safetensors file")
    parser.add_argument("--steps", metavar="N", help="how many transitions")
    parser.add_argument("--policy", metavar="RUN", default="random", help="a run whose policy acts, or random")
    parser.add_argument("--epsilon", metavar="EPS", default="0", help="how often the policy's action is a random one")
    parser.add_argument("--seed", metavar="S", default="0", help="of the recording")
    parser.add_argument("--enumerate", action="store_true", help="each outcome of each action in each state, once")


def record(arguments: argparse.Namespace) -> int:
    with importing():
        command = _recording(arguments)
    return broken_off(command)


def _recording(arguments: argparse.Namespace) -> Callable[[], int]:
    """The recording that is asked for, checked, and what it needs imported."""
    from qtwin.envs.catalog import resolve
    from qtwin.replay.dataset import new_file
    from qtwin.request.run_directory import anchored
    from qtwin.run.devices import prepare
    from qtwin.run.policy import read_description

    out = anchored(arguments.out)  # before an environment is made, which may change the working directory
    resolve(arguments.env)
    new_file(arguments.out)
    if arguments.enumerate and arguments.steps is not None:
        raise Refusal("--enumerate writes every outcome once and --steps came too; leave one of them out")
    if not arguments.enumerate and arguments.steps is None:
        raise Refusal("a recording needs a number of transitions and none came; write --steps 10000, or --enumerate")
    steps = None if arguments.steps is None else whole(arguments.steps, "--steps", 1)
    seed, epsilon = whole(arguments.seed, "--seed", 0), number(arguments.epsilon, "--epsilon")
    if epsilon > 1:
        raise Refusal(f"--epsilon is a number between 0 and 1, not {arguments.epsilon}; write --epsilon 0.1")
    policy = arguments.policy
    if policy != "random":
        read_run(policy)
        read_description(Path(policy))
        policy = anchored(policy)
    if not arguments.enumerate:
        prepare(1)
    from qtwin.run.record import run

    return lambda: run(arguments.env, out, steps, policy, seed, epsilon, arguments.enumerate, arguments.out)
