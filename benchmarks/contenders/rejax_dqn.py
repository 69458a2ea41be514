"""rejax's DQN with the recipe, on gymnax's CartPole-v1.

What differs from the recipe: half the squared error, gradients clipped to infinity (it cannot be left out), and batches
drawn without replacement. Its evaluation is taken out.
"""

from __future__ import annotations

import argparse

from common import RECIPE, SINGLE_THREADED, arguments, before_jax, begun, report, timed

PACKAGES = ("rejax", "jax", "jaxlib", "flax", "optax", "distrax", "gymnax", "numpy")
ENVS = 10
WARM_UP = 1_000  # transitions before the first gradient step, outside the timing


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 100_000, "speed.py")
    parser.add_argument("--flags", choices=["default", "single"], default="single", help="XLA's flags, or qtwin's")
    return parser


def main() -> None:
    args = begun(parser(), {"rejax": "rejax"}, 500)
    before_jax(SINGLE_THREADED if args.flags == "single" else None)
    import jax
    from flax import linen
    from rejax import get_algo
    from rejax.networks import DiscreteQNetwork, EpsilonGreedyPolicy

    algorithm = get_algo("dqn").create(
        env="CartPole-v1",
        num_envs=ENVS,
        num_epochs=1,  # one train_iteration collects ENVS transitions, then takes num_epochs gradient steps
        batch_size=RECIPE["batch"],
        buffer_size=RECIPE["replay"],
        fill_buffer=WARM_UP,
        learning_rate=RECIPE["learning_rate"],
        gamma=RECIPE["discount"],
        target_update_freq=500,  # counts transitions
        polyak=0.0,  # the weight of the old network: 0 copies
        exploration_fraction=0.5,
        eps_end=0.05,
        ddqn=False,
        skip_initial_evaluation=True,
        total_timesteps=args.transitions,
        eval_freq=args.transitions,
    )
    # `create` passes hidden_layer_sizes itself, so other widths have to come in afterwards.
    network = EpsilonGreedyPolicy(DiscreteQNetwork)(
        hidden_layer_sizes=RECIPE["widths"], action_dim=algorithm.action_dim, activation=linen.relu
    )
    algorithm = algorithm.replace(agent=network, eval_callback=lambda algorithm, state, key: ())

    first = algorithm.replace(total_timesteps=WARM_UP + 100, eval_freq=WARM_UP + 100)
    state, _ = jax.jit(first.train)(jax.random.key(0))
    train = jax.jit(lambda state: algorithm.train(train_state=state)).lower(state).compile()
    jax.block_until_ready(train(state))
    out = []
    seconds = timed(lambda: out.append(jax.block_until_ready(train(state))))
    steps = int(out[0][0].global_step) - int(state.global_step)
    report(
        "rejax",
        steps,
        seconds,
        PACKAGES,
        env="CartPole-v1",
        envs=ENVS,
        flags=args.flags,
        gradient_steps=int(out[0][0].q_ts.step) - int(state.q_ts.step),
    )


if __name__ == "__main__":
    main()
