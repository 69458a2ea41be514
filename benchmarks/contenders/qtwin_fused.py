"""qtwin's fused engine: the recipe on CartPole-v1 with 1 or 2 seeds, or MinAtar Breakout with its own recipe."""

from __future__ import annotations

import argparse

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 200_000, "speed.py")
    parser.add_argument("--seeds", type=int, default=1, help="seeds side by side, each on a CPU device of its own")
    parser.add_argument("--env", choices=["CartPole-v1", "minatar:Breakout"], default="CartPole-v1")
    return parser


def main() -> None:
    args = begun(parser(), {"jax": "jax"}, 500)
    before_jax()
    import jax

    if not args.smoke:  # which may run where JAX has been started
        jax.config.update("jax_num_cpu_devices", args.seeds)

    from qtwin.agents.dqn import dqn
    from qtwin.config.config import Config
    from qtwin.engine.fused import fused
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import jax_env

    spec = resolve(args.env)
    if args.env == "CartPole-v1":
        config = Config(args.env)
        config = Config(args.env, steps=config.warmup + args.transitions, net="mlp:8" if args.smoke else config.net)
    else:
        # Young & Tian (2019): a gradient step per frame, centred RMSProp with torch's place for epsilon.
        config = Config(
            args.env,
            net="minatar",
            loss="huber",
            optimiser="rmsprop:0.01:outside",
            collect=1,
            target="hard:1000",
            warmup=5_000,
            replay=100_000,
            batch=32,
            explore="1:0.1:100_000",
            envs=1,
            steps=5_000 + args.transitions,
        )
    engine = fused(dqn(spec, config), jax_env(spec), config.envs, jax.devices()[: args.seeds])
    state = engine.init(list(range(args.seeds)))
    state = engine.warm_up(state, engine.turn.warmup_vector_steps)
    state = jax.block_until_ready(engine.advance(state, 10))
    cycles = args.transitions // engine.turn.transitions
    seconds = timed(lambda: jax.block_until_ready(engine.advance(state, cycles)))
    report(
        "qtwin fused",
        args.seeds * cycles * engine.turn.transitions,
        seconds,
        PACKAGES,
        env=args.env,
        seeds=args.seeds,
        envs=config.envs,
        gradient_steps=args.seeds * cycles * engine.turn.gradient_steps,
    )


if __name__ == "__main__":
    main()
