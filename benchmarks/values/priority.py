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
import jax
import jax.numpy as jnp
from tables import table
from training import HERE, keep

from qtwin import rng
from qtwin.engine.devices import prepare
from qtwin.rates import Cycle
from qtwin.replay.base import Replay
from qtwin.replay.priority import prioritised
from qtwin.replay.ring import ring
from qtwin.types import Aux, Timestep

CAPACITIES, BATCH, ENVS, STEPS, ROUNDS = (10_000, 100_000, 1_000_000), 32, 10, 2_000, 5
SHAPES = (((4,), "float32"), ((), "int32"), ((), "float32"), ((), "float32"), ((4,), "float32"), ((), "bool"))


def main() -> None:
    prepare(1)
    rows = []
    for capacity in CAPACITIES:
        plain = ring(capacity, BATCH)
        for name, replay in (("uniform", plain), ("prioritised", prioritised(plain, 0.6, (0.4, 1.0), STEPS))):
            added, drawn = measured(replay)
            rows.append((f"{name}, {capacity:,}", f"{added:.1f}", f"{drawn:.1f}"))
            keep(HERE / "results" / "priority.json", rows[-1][0], {"add_us": added, "draw_and_update_us": drawn})
    print(table(("replay", f"add {ENVS}", f"draw {BATCH} and put back"), rows))


def measured(replay: Replay) -> tuple[float, float]:
    """Microseconds of adding, and of drawing and putting priorities back."""
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
    return timed(lambda s, n: (adds(s, n), 0.0), state), timed(draws, state)


def timed(program, state) -> float:
    spent = []
    state = jax.tree.map(jnp.copy, state)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, STEPS))
        spent.append((time.perf_counter() - began) / STEPS * 1e6)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
