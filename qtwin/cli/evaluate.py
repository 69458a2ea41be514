"""``qtwin eval``. Read without importing JAX."""

from __future__ import annotations

import argparse
from pathlib import Path

from qtwin.config.options import whole
from qtwin.envs.catalog import resolve
from qtwin.envs.preprocessing import PROTOCOLS
from qtwin.errors import Refusal, one_of
from qtwin.interrupts import broken_off, importing


def eval_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s RUN [options]"
    parser.add_argument("run", metavar="RUN", help="run directory")
    parser.add_argument("--episodes", metavar="N", default="100", help="episodes per seed (default: 100)")
    parser.add_argument("--env", metavar="ENV", help="another environment with the same spaces")
    parser.add_argument("--seed", metavar="S", default="0", help="seed of the episodes (default: 0)")
    parser.add_argument(
        "--protocol", metavar="NAME", help="Atari evaluation: nature, machado or greedy (qtwin list protocols)"
    )
    parser.add_argument(
        "--video", metavar="FILE", help="write one episode of the first seed to a .gif, .webp, .png or .mp4 file"
    )
    parser.add_argument(
        "--eval-max-steps", metavar="N", help="step limit of an episode [transitions] (default: as in training)"
    )


def evaluate(arguments: argparse.Namespace) -> int:
    with importing():
        from qtwin.request.run_directory import anchored
        from qtwin.run.devices import prepare
        from qtwin.run.evaluate import judged_in, run
        from qtwin.run.policy import read_description
        from qtwin.run.video import check_video

        episodes = whole(arguments.episodes, "--episodes", 1)
        seed = whole(arguments.seed, "--seed", 0)
        # Before an environment is made, which may change the working directory.
        path, video = anchored(arguments.run), arguments.video and anchored(arguments.video)
        if arguments.env:
            resolve(arguments.env)
        if arguments.protocol is not None:
            one_of("protocol", arguments.protocol, PROTOCOLS)
        saved = read_run(arguments.run)
        limit = arguments.eval_max_steps
        limit = saved["run"]["eval_max_steps"] if limit is None else whole(limit, "--eval-max-steps", 0)
        spec = judged_in(read_description(Path(arguments.run)), arguments.env)
        if arguments.protocol is not None and not spec.preprocessing:
            raise Refusal(f"--protocol is for Atari games, and the policy is evaluated in {spec.id}; leave it out")
        if video is not None:
            check_video(arguments.video, spec)
        prepare(1)
        import qtwin.nets.bodies  # noqa: F401
    protocol = arguments.protocol or ""
    return broken_off(lambda: run(path, episodes, arguments.env, seed, protocol, video, limit, arguments.video))


def read_run(run: str) -> dict:
    """Reads a run's ``config.json``; refuses a path without a run, or a damaged file."""
    from qtwin.request.run_config import read_config
    from qtwin.request.run_directory import near_run

    path = Path(run)
    if not (path / "config.json").is_file():
        raise Refusal(
            f"there is no run at {run}{near_run(path) or '; write the run directory that qtwin train printed'}"
        )
    return read_config(path)
