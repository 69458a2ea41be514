"""What a gradient step of each agent costs: its time beside its counted operations, both over DQN's.

    python benchmarks/values/cost.py [--rounds N]

MinAtar's Breakout, a batch of 32, one thread: the regression on one batch, the target computed and the optimiser's step
taken, in a compiled loop, without environment, replay or the target's own move. Operations are those of XLA's count for
the compiled step. Beside it the whole of it, the three processes in the engine's own program: transitions a second,
collected and learned from at the row's rates. Agents take turns; medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import jax
import jax.numpy as jnp
from minatar import AGENTS, options
from tables import table
from training import HERE, keep

from qtwin import rng
from qtwin.agent import Algorithm
from qtwin.agents import algorithm
from qtwin.config import Config
from qtwin.engine.devices import prepare
from qtwin.engine.fused import fused, state_around
from qtwin.envs.catalog import resolve
from qtwin.envs.make import jax_env
from qtwin.envs.spec import EnvSpec
from qtwin.processes.regress import gradient_step
from qtwin.rates import cycle_of
from qtwin.request import build
from qtwin.settings import SETTINGS, option

GAME, STEPS, TRANSITIONS, ROUNDS, DQN = "Breakout", 100, 1_000, 7, "dqn, one in four"
FIELDS = {option(field): field for field in SETTINGS}


class Timed(NamedTuple):
    """A row under measurement.

    Attributes:
      batch: transitions in a gradient step.
      operations: of one gradient step, as XLA counts them.
      parameters: of the online network, each read and written by the optimiser.
      run: ``() -> None``: so many gradient steps.
      turn: ``() -> int``: turns the three processes; how many transitions were collected.
    """

    batch: int
    operations: float
    parameters: int
    run: Callable[[], None]
    turn: Callable[[], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    prepare(1)
    own = ("dqn", "dqn, best step size")  # another optimiser than all others
    timed = {name: prepared(name) for name in AGENTS if name not in own}
    taken, speed = {name: [] for name in timed}, {name: [] for name in timed}
    for _ in range(args.rounds):
        for name, one in timed.items():
            start = time.perf_counter()
            one.run()
            taken[name].append((time.perf_counter() - start) / STEPS * 1e6)
            start = time.perf_counter()
            speed[name].append(one.turn() / (time.perf_counter() - start))
    rows, path = [], HERE / "results" / "cost_values.json"
    plain, counted = statistics.median(taken[DQN]), timed[DQN].operations
    for name, one in timed.items():
        micro = statistics.median(taken[name])
        ratio, explained, held = micro / plain, one.operations / counted, one.parameters / timed[DQN].parameters
        told = (f"{one.batch}", f"{micro:,.0f}", f"{min(taken[name]):,.0f} ... {max(taken[name]):,.0f}")
        counts = (f"{one.operations / 1e6:.1f}", f"{ratio:.2f}", f"{explained:.2f}", f"{held:.2f}")
        rows.append((name, *told, *counts, f"{statistics.median(speed[name]):,.0f}"))
        found = {
            "batch": one.batch,
            "microseconds": taken[name],
            "operations": one.operations,
            "parameters": one.parameters,
            "transitions_a_second": speed[name],
        }
        keep(path, name, found | {"time_over_dqn": ratio, "operations_over_dqn": explained})
    head = (
        "agent", "batch", "a gradient step, us", "least ... most", "M operations", "time / DQN", "operations / DQN",
        "parameters / DQN", "transitions / s",
    )  # fmt: skip
    print(table(head, rows))
    print(f"\nresults: {path}")


def prepared(name: str) -> Timed:
    """A row's gradient step, compiled and run once."""
    _, *words = options(GAME, name)
    asked = dict(pairs(words))
    named = {key: asked.pop(f"--{key}") for key in ("agent", "preset") if f"--{key}" in asked}
    if "preset" in named:
        named.pop("agent")
    config = build(f"minatar:{GAME}", settings={FIELDS[word]: value for word, value in asked.items()}, **named).config
    spec = resolve(config.env)
    chosen = algorithm(spec, config)
    state = state_around(chosen, spec, cycle_of(chosen.rates, config.envs), (), rng.root(0))
    drawn = chosen.replay.sample(state.replay, rng.root(1), jnp.int32(0))
    batch = drawn._replace(
        obs=jax.random.bernoulli(rng.root(2), 0.1, drawn.obs.shape).astype(drawn.obs.dtype),
        reward=jax.random.uniform(rng.root(3), drawn.reward.shape),
        next_obs=jax.random.bernoulli(rng.root(4), 0.1, drawn.next_obs.shape).astype(drawn.next_obs.dtype),
    )
    if getattr(drawn, "weight", None) is not None:
        batch = batch._replace(weight=jnp.ones_like(drawn.weight))

    def step(count, carry):
        pair, optimiser = carry
        # what depends on the count cannot be computed once for all steps
        now = batch._replace(reward=batch.reward + 1e-6 * count)
        return gradient_step(chosen, pair, optimiser, now, rng.root(5), count)[2:4]

    begun = state.twin, state.optimiser
    if not jnp.isfinite(gradient_step(chosen, *begun, batch, rng.root(5), jnp.int32(0))[0]):
        raise SystemExit(
            f"{name}: the loss is no number, and such a step is not taken, so that it would cost too little"
        )
    cost = jax.jit(lambda carry: step(jnp.int32(1), carry)).lower(begun).compile().cost_analysis()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.twin.online.params))
    loop = jax.jit(lambda carry, steps: jax.lax.fori_loop(0, steps, step, carry))
    jax.block_until_ready(loop(begun, 1))
    turn = turning(chosen, spec, config)
    run = lambda: jax.block_until_ready(loop(begun, STEPS))  # noqa: E731
    return Timed(len(batch.reward), cost["flops"], parameters, run, turn)


def turning(chosen: Algorithm, spec: EnvSpec, config: Config) -> Callable[[], int]:
    """The engine's program for an algorithm, compiled and warmed up, to be turned for some transitions at a time."""
    engine = fused(chosen, jax_env(spec), config.envs)
    cycles = max(1, TRANSITIONS // engine.turn.transitions)
    state = engine.warm_up(engine.init([0]), config.warmup // config.envs)
    states = [engine.advance(state, cycles)]

    def turn() -> int:
        states[0] = jax.block_until_ready(engine.advance(states[0], cycles))
        return cycles * engine.turn.transitions

    turn()
    return turn


def pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """``--option value`` and ``--option=value`` as pairs."""
    left = iter(words)
    for word in left:
        flag, equals, value = word.partition("=")
        yield flag, value if equals else next(left)


if __name__ == "__main__":
    main()
