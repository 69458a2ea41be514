"""MinAtar's own DQN, its examples/dqn.py as it is: the return while training, to be held against that of qtwin's.

    git clone https://github.com/kenjyoung/MinAtar
    PATH-TO-PYTHON benchmarks/values/minatar_own.py MinAtar [--game breakout] [--frames N] [--seed K]

It wants a Python with torch and numpy, and nothing of qtwin's. Written is the mean return of the episodes that ended
in each 50,000 frames, as the log of a run of 1,000,000 frames has it here.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from own import begun, tell
from script import RESULTS, options


def main() -> None:
    parser = options(__doc__, RESULTS / "minatar_own.json")
    parser.add_argument("--game", default="breakout")
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=0)
    args = begun(parser, {"checkout": "https://github.com/kenjyoung/MinAtar"}, ("torch", "numpy"))
    sys.path[:0] = [str(args.checkout), str(args.checkout / "examples")]
    import dqn
    import minatar
    import numpy as np
    import torch

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
    tell(args.out, f"{args.game}, seed {args.seed}", kept["returns"], kept["frame_stamps"], args.frames, seconds)


if __name__ == "__main__":
    main()
