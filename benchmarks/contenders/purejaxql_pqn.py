"""purejaxql's PQN on gymnax's Breakout-MinAtar, its published recipe: purejaxql/config/alg/pqn_minatar.yaml.

Its evaluation, and its reports to wandb, are taken out.
"""

from __future__ import annotations

import argparse

from common import SINGLE_THREADED, arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
RECIPE = {
    "NUM_ENVS": 128,
    "NUM_STEPS": 32,
    "EPS_START": 1.0,
    "EPS_FINISH": 0.05,
    "EPS_DECAY": 0.1,
    "NUM_MINIBATCHES": 32,
    "NUM_EPOCHS": 2,
    "NORM_TYPE": "layer_norm",
    "LR": 0.0005,
    "MAX_GRAD_NORM": 10,
    "LR_LINEAR_DECAY": True,
    "GAMMA": 0.99,
    "LAMBDA": 0.65,
    "TOTAL_TIMESTEPS_DECAY": 10_000_000,
    "ENV_NAME": "Breakout-MinAtar",
    "TEST_DURING_TRAINING": False,
    "WANDB_MODE": "disabled",
}
CHUNK = RECIPE["NUM_ENVS"] * RECIPE["NUM_STEPS"]


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 80 * CHUNK, "values/speed_pqn.py")
    parser.add_argument("--flags", choices=["default", "single"], default="single", help="XLA's flags, or qtwin's")
    return parser


def main() -> None:
    args = begun(parser(), {"purejaxql": "purejaxql"}, CHUNK)
    before_jax(SINGLE_THREADED if args.flags == "single" else None)
    import jax
    from purejaxql.pqn_minatar import make_train

    updates = max(1, args.transitions // CHUNK)
    train = jax.jit(jax.vmap(make_train({**RECIPE, "TOTAL_TIMESTEPS": updates * CHUNK})))
    seeds = jax.random.split(jax.random.PRNGKey(0), 1)
    train = train.lower(seeds).compile()
    out = []
    seconds = timed(lambda: out.append(jax.block_until_ready(train(seeds))))
    state = out[0]["runner_state"][0]
    report(
        "purejaxql pqn",
        int(state.timesteps[0]),
        seconds,
        PACKAGES,
        env=RECIPE["ENV_NAME"],
        flags=args.flags,
        gradient_steps=int(state.grad_steps[0]),
    )


if __name__ == "__main__":
    main()
