"""Stable-Baselines3's DQN with rl-baselines3-zoo's own recipe for one seed: what the published run is one draw of.

Run by an interpreter with Stable-Baselines3 (see speed.py): python sb3_zoo.py --env CartPole-v1 --seed 3
"""

from __future__ import annotations

import argparse
import json

import numpy as np

# rl-baselines3-zoo, hyperparams/dqn.yml
RECIPES = {
    "CartPole-v1": {
        "steps": 50_000, "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1_000,
        "gamma": 0.99, "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128,
        "exploration_fraction": 0.16, "exploration_final_eps": 0.04,
    },
    "MountainCar-v0": {
        "steps": 120_000, "learning_rate": 4e-3, "batch_size": 128, "buffer_size": 10_000, "learning_starts": 1_000,
        "gamma": 0.98, "target_update_interval": 600, "train_freq": 16, "gradient_steps": 8,
        "exploration_fraction": 0.2, "exploration_final_eps": 0.07,
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", choices=sorted(RECIPES), required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args()

    import gymnasium
    import torch
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    recipe = dict(RECIPES[args.env])
    steps = recipe.pop("steps")
    env = gymnasium.make(args.env)
    model = DQN("MlpPolicy", env, policy_kwargs={"net_arch": [256, 256]}, seed=args.seed, device="cpu", **recipe)
    model.learn(steps, log_interval=1_000_000)
    returns = []
    for episode in range(args.episodes):
        obs, _ = env.reset(seed=1_000_000 + 1000 * args.seed + episode)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(int(action))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    print(
        json.dumps({"env": args.env, "seed": args.seed, "transitions": steps, "eval_return": float(np.mean(returns))})
    )


if __name__ == "__main__":
    main()
