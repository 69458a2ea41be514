"""Stable-Baselines3's SAC or TD3: batch 256, networks 256-256, a gradient step for each transition of one environment.

Its log, which goes nowhere here, is left out, and so is Gymnasium's own checker, as in qtwin's environments.
"""

from __future__ import annotations

import argparse

from common import arguments, begun, report, timed

PACKAGES = ("stable_baselines3", "torch", "gymnasium", "numpy")
WARM_UP = 1_000  # transitions before the first gradient step, outside the timing
FIRST = 1_000  # transitions learned from before the clock starts: torch sets itself up


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 5_000, "continuous/speed_continuous.py")
    parser.add_argument("--agent", choices=["sac", "td3"], default="sac")
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves torch's own choice")
    return parser


def main() -> None:
    args = begun(parser(), {"stable_baselines3": "stable-baselines3"}, 20)

    import numpy as np
    import torch
    from stable_baselines3 import SAC, TD3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise

    if args.threads:
        torch.set_num_threads(args.threads)
    place, warm_up, first = ("Pendulum-v1", 100, 10) if args.smoke else (args.env, WARM_UP, FIRST)
    env = make_vec_env(place, n_envs=1, seed=0, env_kwargs={"disable_env_checker": True})
    size = env.action_space.shape
    noise = {} if args.agent == "sac" else {"action_noise": NormalActionNoise(np.zeros(size), np.full(size, 0.1))}
    model = {"sac": SAC, "td3": TD3}[args.agent](
        "MlpPolicy",
        env,
        learning_rate=3e-4,
        buffer_size=1_000 if args.smoke else 1_000_000,
        learning_starts=warm_up,
        batch_size=256,
        tau=0.005,
        gamma=0.99,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [256, 256]},
        device="cpu",
        seed=0,
        **noise,
    )
    model.learn(warm_up + first, log_interval=1_000_000)
    steps_before, updates_before = model.num_timesteps, model._n_updates
    seconds = timed(lambda: model.learn(args.transitions, reset_num_timesteps=False, log_interval=1_000_000))
    report(
        "stable-baselines3",
        model.num_timesteps - steps_before,
        seconds,
        PACKAGES,
        agent=args.agent,
        env=place,
        threads=torch.get_num_threads(),
        gradient_steps=model._n_updates - updates_before,
    )


if __name__ == "__main__":
    main()
