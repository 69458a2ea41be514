"""qtwin's fused engine: the recipe on CartPole-v1 with 1 or 2 seeds, or MinAtar Breakout with its own recipe."""

from __future__ import annotations

from common import arguments, before_jax, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")


def main() -> None:
    parser = arguments(__doc__, 200_000)
    parser.add_argument("--seeds", type=int, default=1, help="seeds side by side, each on a CPU device of its own")
    parser.add_argument("--env", choices=["CartPole-v1", "minatar:Breakout"], default="CartPole-v1")
    args = parser.parse_args()
    before_jax()
    import jax

    jax.config.update("jax_num_cpu_devices", args.seeds)

    from qtwin.agents.dqn import dqn
    from qtwin.config import Config
    from qtwin.engine.fused import fused
    from qtwin.envs.gymnax_envs import gymnax_env
    from qtwin.envs.spec import EnvSpec

    if args.env == "CartPole-v1":
        spec = EnvSpec("gymnax:CartPole-v1", (4,), "float32", 2)
        config = Config(args.env)
        steps = config.warmup + args.transitions
        config = Config(args.env, steps=steps)
    else:
        # Young & Tian (2019): a gradient step per frame, centred RMSProp with torch's place for epsilon.
        spec = EnvSpec("gymnax:Breakout-MinAtar", (10, 10, 4), "bool", 3)
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
    engine = fused(dqn(spec, config), gymnax_env(spec, spec.id.split(":")[1]), config.envs, jax.devices()[: args.seeds])
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
