"""qtwin's DQN with the numbers of ``sb3_atari.py``."""

from __future__ import annotations

import argparse

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "ale-py", "numpy")
ENVS, WARM_UP, FIRST = 8, 1_000, 320


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 1_600, "atari/speed_atari.py")
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--overlap", action="store_true", help="collect while the regression runs")
    parser.add_argument("--platform", default="cpu", help="where the learner computes")
    return parser


def main() -> None:
    args = begun(parser(), {"ale_py": "ale-py"}, 16)
    before_jax(None)
    import os

    os.environ["JAX_PLATFORMS"] = args.platform if args.platform == "cpu" else f"{args.platform},cpu"
    import jax

    from qtwin.agents.catalog import algorithm as build
    from qtwin.config.config import Config
    from qtwin.engine.hosted import hosted
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make

    warm_up, first = (80, 16) if args.smoke else (WARM_UP, FIRST)
    config = Config(
        f"ale:{args.game}",
        net="nips" if args.smoke else "nature",
        init="torch",
        loss="huber",
        optimiser="adam",
        learning_rate=1e-4,
        max_gradient_norm=10.0,
        collect=4,
        regress=1,
        target="hard:250",
        warmup=warm_up,
        replay=500 if args.smoke else 20_000,
        batch=32,
        explore="1:0.01:10%",
        envs=ENVS,
        steps=warm_up + first + args.transitions,
    )
    spec = resolve(config.env)
    engine = hosted(build(spec, config), make(spec)(ENVS), args.overlap)
    state = engine.warm_up(engine.init(0), engine.turn.warmup_vector_steps)
    state = jax.block_until_ready(engine.advance(state, first // engine.turn.transitions))
    cycles = args.transitions // engine.turn.transitions
    seconds = timed(lambda: jax.block_until_ready(engine.advance(state, cycles)))
    engine.close()
    report(
        "qtwin hosted",
        cycles * engine.turn.transitions,
        seconds,
        PACKAGES,
        game=args.game,
        overlap=args.overlap,
        device=jax.devices()[0].device_kind,
        gradient_steps=cycles * engine.turn.gradient_steps,
    )


if __name__ == "__main__":
    main()
