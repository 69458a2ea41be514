"""Stable-Baselines3's DQN with rl-baselines3-zoo's own recipes, ten seeds: what the published runs are draws of.

    .venv-bench/sb3/bin/python benchmarks/contenders/sb3_zoo.py [--only ENV ...] [--seeds K]

Run by an interpreter with Stable-Baselines3 (see contest.py). `benchmarks/learning.py` shows its result beside qtwin's.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from script import RESULTS, absent, keep_row, options, parse, read_rows, show, skipped

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
    parser = options(__doc__, RESULTS / "sb3_zoo.json")
    parser.add_argument("--only", nargs="*", metavar="ENV", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    args = parse(parser)
    if args.show:
        show(args.out)
        return
    if args.smoke and absent("stable_baselines3"):
        skipped("stable-baselines3 is not installed")
        return
    for env in args.only:
        seeds, episodes = (1, 1) if args.smoke else (args.seeds, args.episodes)
        kept = read_rows(args.out).get(env, {}).get("eval_return", [])
        returns = kept if len(kept) < seeds else []  # one that was stopped goes on
        for seed in range(len(returns), seeds):
            returns.append(trained(env, seed, episodes, 2_000 if args.smoke else None))
            print(f"{env}, seed {seed}: {returns[-1]:.1f}", flush=True)
            command = f"python benchmarks/contenders/sb3_zoo.py --only {env} --seeds {len(returns)}"
            steps = RECIPES[env]["steps"]
            keep_row(args.out, env, {"command": command, "transitions": steps, "eval_return": returns})


def trained(env: str, seed: int, episodes: int, steps: int | None = None) -> float:
    """The mean return of greedy episodes after a run of the recipe, or of fewer steps."""
    import gymnasium
    import torch
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    recipe = dict(RECIPES[env])
    budget = recipe.pop("steps")
    world = gymnasium.make(env)
    model = DQN("MlpPolicy", world, policy_kwargs={"net_arch": [256, 256]}, seed=seed, device="cpu", **recipe)
    model.learn(steps or budget, log_interval=1_000_000)
    total = 0.0
    for episode in range(episodes):
        obs, _ = world.reset(seed=1_000_000 + 1000 * seed + episode)
        over = False
        while not over:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = world.step(int(action))
            total, over = total + float(reward), terminated or truncated
    return total / episodes


if __name__ == "__main__":
    main()
