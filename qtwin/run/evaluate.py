"""Greedy evaluation of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from qtwin.engine.devices import prepare
from qtwin.envs.base import JaxEnv
from qtwin.envs.fit import mismatch
from qtwin.errors import Refusal
from qtwin.types import Variables

FINAL = 2**31 - 1  # the draw that stands for the end of a run


def greedy_player(act: Callable, env: JaxEnv | Callable, episodes: int) -> Callable[[Variables, int], np.ndarray]:
    """``(variables, seed) -> returns [episodes]``: greedy episodes, each to its own end.

    Args:
      act: an agent's ``act``.
      env: a `JaxEnv`, or ``envs -> HostEnv``.
      episodes: how many. Their chance is drawn from the seed, apart from training's and its log points'.
    """
    import jax

    from qtwin import rng
    from qtwin.agent import Agent
    from qtwin.engine.fused import greedy_returns

    if isinstance(env, JaxEnv):
        play = jax.jit(lambda v, key: greedy_returns(Agent(None, act, None), env, v, episodes, key))
        return lambda v, seed: np.asarray(play(v, jax.random.fold_in(rng.root(seed), FINAL)))
    from qtwin.engine.hosted_fleet import player_on

    play_on_host = player_on(env, act, episodes)
    return lambda v, seed: play_on_host(v, (seed, FINAL))


def run(path: str, episodes: int, env: str | None, seed: int) -> int:
    """``qtwin eval RUN``: plays greedy episodes with each of a run's seeds and prints their returns.

    Args:
      path: the run directory.
      episodes: for each seed.
      env: another environment of the same shapes; the run's own if None.
      seed: what the episodes' chance is drawn from.
    """
    from qtwin.envs.catalog import resolve
    from qtwin.envs.make import make
    from qtwin.run.curve import interval, iqm
    from qtwin.run.policy import load, read_description, spec_of

    description = read_description(Path(path))
    spec = resolve(env or description["env"])
    trained_in = spec_of(description)
    if field := mismatch(trained_in, spec):
        raise Refusal(
            f"the run in {path} was trained with {field} {getattr(trained_in, field)} and {spec.id} has"
            f" {getattr(spec, field)}; name another --env"
        )
    prepare(1)
    from rich.console import Console

    console = Console(highlight=False)
    means = []
    policies = [load(path, each) for each in description["seeds"]]
    play = greedy_player(policies[0].act, make(spec), episodes)
    for policy in policies:
        returns = play(policy.variables, seed)
        means.append(returns.mean())
        console.print(
            f"seed {policy.seed}: {returns.mean():.1f} (standard deviation {returns.std():.1f},"
            f" least {returns.min():.1f}, most {returns.max():.1f}) over {episodes} episodes"
        )
    if len(means) > 2:
        low, high = interval(np.array(means))
        console.print(f"interquartile mean over {len(means)} seeds: {iqm(np.array(means)):.1f} [{low:.1f}, {high:.1f}]")
    return 0
