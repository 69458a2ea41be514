"""What a cell costs: measured on the cell itself, for a few seconds, in a process of its own.

python -m qtwin.lab.price ENV OPTIONS...        the options of ``qtwin train``; prints one line of JSON
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtwin.request.train import Request

MEASURE_SECONDS = 2.0


def price(words: list[str]) -> dict:
    """Seconds of compiling, and for each step of one seed.

    Returns:
      ``{"compile": s, "per_step": s, "platform": "cpu"}``; a step is a transition, offline a gradient step.
    """
    from qtwin.request.command_line import request_of, train_options
    from qtwin.request.imports import import_modules, split_imports
    from qtwin.request.parser import Parser

    modules, words = split_imports(words)
    import_modules(modules)
    parser = Parser(prog="qtwin train")
    train_options(parser)
    return price_of(request_of(parser.parse_args(words)), 1)


def price_of(request: Request, seeds: int) -> dict:
    """The same of a request, in this process, in which ``seeds`` seeds will run side by side."""
    from qtwin.run.devices import prepare

    prepare(seeds)
    import jax

    from qtwin.agents.catalog import algorithm
    from qtwin.engine.fleet import fleet_of
    from qtwin.envs.make import make
    from qtwin.measure.overestimation import Overestimation
    from qtwin.rates import plan
    from qtwin.request.train import spec_of

    config = request.config
    spec = spec_of(config)
    built = algorithm(spec, config)
    spending = plan(built.rates, config.envs, config.steps)
    judge = Overestimation(config.discount, spec.time_limit or 0)
    fleet = fleet_of(built, make(spec, request.engine), config.envs, (0,), 10, request.overlap, judge=judge)
    try:
        began = time.perf_counter()
        fleet.compile()
        fleet.warm_up(spending.cycle.warmup_vector_steps)
        fleet.advance(1)
        fleet.wait()
        compiled = time.perf_counter() - began
        cycles, took, piece = 0, 0.0, 1
        while took < MEASURE_SECONDS and cycles < spending.cycles:
            began = time.perf_counter()
            fleet.advance(piece)
            fleet.wait()
            took, cycles, piece = took + time.perf_counter() - began, cycles + piece, min(4 * piece, spending.cycles)
        per_cycle = spending.cycle.transitions or spending.cycle.gradient_steps
        return {
            "compile": round(compiled, 2),
            "per_step": took / (cycles * per_cycle),
            "platform": jax.devices()[0].platform,
        }
    finally:
        fleet.close()


if __name__ == "__main__":
    print(json.dumps(price(sys.argv[1:])))
