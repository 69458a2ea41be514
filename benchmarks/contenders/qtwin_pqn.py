"""qtwin's PQN on MinAtar's Breakout: the preset pqn-minatar."""

from __future__ import annotations

import argparse

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
SMALL = {
    "net": "mlp:8+layernorm",
    "envs": "8",
    "collect": "64",
    "regress": "4",
    "batch": "32",
    "steps": "512",
}  # CartPole


def parser() -> argparse.ArgumentParser:
    return arguments(__doc__, 80 * 4_096, "values/speed_pqn.py")


def main() -> None:
    args = begun(parser(), {"jax": "jax"}, 512)
    before_jax()
    import jax

    from qtwin.agents.catalog import algorithm
    from qtwin.engine.fused import fused
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import jax_env
    from qtwin.request.train import build

    if args.smoke:
        config = build("CartPole-v1", preset="pqn-cartpole", settings=SMALL).config
    else:
        config = build("minatar:Breakout", preset="pqn-minatar").config
    spec = resolve(config.env)
    engine = fused(algorithm(spec, config), jax_env(spec), config.envs, jax.devices()[:1])
    state = engine.warm_up(engine.init([0]), engine.turn.warmup_vector_steps)
    cycles = max(1, args.transitions // engine.turn.transitions)
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
