"""What each JSON file holds that is read back: plain data for `qtwin.storage.reading`. Read without importing JAX.

A field that a later version may add is allowed everywhere, and one that an earlier version did not write is optional.
"""

from __future__ import annotations

import dataclasses

from qtwin.storage.metrics import METRICS
from qtwin.storage.reading import Anything, Either, Flag, ListOf, MapOf, Maybe, Number, Record, Text, Whole

LARGEST_SEED = 2**31 - 1
MOST_SEEDS = 2**16
MOST_CELLS = 4096
LONGEST = 2**16  # characters of a command

SEEDS = ListOf(Whole(0, LARGEST_SEED), 1, MOST_SEEDS)
PLAIN = Either((Text(), Number(), Flag()))  # a setting

# config.json of a run; "config" is held against its dataclass by `settings`
RUN_CONFIG = Record(
    {"config": MapOf(Anything()), "seeds": SEEDS},
    {
        "env": Text(),
        "run": MapOf(PLAIN),
        "versions": MapOf(Text()),
        "registered": MapOf(Text()),
        "built": MapOf(Text()),
        "own": Record({}, {"version": Text(), "modules": MapOf(Text())}),
    },
)

# grid.json of a comparison
PLAN = Record(
    {
        "format": Whole(),
        "command": Text(LONGEST),
        "env": Text(),
        "seeds": SEEDS,
        "varied": ListOf(Text(), 0, 100),
        "cells": ListOf(
            Record(
                {"label": Text(), "folder": Text(255), "steps": Whole(1), "command": Text(LONGEST)},
                {"varied": MapOf(Text())},
            ),
            1,
            MOST_CELLS,
        ),
    }
)

# one entry of prices.json of a comparison [seconds]
PRICE = Record({"compile": Number(0.0, 1e9), "per_step": Number(0.0, 1e9), "platform": Text(100)})

# policy/policy.json; `qtwin.run.policy_check` holds its sizes against what an environment can have
POLICY = Record(
    {
        "env": Text(),
        "obs_shape": ListOf(Whole()),
        "obs_dtype": Text(100),
        "num_actions": Maybe(Whole()),
        "num_states": Maybe(Whole()),
        "action_low": ListOf(Number()),
        "action_high": ListOf(Number()),
        "net": Text(),
        "normalise": Text(100),
        "output": Text(100),
        "seeds": SEEDS,
    },
    {
        "preprocessing": Text(100),
        "stack": Whole(1),
        "least_of": Whole(1, 100),
        "env_kwargs": Text(),
        "agent": Text(),
    },
)

# encoder/encoder.json
ENCODER = Record(
    {"encoder": Text(), "image_shape": ListOf(Whole(1, 2**20), 3, 3), "seeds": SEEDS},
    {"method": Text(100), "data": Text()},
)


def settings(kind: type) -> dict:
    """What "config" of a ``config.json`` holds, field by field of its dataclass."""
    kinds = {"bool": Flag(), "int": Whole(), "float": Number(), "str": Text()}
    return {field.name: kinds[field.type] for field in dataclasses.fields(kind)}


def per_seed(seeds: int | None) -> ListOf:
    """A list with a number for each seed, null where there is none; ``seeds`` None is any number of them."""
    return ListOf(Maybe(Number()), seeds or 1, seeds or MOST_SEEDS)


def count(seeds: int | None) -> Either:
    """A count that all seeds share, or one for each."""
    return Either((Whole(), ListOf(Whole(), seeds or 1, seeds or MOST_SEEDS)))


def log_point(seeds: int | None = None, needs: tuple[str, ...] = ()) -> Record:
    """A line of ``metrics.jsonl``.

    Args:
      seeds: how many numbers a list has; None takes any.
      needs: lists that it must hold.
    """
    each = per_seed(seeds)
    needed = {"cycles": Whole(), "transitions": Whole(), "gradient_steps": Whole()}
    kinds = {"per seed": each, "number": Maybe(Number()), "count": Whole(), "text by name": MapOf(Text())}
    known = {name: kinds[info.form] for name, info in METRICS.items() if info.form in kinds and name not in needed}
    known |= {"seconds": Number(0.0), "target_updates": count(seeds)}
    known |= {"train_length": each._replace(kind=Maybe(Number(0.0, 1e15)))}
    needed |= {name: known.pop(name) for name in needs}
    others = Either((Maybe(Number()), Flag(), Text(), each, MapOf(Either((Text(), Maybe(Number()))))))
    return Record(needed, known, others)


def look(seeds: int | None = None) -> Record:
    """A line of ``twin.jsonl``."""
    each = ListOf(Number(0.0), seeds or 1, seeds or MOST_SEEDS)
    return Record(
        {"cycles": Whole(), "gradient_steps": Whole(), "age": Maybe(Number(0.0)), "distance": each},
        {"transitions": Whole()},
    )


def reading(seeds: int) -> Record:
    """``reading.json``: what was measured for a log point that is still to come."""
    each = per_seed(seeds)
    others = Either((Maybe(Number()), each))
    known = dict.fromkeys(("value_gap", "greedy_gap", "churn", "target_change", "largest_q", "dormant"), each)
    return Record({"cycles": Whole(), "point": Record({"seen_reward": Number()}, known, others)})


def summary(seeds: int) -> Record:
    """``summary.json`` of a run that a comparison shows."""
    pair = ListOf(Maybe(Number()), 2, 2)
    return Record(
        {
            "eval_return": ListOf(Number(), seeds, seeds),
            "transitions": Whole(),
            "gradient_steps": Whole(),
            "target_updates": count(seeds),
            "wall_seconds": Number(0.0),
            "target": Text(),
            "agent": Text(),
            "env": Text(),
        },
        {"eval_return_iqm": Number(), "eval_return_interval": pair},
    )
