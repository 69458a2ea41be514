"""qtwin's PQN on MinAtar's Breakout: the preset pqn-minatar."""

from __future__ import annotations

from common import arguments, before_jax, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")


def main() -> None:
    args = arguments(__doc__, 80 * 4_096).parse_args()
    before_jax()
    import jax

    from qtwin.agents import algorithm
    from qtwin.engine.fused import fused
    from qtwin.envs.catalog import resolve
    from qtwin.envs.gymnax_envs import gymnax_env
    from qtwin.request import build

    config = build("minatar:Breakout", preset="pqn-minatar").config
    spec = resolve(config.env)
    engine = fused(algorithm(spec, config), gymnax_env(spec, spec.id.split(":")[1]), config.envs, jax.devices())
    state = engine.warm_up(engine.init([0]), engine.turn.warmup_vector_steps)
    cycles = args.transitions // engine.turn.transitions
    state = jax.block_until_ready(engine.advance(state, cycles))
    seconds = timed(lambda: jax.block_until_ready(engine.advance(state, cycles)))
    report(
        "qtwin pqn",
        cycles * engine.turn.transitions,
        seconds,
        PACKAGES,
        env=config.env,
        gradient_steps=cycles * engine.turn.gradient_steps,
    )


if __name__ == "__main__":
    main()
