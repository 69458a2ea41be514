"""What saving costs: the share of a run that its checkpoints take at the default interval.

    python benchmarks/reliability/cost.py [--only cartpole minatar atari] [--seconds 10]

For each preset at its own size: the seconds of one checkpoint, with a replay full of random bytes (nothing in it is
alike, so every block has to be written) of which as many rows have changed as are collected between two checkpoints, or
all; and the speed of the run, over some seconds. The share is checkpoints times seconds over the seconds of the whole
run at that speed. The first checkpoint, where no block is there yet, is told beside.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, keep_row, options, parse, show

RUNS = {
    "cartpole": ("CartPole-v1", "cleanrl"),
    "minatar": ("minatar:Breakout", "minatar"),
    "atari": ("ale:Breakout", "atari-quick"),
}
SMOKE = {"net": "mlp:8", "steps": "2000", "warmup": "80", "replay": "500"}  # over the preset's


def noise(rng: np.random.Generator, column: np.ndarray, rows: int) -> np.ndarray:
    """The column with other bytes in its first rows; only what is large is a column."""
    if column.nbytes < 2**20 or not column.ndim:
        return column
    column = np.array(column)
    part = column[:rows]
    if column.dtype == bool:
        column[:rows] = rng.integers(0, 2, part.shape).astype(bool)
    elif column.dtype.kind in "iu":
        column[:rows] = rng.integers(0, 127, part.shape).astype(column.dtype)
    else:
        column[:rows] = rng.random(part.shape, np.float32)
    return column


def measured(env: str, preset: str, seconds: float, settings: dict[str, str] | None = None) -> dict:
    """One row: the run's speed over some seconds, and its checkpoints'; ``settings`` go over the preset's."""
    import jax

    from qtwin.agents.catalog import algorithm
    from qtwin.engine.fleet import fleet_of
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make
    from qtwin.rates import plan
    from qtwin.request.retention import CHECKPOINTS, KEEP, parse_keep
    from qtwin.request.train import build
    from qtwin.run import checkpoint

    request = build(env, preset=preset, settings=settings)
    c, spec = request.config, resolve(env, request.config.preprocessing)
    built = algorithm(spec, c)
    fleet = fleet_of(built, make(spec), c.envs, (0,), 1)
    spending, count = plan(built.rates, c.envs, c.steps), int(CHECKPOINTS)
    fleet.warm_up(min(fleet.turn.warmup_vector_steps, 2000))
    fleet.advance(1)
    fleet.wait()
    began, cycles, piece = time.perf_counter(), 0, 1
    while time.perf_counter() - began < seconds:
        fleet.advance(piece)
        fleet.wait()
        cycles, piece = cycles + piece, min(2 * piece, 1000)
    per_cycle = (time.perf_counter() - began) / cycles
    before = time.perf_counter()
    state = fleet.snapshot(0)
    copied = time.perf_counter() - before
    fleet.close()
    rng, took, known, saves = np.random.default_rng(0), [], set(), []
    between = max(1, c.steps // count)
    where = None if settings else "."  # on the disk that a run would write to; what is tried out, anywhere
    with tempfile.TemporaryDirectory(dir=where) as folder:
        for number in range(4):
            rows = c.replay if number == 0 else between
            filled = jax.tree.map(lambda column: noise(rng, np.asarray(column), rows), state.replay)
            before = time.perf_counter()
            path = checkpoint.write(
                Path(folder), number, number, (0,), [state._replace(replay=filled)], parse_keep(KEEP), known=known
            )
            took.append(time.perf_counter() - before)
            saves.append(sum(file.stat().st_size for file in path.iterdir()))
        on_disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    whole, one = spending.cycles * per_cycle, copied + float(np.median(took[1:]))
    return {
        "env": env,
        "preset": preset,
        "replay": c.replay,
        "checkpoints": count,
        "replay_mib": round(sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state.replay)) / 2**20, 1),
        "on_disk_mib": round(on_disk / 2**20, 1),
        "first_checkpoint_seconds": round(copied + took[0], 3),
        "checkpoint_seconds": round(one, 3),
        "microseconds_per_cycle": round(per_cycle * 1e6, 1),
        "run_seconds_at_that_speed": round(whole, 1),
        "share": round(count * one / whole, 5),
    }


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_cost.json")
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parse(parser)
    if not args.show:
        from qtwin.run.devices import prepare

        prepare(1)
        if args.smoke:
            keep_row(args.out, "cartpole", measured(*RUNS["cartpole"], 0.1, SMOKE))
        for name in () if args.smoke else args.only:
            keep_row(args.out, name, measured(*RUNS[name], args.seconds))
    show(args.out)


if __name__ == "__main__":
    main()
