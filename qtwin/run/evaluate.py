"""Greedy evaluation of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from qtwin.engine.devices import prepare
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.types import Variables


def greedy_episodes(act: Callable, spec: EnvSpec, variables: Variables, episodes: int, seed: int) -> np.ndarray:
    """Undiscounted returns [episodes] of greedy episodes in the environment that ``spec`` describes.

    Args:
      act: an agent's ``act``.
      spec: the environment.
      variables: the network's.
      episodes: how many.
      seed: what the episodes' chance is drawn from, apart from training's and its log points'.
    """
    import jax

    from qtwin.agent import Agent
    from qtwin.engine.fleet import host_returns
    from qtwin.engine.fused import greedy_returns
    from qtwin.envs.make import host_env, jax_env

    if spec.engine == "fused":
        agent, env = Agent(None, act, None), jax_env(spec)
        key = jax.random.fold_in(jax.random.key(seed), 2**31 - 1)
        return np.asarray(jax.jit(lambda v, k: greedy_returns(agent, env, v, episodes, k))(variables, key))
    env = host_env(spec)(min(episodes, 16))
    try:
        return host_returns(jax.jit(act), env, variables, episodes, (seed, 2**31 - 1))
    finally:
        env.close()


def run(path: str, episodes: int, env: str | None, seed: int) -> int:
    """``qtwin eval RUN``: plays greedy episodes with each of a run's seeds and prints their returns.

    Args:
      path: the run directory.
      episodes: for each seed.
      env: another environment of the same shapes; the run's own if None.
      seed: what the episodes' chance is drawn from.
    """
    from qtwin.envs.catalog import resolve
    from qtwin.run.curve import interval, iqm
    from qtwin.run.policy import load, read_description

    description = read_description(Path(path))
    spec = resolve(env or description["env"])
    for field in ("obs_shape", "num_actions", "num_states"):
        ours, theirs = description[field], getattr(spec, field)
        theirs = list(theirs) if isinstance(theirs, tuple) else theirs
        if ours != theirs:
            raise Refusal(
                f"the run in {path} was trained with {field} {ours} and {spec.id} has {theirs}; name another --env"
            )
    prepare(1)
    import jax.numpy as jnp
    from rich.console import Console

    console = Console(highlight=False)
    means = []
    for each in description["seeds"]:
        policy = load(path, each)
        returns = greedy_episodes(
            lambda v, obs, explore, key: jnp.argmax(policy.apply(v, obs), axis=-1).astype(jnp.int32),
            spec,
            policy.variables,
            episodes,
            seed,
        )
        means.append(returns.mean())
        console.print(
            f"seed {each}: {returns.mean():.1f} (standard deviation {returns.std():.1f}, least {returns.min():.1f},"
            f" most {returns.max():.1f}) over {episodes} episodes"
        )
    if len(means) > 2:
        low, high = interval(np.array(means))
        console.print(f"interquartile mean over {len(means)} seeds: {iqm(np.array(means)):.1f} [{low:.1f}, {high:.1f}]")
    return 0
