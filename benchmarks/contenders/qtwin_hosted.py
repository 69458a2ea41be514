"""qtwin's hosted engine with the recipe on Gymnasium's CartPole-v1, 10 environments, with and without overlap."""

from __future__ import annotations

import argparse
import dataclasses

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnasium", "numpy")
WARM_UP = 1_000  # transitions before the first gradient step, outside the timing


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 60_000, "speed.py")
    parser.add_argument("--overlap", action="store_true", help="collect while the regression runs")
    return parser


def main() -> None:
    args = begun(parser(), {"jax": "jax"}, 500)
    before_jax()
    import jax

    from qtwin.agents.dqn import dqn
    from qtwin.config.config import Config
    from qtwin.engine.hosted import hosted
    from qtwin.envs.gym_envs import gym_env
    from qtwin.rates import cycle_of

    config = Config("gym:CartPole-v1", warmup=WARM_UP, steps=WARM_UP + args.transitions)
    config = dataclasses.replace(config, net="mlp:8") if args.smoke else config
    env = gym_env("CartPole-v1", config.envs)
    algorithm = dqn(env.spec, config)
    turn = cycle_of(algorithm.rates, config.envs)
    engine = hosted(algorithm, env, args.overlap)
    state = engine.warm_up(engine.init(0), turn.warmup_vector_steps)
    state = jax.block_until_ready(engine.advance(state, 10))
    cycles = args.transitions // turn.transitions
    out = []
    seconds = timed(lambda: out.append(jax.block_until_ready(engine.advance(state, cycles))))
    engine.close()
    report(
        "qtwin hosted",
        cycles * turn.transitions,
        seconds,
        PACKAGES,
        env="CartPole-v1",
        envs=config.envs,
        overlap=args.overlap,
        gradient_steps=cycles * turn.gradient_steps,
    )


if __name__ == "__main__":
    main()
