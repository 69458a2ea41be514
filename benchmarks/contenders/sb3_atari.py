"""Stable-Baselines3's DQN on Atari: 8 environments, batch 32, a gradient step for every 4 agent steps."""

from __future__ import annotations

import argparse

from common import arguments, begun, report, timed

PACKAGES = ("torch", "stable-baselines3", "gymnasium", "ale-py", "numpy")
ENVS, WARM_UP, FIRST = 8, 1_000, 320


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 1_600, "atari/speed_atari.py")
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--threads", type=int, default=0, help="torch's; its own choice if 0")
    return parser


def main() -> None:
    args = begun(parser(), {"stable_baselines3": "stable-baselines3", "ale_py": "ale-py"}, 40)
    import ale_py
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    gymnasium.register_envs(ale_py)
    if args.threads:
        torch.set_num_threads(args.threads)
    env = VecFrameStack(make_atari_env(f"{args.game}NoFrameskip-v4", n_envs=ENVS, seed=0), 4)
    warm_up, first = (80, 16) if args.smoke else (WARM_UP, FIRST)
    model = DQN(
        "CnnPolicy",
        env,
        learning_rate=1e-4,
        buffer_size=500 if args.smoke else 20_000,
        learning_starts=warm_up,
        batch_size=32,
        train_freq=1,  # vector steps, of 8 agent steps each
        gradient_steps=2,
        target_update_interval=1_000,
        exploration_fraction=0.1,
        exploration_final_eps=0.01,
        device="cpu",
        seed=0,
    )
    model.learn(warm_up + first, log_interval=1_000_000)
    steps_before, updates_before = model.num_timesteps, model._n_updates
    seconds = timed(lambda: model.learn(args.transitions, reset_num_timesteps=False, log_interval=1_000_000))
    report(
        "stable-baselines3",
        model.num_timesteps - steps_before,
        seconds,
        PACKAGES,
        game=args.game,
        threads=torch.get_num_threads(),
        gradient_steps=model._n_updates - updates_before,
    )


if __name__ == "__main__":
    main()
