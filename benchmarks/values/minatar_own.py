"""MinAtar's own DQN, its examples/dqn.py as it is: the return while training, to be held against that of qtwin's.

    git clone https://github.com/kenjyoung/MinAtar
    PATH-TO-PYTHON benchmarks/values/minatar_own.py MinAtar [--game breakout] [--frames N] [--seed K]

It wants a Python with torch and numpy, and nothing of qtwin's. Written is the mean return of the episodes that ended
in each 50,000 frames, as the log of a run of 1,000,000 frames has it here.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from own import tell
from training import HERE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--game", default="breakout")
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "minatar_own.json")
    args = parser.parse_args()
    sys.path[:0] = [str(args.checkout), str(args.checkout / "examples")]
    import dqn
    import minatar

    torch.set_num_threads(1)
    random.seed(args.seed)
    np.random.seed(args.seed)  # theirs draws from it
    torch.manual_seed(args.seed)
    logging.basicConfig(level=logging.INFO)
    env = minatar.Environment(args.game)
    env.seed(args.seed)
    dqn.NUM_FRAMES = args.frames
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        dqn.dqn(env, False, False, f"{place}/run")
        kept = torch.load(f"{place}/run_data_and_weights", weights_only=False)
    seconds = time.perf_counter() - start
    tell(args.results, f"{args.game}, seed {args.seed}", kept["returns"], kept["frame_stamps"], args.frames, seconds)


if __name__ == "__main__":
    main()
