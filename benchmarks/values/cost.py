"""What a gradient step of each agent costs: its time beside its counted operations, both over DQN's.

    python benchmarks/values/cost.py [--rounds N]

MinAtar's Breakout, a batch of 32, one thread: the regression on one batch, the target computed and the optimiser's step
taken, in a compiled loop, without environment, replay or the target's own move. Operations are those of XLA's count for
the compiled step. Beside it the whole of it, the three processes in the engine's own program: transitions a second,
collected and learned from at the row's rates. Agents take turns; medians over the rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from minatar import AGENTS, options
from script import RESULTS, keep_row, parse, read_rows, where_from
from script import options as options_of
from tables import table

GAME, STEPS, TRANSITIONS, ROUNDS, DQN = "Breakout", 100, 1_000, 7, "dqn, one in four"
OTHERS = ("dqn", "dqn, best step size")  # another optimiser than all others
SMOKE = ("--net", "mlp:8", "--warmup", "64", "--replay", "500")  # over the row's own, in its place


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
    parser = options_of(__doc__, RESULTS / "cost_values.json")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parse(parser)
    if not args.show:
        from qtwin.run.devices import prepare

        prepare(1)
        if args.smoke:
            measure({DQN: prepared(DQN, "CartPole-v1", SMOKE)}, 1, args.out)
        else:
            measure({name: prepared(name) for name in AGENTS if name not in OTHERS}, args.rounds, args.out)
    head = (
        "agent", "batch", "a gradient step, us", "least ... most", "M operations", "time / DQN", "operations / DQN",
        "parameters / DQN", "transitions / s",
    )  # fmt: skip
    found, rows = read_rows(args.out), []
    for name in (each for each in AGENTS if each in found):
        row = found[name]
        micro, held = row["microseconds"], row["parameters"] / found[DQN]["parameters"]
        times = (f"{statistics.median(micro):,.0f}", f"{min(micro):,.0f} ... {max(micro):,.0f}")
        ratios = (f"{row[over]:.2f}" for over in ("time_over_dqn", "operations_over_dqn"))
        counts = (f"{row['operations'] / 1e6:.1f}", *ratios, f"{held:.2f}")
        rows.append(
            (name, f"{row['batch']}", *times, *counts, f"{statistics.median(row['transitions_a_second']):,.0f}")
        )
    if rows:
        print(table(head, rows) + "\n")
    print(where_from(args.out))


def measure(timed: dict[str, Timed], rounds: int, path: Path) -> None:
    """Lets the agents take turns and keeps a row of each."""
    taken, speed = {name: [] for name in timed}, {name: [] for name in timed}
    for _ in range(rounds):
        for name, one in timed.items():
            start = time.perf_counter()
            one.run()
            taken[name].append((time.perf_counter() - start) / STEPS * 1e6)
            start = time.perf_counter()
            speed[name].append(one.turn() / (time.perf_counter() - start))
    plain, counted = statistics.median(taken[DQN]), timed[DQN].operations
    for name, one in timed.items():
        found = {
            "batch": one.batch,
            "microseconds": taken[name],
            "operations": one.operations,
            "parameters": one.parameters,
            "transitions_a_second": speed[name],
        }
        ratios = {
            "time_over_dqn": statistics.median(taken[name]) / plain,
            "operations_over_dqn": one.operations / counted,
        }
        keep_row(path, name, found | ratios)


def prepared(name: str, env: str = f"minatar:{GAME}", instead: tuple[str, ...] = ()) -> Timed:
    """A row's gradient step, compiled and run once; ``instead`` holds options in place of the row's own."""
    import jax
    import jax.numpy as jnp

    from qtwin import rng
    from qtwin.agents.catalog import algorithm
    from qtwin.config.options import SETTINGS, option
    from qtwin.engine.fused import state_around
    from qtwin.envs.catalog import resolve
    from qtwin.processes.regress import gradient_step
    from qtwin.rates import cycle_of
    from qtwin.request.train import build

    fields = {option(field): field for field in SETTINGS}
    _, *words = options(GAME, name)
    asked = dict(pairs(words)) | dict(pairs(list(instead)))
    named = {key: asked.pop(f"--{key}") for key in ("agent", "preset") if f"--{key}" in asked}
    if "preset" in named:
        named.pop("agent")
    config = build(env, settings={fields[word]: value for word, value in asked.items()}, **named).config
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


def turning(chosen, spec, config) -> Callable[[], int]:
    """The engine's program for an algorithm, compiled and warmed up, to be turned for some transitions at a time."""
    import jax

    from qtwin.engine.fused import fused
    from qtwin.envs.make import jax_env

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
