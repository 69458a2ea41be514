"""Row 2 of docs/reliability.md for every agent: two fresh processes with one seed, every bit of their last checkpoint.

    python benchmarks/reliability/same_seed.py [--only AGENT ...]

Results are merged into those that are there.
Each agent with its own settings but for a short run; on the hosted engine too, where it acts in Gymnasium's CartPole
or Pendulum; and each method of ``qtwin siamese``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from qtwin.agents import ACTOR_CRITICS, AGENTS
from qtwin.siamese.config import METHODS

RESULT = Path(__file__).resolve().parent.parent / "results" / "reliability_same_seed.json"
SHORT = ["--log-points", "2", "--checkpoints", "2", "--quiet"]
TRAIN = [*SHORT, "--eval-episodes", "1"]
STEPS = {"pqn": "20000", "redq": "1200", "droq": "1200"}  # long cycles; twenty gradient steps for each transition


def requests(pictures: Path) -> dict[str, list[str]]:
    """By name, the words of ``qtwin``."""
    found = {}
    for agent in AGENTS:
        env = "Pendulum-v1" if agent in ACTOR_CRITICS else "CartPole-v1"
        warmup = [] if agent in ("pqn", "stream_q", "online_q") else ["--warmup", "1000"]
        words = ["--agent", agent, "--steps", STEPS.get(agent, "2500"), *warmup, *TRAIN]
        found[agent] = ["train", env, *words]
        if agent != "pqn":  # which the hosted engine refuses
            found[f"{agent}, hosted"] = ["train", f"gym:{env}", *words]
    for method in METHODS:
        small = ["--encoder", "conv:8,16", "--projector", "16,16", "--batch", "16", "--epochs", "10"]
        found[f"siamese {method}"] = ["siamese", method, "--data", str(pictures), *small, *SHORT]
    return found


def state_of(words: list[str], out: Path) -> tuple:
    from qtwin.run import checkpoint

    done = subprocess.run(
        [sys.executable, "-m", "qtwin", *words, "--out", str(out)], capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(f"qtwin {' '.join(words)} ended with exit code {done.returncode}: {done.stderr[-500:]}")
    path, manifest = checkpoint.newest(out / "checkpoints")
    return path.name, manifest["sha256"], manifest["columns"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+")
    asked, same = parser.parse_args(), {}
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        np.savez(pictures, images=np.random.default_rng(0).random((80, 16, 16, 1), np.float32))
        for i, (name, words) in enumerate(requests(pictures).items()):
            if asked.only and name not in asked.only:
                continue
            one, two = (state_of(words, Path(folder) / f"{i}-{k}") for k in range(2))
            same[name] = one == two
            print(f"{name}: {'the same' if same[name] else 'DIFFERENT'}", flush=True)
            found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
            RESULT.write_text(json.dumps(found | same, indent=1) + "\n", encoding="utf-8")
    print(f"{sum(same.values())} of {len(same)} the same")


if __name__ == "__main__":
    main()
