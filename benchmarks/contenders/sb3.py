"""Stable-Baselines3's DQN with the recipe, on Gymnasium's CartPole-v1.

What differs from the recipe: the Huber loss instead of the squared error (fixed in its DQN) and gradients clipped to a
norm of 10 (always done there). Its log, which goes nowhere here, is left out, and so is Gymnasium's own checker, as in
qtwin's environments.
"""

from __future__ import annotations

import argparse

from common import RECIPE, arguments, begun, report, timed

PACKAGES = ("stable_baselines3", "torch", "gymnasium", "numpy")
WARM_UP = 1_000  # transitions before the first gradient step, outside the timing
FIRST = 500  # transitions learned from before the clock starts: torch sets itself up


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 20_000, "speed.py")
    parser.add_argument("--envs", type=int, choices=[1, 10], default=10)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves torch's own choice")
    return parser


def main() -> None:
    args = begun(parser(), {"stable_baselines3": "stable-baselines3"}, 100)

    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_vec_env

    if args.threads:
        torch.set_num_threads(args.threads)
    model = DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=args.envs, seed=0, env_kwargs={"disable_env_checker": True}),
        learning_rate=RECIPE["learning_rate"],
        buffer_size=RECIPE["replay"],
        learning_starts=WARM_UP,
        batch_size=RECIPE["batch"],
        gamma=RECIPE["discount"],
        train_freq=10 // args.envs,  # counts vector steps: 10 transitions either way
        gradient_steps=1,
        target_update_interval=500,  # counts transitions, for any number of environments
        exploration_fraction=0.5,
        exploration_final_eps=0.05,
        policy_kwargs={"net_arch": list(RECIPE["widths"])},
        device="cpu",
        seed=0,
    )
    model.learn(WARM_UP + FIRST, log_interval=1_000_000)
    steps_before, updates_before = model.num_timesteps, model._n_updates
    seconds = timed(lambda: model.learn(args.transitions, reset_num_timesteps=False, log_interval=1_000_000))
    report(
        "stable-baselines3",
        model.num_timesteps - steps_before,
        seconds,
        PACKAGES,
        env="CartPole-v1",
        envs=args.envs,
        threads=torch.get_num_threads(),
        gradient_steps=model._n_updates - updates_before,
    )


if __name__ == "__main__":
    main()
