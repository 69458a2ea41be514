"""A million Atari frames in memory: the peak above the baseline, with the ring filled past its wrap.

    python benchmarks/atari/memory.py [--frames 1000000]

Rows are made up rather than played (playing them would take an hour) and written in chunks of 32 by the compiled
``add`` of the frame replay; between them batches are drawn. The baseline is taken after a ring of a thousandth of the
size has been compiled, filled and dropped, so that it holds JAX, the compiled programs and their buffers.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, keep_row, options, parse, show

os.environ["JAX_PLATFORMS"] = "cpu"
CHUNK, LEAST_GB = 32, 7.5


def peak_bytes() -> int:
    """The most resident memory that this process ever had. [bytes]"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fill(frames: int, rows_written: int) -> int:
    """Writes ``rows_written`` rows into a ring of ``frames`` and draws batches; returns the rows it holds."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from qtwin.envs.spec import EnvSpec
    from qtwin.rates import Cycle
    from qtwin.replay.frames import Framed, FrameRow, frame_ring
    from qtwin.rng import root
    from qtwin.types import Timestep

    env = EnvSpec("ale:Pong", (84, 84, 4), "uint8", 6, engine="hosted", stack=4)
    replay = frame_ring(env, frames, 32, n_step=3)
    example = Timestep(None, jax.ShapeDtypeStruct((), jnp.int32), None, None, None, None)
    add, sample = jax.jit(replay.add, donate_argnums=0), jax.jit(replay.sample)
    state = replay.init(example, Cycle(8, CHUNK, 1, 4, 100))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (CHUNK, 84, 84, 1), dtype=np.uint8)
    zeros, yes = np.zeros(CHUNK, np.float32), np.ones(CHUNK, bool)
    rows = FrameRow(images, np.zeros(CHUNK, np.int32), zeros, zeros + 1, ~yes, yes, np.full(CHUNK, 8, np.int32))
    for count in range(-(-rows_written // CHUNK)):
        state = add(state, Framed(rows, np.int32(CHUNK)))
        if count % 500 == 499:
            jax.block_until_ready(sample(state, root(count), 0))
    return int(state.size)


def main() -> None:
    parser = options(__doc__, RESULTS / "memory_atari.json")
    parser.add_argument("--frames", type=int, default=1_000_000)
    args = parse(parser)
    if not args.show:
        measure(1_000 if args.smoke else args.frames, args.out)
    show(args.out)


def measure(frames: int, out: Path) -> None:
    """Fills a small ring, then the whole one past its end, and keeps the difference of the peaks."""
    small = min(max(frames // 1000, 1_000), frames)
    fill(small, 2 * small)
    baseline, began = peak_bytes(), time.perf_counter()
    held = fill(frames, frames + frames // 20)
    result = {
        "command": f"python benchmarks/atari/memory.py --frames {frames}",
        "frames": held,
        "baseline_gb": baseline / 1e9,
        "peak_above_baseline_gb": (peak_bytes() - baseline) / 1e9,
        "wanted_at_most_gb": LEAST_GB,
        "seconds": time.perf_counter() - began,
    }
    keep_row(out, str(frames), result)


if __name__ == "__main__":
    main()
