"""Collection with random actions on 8 Atari environments: every frame stored, or (``--bare``) nothing at all."""

from __future__ import annotations

import argparse

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "ale-py", "numpy")
ENVS, FIRST = 8, 832  # as long as the last of the timed chunks and the others, so that nothing is compiled in between


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 40_000, "atari/speed_atari.py")
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--bare", action="store_true", help="step ale-py's own AtariVectorEnv and keep nothing")
    return parser


def main() -> None:
    args = begun(parser(), {"ale_py": "ale-py"}, 160)
    before_jax()
    import numpy as np

    from qtwin.envs.catalog import resolve

    spec = resolve(f"ale:{args.game}")
    steps, first, replay, net = args.transitions // ENVS, FIRST, 50_000, "nature"
    if args.smoke:
        first, replay, net = args.transitions, 1_000, "nips"
    if args.bare:
        from qtwin.envs.ale_envs import vector_of
        from qtwin.envs.preprocessing import training

        games = vector_of(spec, ENVS, training(spec.preprocessing))
        games.reset(seed=0)
        random = np.random.default_rng(0)

        def play(count: int) -> None:
            for actions in random.integers(0, spec.num_actions, (count, ENVS)):
                games.step(actions)

        play(first // ENVS)
        seconds = timed(lambda: play(steps))
    else:
        import jax

        from qtwin.agents.catalog import algorithm as build
        from qtwin.config.config import Config
        from qtwin.engine.hosted import hosted
        from qtwin.envs.make import make

        config = Config(spec.id, net=net, collect=8, regress=1, warmup=8, replay=replay, batch=32, envs=ENVS)
        engine = hosted(build(spec, config), make(spec)(ENVS), overlap=False)
        state = jax.block_until_ready(engine.warm_up(engine.init(0), first // ENVS))
        seconds = timed(lambda: jax.block_until_ready(engine.warm_up(state, steps)))
        engine.close()
    name = "bare AtariVectorEnv" if args.bare else "qtwin, collecting"
    report(name, steps * ENVS, seconds, PACKAGES, game=args.game)


if __name__ == "__main__":
    main()
