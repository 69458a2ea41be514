"""A small comparison directory written by hand, so that what reads one can be tried without training."""

import dataclasses
import json

from qtwin.config.config import Config

SEEDS = 3


def write(folder, label="hard:10", seeds=SEEDS):
    """Two cells of ``seeds`` seeds, both done; returns the directory."""
    cells = []
    for i, (name, target) in enumerate([(label, "hard:10"), ("soft:0.1", "soft:0.1")]):
        run = folder / "cells" / f"cell-{i}"
        run.mkdir(parents=True)
        cells.append(
            {
                "label": name, "folder": run.name, "varied": {"target": name}, "steps": 400,
                "command": f"qtwin train CartPole-v1 --target {target}",
            }
        )  # fmt: skip
        as_json(run / "config.json", {
            "config": dataclasses.asdict(Config(env="CartPole-v1", target=target)), "env": "gymnax:CartPole-v1",
            "run": {"engine": "auto", "overlap": False, "checkpoints": "5", "frames": "memory"},
            "seeds": list(range(seeds)), "versions": {"python": "3.11"},
        })  # fmt: skip
        each = [float(10 + i + s) for s in range(seeds)]
        points = [
            {
                "cycles": 10 * k, "transitions": 100 * k, "gradient_steps": 10 * k, "target_updates": k,
                "seconds": 1.0 * k, "transitions_per_second": 50.0, "eval_return": [k * v for v in each],
                "train_return": [None] * seeds,
                "loss": each, "q": each, "skipped_updates": [0] * seeds, "target_age": 3.0, "probed_at": 10 * k - 3,
                "probe_distance": each, "value_gap": each, "greedy_gap": [0.1] * seeds, "churn": [0.3] * seeds,
                "effective_rank": [4.0] * seeds, "rank_limit": 64, "predicted_return": each, "true_return": each,
                "over_estimation": [0.0] * seeds, "alarms": {"churn": "the greedy action of 30% of the states changes"},
            }
            for k in range(1, 5)
        ]  # fmt: skip
        as_lines(run / "metrics.jsonl", points)
        looks = [
            {"cycles": 20 + k, "transitions": 200 + k, "gradient_steps": 20 + k, "age": float(k), "distance": each}
            for k in range(5)
        ]
        as_lines(run / "twin.jsonl", looks)
        as_json(run / "summary.json", {
            "env": "gymnax:CartPole-v1", "agent": "dqn", "target": target, "seeds": list(range(seeds)),
            "transitions": 400, "gradient_steps": 40, "target_updates": 4 + i, "eval_return": [4 * v for v in each],
            "eval_return_iqm": 44.0, "eval_return_interval": [None, None], "wall_seconds": 3.0,
        })  # fmt: skip
    as_json(folder / "grid.json", {
        "format": 1, "command": "qtwin compare CartPole-v1 --target hard:10 soft:0.1", "env": "CartPole-v1",
        "seeds": list(range(seeds)), "varied": ["target"], "cells": cells,
    })  # fmt: skip
    as_json(folder / "prices.json", {"{}": {"compile": 2.0, "per_step": 1e-3, "platform": "cpu"}})
    return folder


def as_json(file, value):
    file.write_text(json.dumps(value), encoding="utf-8")


def as_lines(file, values):
    file.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
