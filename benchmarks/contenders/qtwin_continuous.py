"""qtwin's SAC or TD3 with the numbers of ``sb3_continuous.py``: HalfCheetah-v5 hosted, Pendulum-v1 fused or hosted."""

from __future__ import annotations

import argparse

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "gymnasium", "numpy")
WARM_UP = 1_000  # transitions before the first gradient step, outside the timing
FIRST = 1_000  # transitions learned from before the clock starts


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 10_000, "continuous/speed_continuous.py")
    parser.add_argument("--agent", choices=["sac", "td3"], default="sac")
    parser.add_argument("--env", default="gym:HalfCheetah-v5")
    parser.add_argument("--overlap", action="store_true", help="hosted: collect while the regression runs")
    return parser


def main() -> None:
    args = begun(parser(), {"jax": "jax"}, 20)
    before_jax()
    import jax

    from qtwin.agents.catalog import algorithm as build
    from qtwin.agents.catalog import config_of
    from qtwin.engine.fused import fused
    from qtwin.engine.hosted import hosted
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make
    from qtwin.rates import cycle_of

    warm_up, first, width = (100, 10, "mlp:8") if args.smoke else (WARM_UP, FIRST, "mlp:256,256")
    config = config_of(
        args.agent,
        "Pendulum-v1" if args.smoke else args.env,
        net=width,
        init="torch",
        loss="half-mse" if args.agent == "sac" else "mse",
        learning_rate=3e-4,
        actor_every=1 if args.agent == "sac" else 2,
        **({"smoothing": "0.2:0.5"} if args.agent == "td3" else {}),
        collect=1,
        regress=1,
        target="soft:0.005" if args.agent == "sac" else "soft:0.005/2",
        warmup=warm_up,
        replay=1_000 if args.smoke else 1_000_000,
        batch=256,
        explore="1" if args.agent == "sac" else "0.1",
        envs=1,
        steps=warm_up + first + args.transitions,
    )
    spec = resolve(config.env)
    algorithm, env = build(spec, config), make(spec)
    if spec.engine == "fused":
        engine = fused(algorithm, env, config.envs, jax.devices()[:1])
        state = engine.init([0])
    else:
        engine = hosted(algorithm, env(config.envs), args.overlap)
        state = engine.init(0)
    turn = cycle_of(algorithm.rates, config.envs)
    state = engine.warm_up(state, turn.warmup_vector_steps)
    state = jax.block_until_ready(engine.advance(state, first // turn.transitions))
    cycles = args.transitions // turn.transitions
    out = []
    seconds = timed(lambda: out.append(jax.block_until_ready(engine.advance(state, cycles))))
    if spec.engine == "hosted":
        engine.close()
    report(
        f"qtwin {spec.engine}",
        cycles * turn.transitions,
        seconds,
        PACKAGES,
        agent=args.agent,
        env=spec.id,
        overlap=args.overlap,
        gradient_steps=cycles * turn.gradient_steps,
    )


if __name__ == "__main__":
    main()
