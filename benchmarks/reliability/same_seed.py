"""Row 2 of docs/reliability.md for every agent: two fresh processes with one seed, every bit of their last checkpoint.

    python benchmarks/reliability/same_seed.py [--only AGENT ...]

Results are merged into those that are there.
Each agent with its own settings but for a short run; on the hosted engine too, where it acts in Gymnasium's CartPole
or Pendulum; and each method of ``qtwin siamese``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, ROOT, keep_row, options, parse, read_rows, where_from
from training import TINY, run_here, tiny_run

from qtwin.agents.catalog import AGENTS
from qtwin.siamese.catalog import METHODS

SHORT = ["--log-points", "2", "--checkpoints", "2", "--quiet"]
TRAIN = [*SHORT, "--eval-episodes", "1"]
STEPS = {"pqn": "20000", "redq": "1200", "droq": "1200"}  # long cycles; twenty gradient steps for each transition


def requests(pictures: Path) -> dict[str, list[str]]:
    """By name, the words of ``qtwin``."""
    found = {}
    for agent, record in AGENTS.items():
        env = "Pendulum-v1" if record.acts else "CartPole-v1"
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
    """Runs ``qtwin WORDS`` in a process of its own; what its last checkpoint holds."""
    command = [sys.executable, "-m", "qtwin", *words, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"qtwin {' '.join(words)} ended with exit code {done.returncode}: {done.stderr[-500:]}")
    return last_of(out)


def last_of(out: Path) -> tuple:
    """The last checkpoint's name, the hashes of its files and its columns."""
    from qtwin.run import checkpoint

    path, manifest = checkpoint.newest(out / "checkpoints")
    return path.name, manifest["sha256"], manifest["columns"]


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_same_seed.json")
    parser.add_argument("--only", nargs="+")
    args = parse(parser)
    if args.smoke:
        one, two = last_of(tiny_run()), last_of(run_here(["train", *TINY]))
        keep_row(args.out, "a tiny run, in one process", {"same": one == two})
    elif not args.show:
        measure(args.only, args.out)
    rows = read_rows(args.out)
    for name, row in rows.items():
        print(f"{name}: {'the same' if row['same'] else 'DIFFERENT'}")
    print(f"{sum(row['same'] for row in rows.values())} of {len(rows)} the same\n{where_from(args.out)}")


def measure(only: list[str] | None, path: Path) -> None:
    """Runs each request twice, or those named, and keeps a row of each."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        np.savez(pictures, images=np.random.default_rng(0).random((80, 16, 16, 1), np.float32))
        for i, (name, words) in enumerate(requests(pictures).items()):
            if only and name not in only:
                continue
            one, two = (state_of(words, Path(folder) / f"{i}-{k}") for k in range(2))
            keep_row(path, name, {"same": one == two})
            print(f"{name}: {'the same' if one == two else 'DIFFERENT'}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
