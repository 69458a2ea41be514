"""What prioritised replay costs: adding, and drawing with the priorities put back, beside uniform replay.

    python benchmarks/values/priority.py

CartPole's transitions, a batch of 32, 10 transitions added at a time; each loop compiled into one program, as in the
engine, medians of five. Microseconds of each step.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, keep_row, options, parse, read_rows, where_from
from tables import table

CAPACITIES, BATCH, ENVS, STEPS, ROUNDS = (10_000, 100_000, 1_000_000), 32, 10, 2_000, 5
SMOKE = (1_000,), 20, 1  # capacities, steps and rounds
SHAPES = (((4,), "float32"), ((), "int32"), ((), "float32"), ((), "float32"), ((4,), "float32"), ((), "bool"))


def main() -> None:
    args = parse(options(__doc__, RESULTS / "priority.json"))
    if not args.show:
        measure(args.out, *(SMOKE if args.smoke else (CAPACITIES, STEPS, ROUNDS)))
    rows = [
        (name, f"{row['add_us']:.1f}", f"{row['draw_and_update_us']:.1f}") for name, row in read_rows(args.out).items()
    ]
    if rows:
        print(table(("replay, microseconds", f"add {ENVS}", f"draw {BATCH} and put back"), rows) + "\n")
    print(where_from(args.out))


def measure(out: Path, capacities: tuple[int, ...], steps: int, rounds: int) -> None:
    """Measures both replays at each capacity and keeps a row of each."""
    from qtwin.replay.priority import prioritised
    from qtwin.replay.ring import ring
    from qtwin.run.devices import prepare

    prepare(1)
    for capacity in capacities:
        plain = ring(capacity, BATCH)
        for name, replay in (("uniform", plain), ("prioritised", prioritised(plain, 0.6, (0.4, 1.0), steps))):
            added, drawn = measured(replay, steps, rounds)
            keep_row(out, f"{name}, {capacity:,}", {"add_us": added, "draw_and_update_us": drawn})


def measured(replay, steps: int, rounds: int) -> tuple[float, float]:
    """Microseconds of adding, and of drawing and putting priorities back."""
    import jax
    import jax.numpy as jnp

    from qtwin import rng
    from qtwin.rates import Cycle
    from qtwin.types import Aux, Timestep

    example = Timestep(*(jax.ShapeDtypeStruct(*each) for each in SHAPES))
    chunk = Timestep(*(jnp.ones((1, ENVS, *shape), kind) for shape, kind in SHAPES))
    state = replay.init(example, Cycle(ENVS, ENVS, 1, 1, 0))

    def add(i, state):
        return replay.add(state, chunk._replace(reward=chunk.reward * i))

    def draw(i, carry):
        state, total = carry
        batch = replay.sample(state, jax.random.fold_in(rng.root(0), i), 0)
        if replay.update is not None:
            state = replay.update(state, batch, Aux(batch.reward, batch.reward))
        return state, total + jnp.sum(batch.reward)

    adds = jax.jit(lambda s, n: jax.lax.fori_loop(0, n, add, s), donate_argnums=0)
    draws = jax.jit(lambda s, n: jax.lax.fori_loop(0, n, draw, (s, 0.0)), donate_argnums=0)  # the sum keeps the reads
    state, _ = draws(adds(state, 1), 1)
    return timed(lambda s, n: (adds(s, n), 0.0), state, steps, rounds), timed(draws, state, steps, rounds)


def timed(program, state, steps: int, rounds: int) -> float:
    """The median over rounds of microseconds a step."""
    import jax
    import jax.numpy as jnp

    spent = []
    state = jax.tree.map(jnp.copy, state)
    for _ in range(rounds):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, steps))
        spent.append((time.perf_counter() - began) / steps * 1e6)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
