"""What the guards against numbers that are not finite, in updates and from environments, cost a fused run.

    python benchmarks/reliability/guard.py [--env CartPole-v1] [--preset cleanrl] [--rounds 300]

The same run with the guards, with their looks but every update applied, and without either, in one process: short
pieces in random order, each told by the clock, which asks for a machine that does nothing else, and in CPU time. What
counts is the median of the ratios of pieces that stand side by side.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, options, parse, show, write_result

CYCLES = 150  # in a piece
SMOKE = {"net": "linear", "warmup": "80", "replay": "500", "batch": "8"}  # over the preset's


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_guard.json")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--preset", default="cleanrl")
    parser.add_argument("--rounds", type=int, default=300)
    args = parse(parser)
    if args.smoke:
        write_result(args.out, measured(args.env, args.preset, 2, SMOKE))
    elif not args.show:
        write_result(args.out, measured(args.env, args.preset, args.rounds))
    show(args.out)


def measured(env: str, preset: str, rounds: int, settings: dict[str, str] | None = None) -> dict:
    """The cost of the guards over so many rounds; ``settings`` go over the preset's."""
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make
    from qtwin.request.train import build
    from qtwin.run.devices import prepare

    prepare(1)
    import jax.numpy as jnp

    from qtwin.agents.catalog import algorithm
    from qtwin.engine.fused_fleet import FusedFleet
    from qtwin.processes import collect, regress

    c, spec = build(env, preset=preset, settings=settings).config, resolve(env)
    without = {
        (collect, "check_finite"): lambda chunk, faults, before: (chunk, faults),
        (regress, "finite"): lambda loss, gradient: jnp.bool_(True),
        (regress, "when"): lambda fine, update, state, gradient: update(state, gradient),
        (regress, "chosen"): lambda fine, new, old: new,
    }
    guarded, fleets = {place: getattr(*place) for place in without}, {}
    looked = guarded | {place: without[place] for place in ((regress, "when"), (regress, "chosen"))}
    for name, functions in {"guarded": guarded, "looked at only": looked, "unguarded": without}.items():
        for (module, which), function in functions.items():
            setattr(module, which, function)
        try:
            fleets[name] = FusedFleet(algorithm(spec, c), make(spec), c.envs, (0,), 1)
            fleets[name].warm_up(fleets[name].turn.warmup_vector_steps)
            fleets[name].advance(CYCLES)
            fleets[name].wait()
        finally:
            for (module, which), function in guarded.items():
                setattr(module, which, function)
    rng, spent = random.Random(0), {name: [] for name in fleets}  # [rounds, 2] us per cycle: clock, CPU
    for _ in range(rounds):
        for name in rng.sample(list(fleets), len(fleets)):
            began = np.array([time.perf_counter(), time.process_time()])
            fleets[name].advance(CYCLES)
            fleets[name].wait()
            ended = np.array([time.perf_counter(), time.process_time()])
            spent[name].append((ended - began) / CYCLES * 1e6)
    medians = {name: np.round(np.median(each, axis=0), 1).tolist() for name, each in spent.items()}

    def told(name: str, column: int) -> dict:
        one, other = (np.array(spent[each])[:, column] for each in (name, "unguarded"))
        draws = np.random.default_rng(0).choice(one / other, (2000, len(one)))
        ends = np.percentile(np.median(draws, axis=1), [2.5, 97.5]) - 1
        return {
            "cost": round(np.median(one / other) - 1, 4),
            "interval_95": [round(end, 4) for end in ends.tolist()],
        }

    return {
        "env": env,
        "preset": preset,
        "rounds": rounds,
        "median_us_per_cycle_by_the_clock_and_cpu": medians,
        **{name: {"by_the_clock": told(name, 0), "cpu_time": told(name, 1)} for name in ("guarded", "looked at only")},
    }


if __name__ == "__main__":
    main()
