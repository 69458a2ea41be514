"""Greedy evaluation of a finished run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qtwin.engine.played import Played, cut_in_words, eval_steps
from qtwin.envs.base import JaxEnv
from qtwin.envs.fit import mismatch
from qtwin.envs.preprocessing import PREPROCESSINGS, PROTOCOLS
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.run.devices import prepare
from qtwin.storage.console import console, safe
from qtwin.types import OWN, Variables, stands_alone

FINAL = 2**31 - 1  # the draw that stands for the end of a run


def greedy_player(
    act: Callable, env: JaxEnv | Callable, episodes: int, drop: bool = False, eval_max_steps: int = 0
) -> Callable[[Variables, int], Played]:
    """``(variables, seed) -> Played``, each field [episodes]: greedy episodes, each to its own end.

    Args:
      act: an agent's ``act``.
      env: a `JaxEnv`, or ``envs -> HostEnv``.
      episodes: how many. Their chance is drawn from the seed, apart from training's and its log points'.
      drop: in JAX, an episode that comes to what is not finite is cut after its last whole step.
      eval_max_steps: of `qtwin.engine.played.eval_steps`: steps after which an episode is cut.
    """
    import jax

    from qtwin import rng
    from qtwin.algorithm import Agent
    from qtwin.engine.evaluation import greedy_episodes, player_on

    if isinstance(env, JaxEnv):
        agent, limit = Agent(None, act, None), eval_steps(env.spec, eval_max_steps)
        play = jax.jit(lambda v, key: greedy_episodes(agent, env, v, episodes, key, None, limit, drop))
        return lambda v, seed: jax.tree.map(np.asarray, play(v, jax.random.fold_in(rng.root(seed), FINAL)))
    play_on_host = player_on(env, act, episodes, eval_max_steps)
    return lambda v, seed: play_on_host(v, (seed, FINAL))


def judged_in(description: dict, env: str | None) -> EnvSpec:
    """The environment that a policy is judged in.

    Args:
      description: what ``policy.json`` holds.
      env: another one's name; the policy's own if None.
    """
    from qtwin.envs.catalog import home_of, resolve

    name = env or description["env"]
    if stands_alone(name):
        plain = name.removeprefix(OWN)
        raise Refusal(
            f"the run learned in an environment that was handed in from Python, {plain}, and no file holds it; write"
            f" --env with a registered one of the same shapes, or evaluate in Python with qtwin.load and {plain}"
        )
    home = home_of(name)[0]
    return resolve(
        name,
        description["preprocessing"] if home and home.preprocesses else "",
        "" if env else description["env_kwargs"],
    )


def run(
    path: str,
    episodes: int,
    env: str | None,
    seed: int,
    protocol: str = "",
    video: str | None = None,
    eval_max_steps: int = 0,
    shown: str | None = None,
) -> int:
    """``qtwin eval RUN``: plays greedy episodes with each of a run's seeds and prints their returns.

    Args:
      path: the run directory.
      episodes: for each seed.
      env: another environment of the same shapes; the run's own if None.
      seed: what the episodes' chance is drawn from.
      protocol: of an Atari game, a key of `qtwin.envs.preprocessing.PROTOCOLS`; its preprocessing's own if "".
      video: a file for one episode of the first seed; None writes none.
      eval_max_steps: of `qtwin.engine.played.eval_steps`: steps after which an episode is cut.
      shown: the video's file, as it is to be shown.
    """
    from qtwin.envs.make import make
    from qtwin.measure.statistics import LEAST, described
    from qtwin.run.policy import load, read_description, spec_of

    description = read_description(Path(path))
    spec, trained_in = judged_in(description, env), spec_of(description)
    if field := mismatch(trained_in, spec):
        raise Refusal(
            f"the run in {path} was trained with {field} {getattr(trained_in, field)} and {spec.id} has"
            f" {getattr(spec, field)}; name another --env"
        )
    prepare(1)

    def say(text: str) -> None:
        terminal.print(safe(text), soft_wrap=True)

    terminal, games, means, cut = console(), make(spec), [], 0
    if spec.preprocessing:
        protocol = protocol or PREPROCESSINGS[spec.preprocessing].protocol
        say(f"{spec.id}  protocol {protocol}: {PROTOCOLS[protocol].about}; whole games, raw rewards")
        games = dataclasses.replace(games, protocol=protocol)
    policies = [load(path, each) for each in description["seeds"]]
    play = greedy_player(policies[0].act, games, episodes, eval_max_steps=eval_max_steps)
    for policy in policies:
        played = play(policy.variables, seed)
        returns, cut = played.returns, cut + int(played.cut.sum())
        means.append(returns.mean())
        say(
            f"seed {policy.seed}: {returns.mean():.1f} (standard deviation {returns.std():.1f},"
            f" least {returns.min():.1f}, most {returns.max():.1f}) over {episodes} episodes"
        )
    limit = eval_steps(spec, eval_max_steps)
    if cut:
        say(cut_in_words(cut, episodes * len(policies), limit))
    if len(means) >= LEAST:
        say(f"interquartile mean over {len(means)} seeds: {described(means)}")
    if spec.preprocessing:
        from qtwin.measure.atari_scores import beside, lines

        over = "" if len(means) == 1 else f", mean of {len(means)} seeds"
        for line in lines(beside(spec.id.partition(":")[2], {f"this run{over}": float(np.mean(means))})):
            say(line)
    if video is not None:
        from qtwin.run.video import film, write

        pictures, per_second = film(spec, lambda obs: np.asarray(policies[0].inside(obs)), protocol, seed, limit)
        count = write(video, pictures, per_second)
        say(f"one episode of seed {policies[0].seed}, {count:,} pictures: {shown or video}")
    return 0
