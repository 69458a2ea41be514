"""Streaming Q(lambda) by its authors' own program, stream_q_minatar.py as it is: its return while training on MinAtar.

    git clone https://github.com/mohmdelsayed/streaming-drl
    git clone https://github.com/kenjyoung/MinAtar
    PATH-TO-PYTHON benchmarks/values/stream_own.py streaming-drl MinAtar [--game Breakout] [--frames N] [--seed K]

It wants a Python with torch, numpy and gymnasium, and nothing of qtwin's. The games have all six actions, and random
actions end after a fifth of the frames, as in the row stream_q of `benchmarks/values/minatar.py`. Written is the mean
return of the episodes that ended in each 50,000 frames.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from own import begun, tell
from script import RESULTS, options

CHECKOUTS = {
    "checkout": "https://github.com/mohmdelsayed/streaming-drl",
    "minatar": "https://github.com/kenjyoung/MinAtar",
}


def main() -> None:
    parser = options(__doc__, RESULTS / "stream_own.json")
    parser.add_argument("--game", default="Breakout")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = begun(parser, CHECKOUTS, ("torch", "numpy", "gymnasium"))
    sys.path[:0] = [str(args.checkout.resolve()), str(args.minatar.resolve())]
    import gymnasium
    import numpy as np
    import stream_q_minatar
    import torch
    from minatar import gym

    class Recorded(gymnasium.wrappers.RecordEpisodeStatistics):
        """An episode's return in an array, as the release of gymnasium that they had gives it."""

        def step(self, action):
            *others, info = super().step(action)
            if "episode" in info:
                info["episode"]["r"] = np.atleast_1d(info["episode"]["r"])
            return *others, info

    gymnasium.wrappers.RecordEpisodeStatistics = Recorded
    gym.register_envs()
    torch.set_num_threads(1)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        env = f"MinAtar/{args.game}-v0"
        stream_q_minatar.main(env, args.seed, 1.0, 0.99, 0.8, args.frames, 0.01, 1.0, 0.2, 2.0, False, False)
        [written] = Path(place).rglob("*.pkl")
        returns, ended, _ = pickle.loads(written.read_bytes())
    seconds = time.perf_counter() - start
    tell(args.out, f"{args.game}, seed {args.seed}", returns, ended, args.frames, seconds)


if __name__ == "__main__":
    main()
