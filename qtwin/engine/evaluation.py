"""Greedy episodes, in environments written in JAX and in those in Python: played to their end, or cut where they go on
for too long.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.algorithm import Agent
from qtwin.engine.played import EVAL_MAX_STEPS, Played, eval_steps
from qtwin.envs.base import HostEnv, JaxEnv, Score, for_evaluation
from qtwin.interrupts import poll
from qtwin.measure.diagnostics import value_of
from qtwin.measure.overestimation import Foresight
from qtwin.processes.nonfinite import not_finite
from qtwin.types import Array, Variables

SIDE_BY_SIDE = 16  # environments in Python that episodes are played in


def greedy_episodes(
    agent: Agent,
    env: JaxEnv,
    variables: Variables,
    episodes: int,
    key,
    foresight: Foresight | None,
    limit: int = EVAL_MAX_STEPS,
    drop: bool = False,
) -> Played:
    """Greedy episodes, run side by side, each to its own end.

    Args:
      agent: acts with epsilon 0.
      env: one environment written in JAX.
      variables: the network's.
      episodes: how many.
      key: where their chance comes from.
      foresight: judges the values in them; None leaves it.
      limit: steps after which an episode that does not end is cut, which counts as a truncation. [transitions]
      drop: one that comes to what is not finite is cut after its last whole step.

    Returns:
      each field [episodes].
    """
    begin_key, play = jax.random.split(key)
    state, obs = jax.vmap(env.reset)(jax.random.split(begin_key, episodes))
    none = jnp.zeros(episodes, jnp.float32)
    value = None if foresight is None else value_of(agent)
    foresight = None if value is None else foresight.within(limit)
    ledger = None if foresight is None else foresight.begin(episodes, jnp)

    def going_on(carry):
        t, _, _, _, done, _ = carry
        return (t < limit) & ~jnp.all(done)

    def step(carry):
        t, state, obs, returns, done, ledger = carry
        act_key, step_key = jax.random.split(jax.random.fold_in(play, t))
        action = agent.act(variables, obs, jnp.float32(0.0), act_key)
        q = None if value is None else value(variables, obs, action)
        state, obs, outcome = jax.vmap(env.step)(jax.random.split(step_key, episodes), state, action)
        if drop:
            lost = not_finite(obs, outcome)
            gain, discount = jnp.where(lost, 0.0, outcome.reward), jnp.where(lost, 1.0, outcome.discount)
            outcome = outcome._replace(reward=gain, discount=discount, last=outcome.last | lost)
        if foresight is not None:
            last = outcome.last | (t + 1 >= limit)
            ledger = foresight.step(ledger, q, outcome.reward, last, outcome.discount, ~done, jnp)
        return t + 1, state, obs, returns + jnp.where(done, 0.0, outcome.reward), done | outcome.last, ledger

    end = jax.lax.while_loop(going_on, step, (jnp.int32(0), state, obs, none, none > 0, ledger))
    return Played(end[3], ~end[4], end[5])


def player(agent: Agent) -> Callable:
    """``(variables, obs [N, ...], epsilon [], key) -> (action [N], Q(s, a) [N] or None)``, compiled."""
    value = value_of(agent)

    def act(variables: Variables, obs: Array, epsilon: Array, key: Array) -> tuple[Array, Array | None]:
        action = agent.act(variables, obs, epsilon, key)
        return action, None if value is None else value(variables, obs, action)

    return jax.jit(act)


def player_on(make_env: Callable[[int], HostEnv], act: Callable, episodes: int, eval_max_steps: int = 0) -> Callable:
    """``(variables, entropy) -> Played``: `host_episodes` with an agent's own ``act``, on environments made for each
    call.

    Args:
      make_env: ``envs -> HostEnv``.
      act: the agent's.
      episodes: how many.
      eval_max_steps: of `qtwin.engine.played.eval_steps`.
    """
    compiled = jax.jit(lambda *given: (act(*given), None))

    def play(variables: Variables, entropy: tuple[int, ...]) -> Played:
        env = for_evaluation(make_env)(min(episodes, SIDE_BY_SIDE))
        try:
            limit = eval_steps(env.spec, eval_max_steps)
            return host_episodes(compiled, env, variables, episodes, entropy, limit=limit)
        finally:
            env.close()

    return play


def host_episodes(
    act: Callable,
    env: HostEnv,
    variables: Variables,
    episodes: int,
    entropy: tuple[int, ...],
    foresight: Foresight | None = None,
    limit: int = EVAL_MAX_STEPS,
) -> Played:
    """Greedy episodes on environments in Python.

    Each environment plays its share of the episodes, the same number for each seat whatever the episodes' lengths: were
    the first to end counted, short episodes would be over-represented. A seat whose episode is cut waits until the
    others have played theirs, for one environment of a vector cannot be begun anew alone; then all begin anew.

    Args:
      act: of `player`.
      env: N environments.
      variables: the network's.
      episodes: how many.
      entropy: what the environments' seed is drawn from.
      foresight: judges the values in them; None leaves it.
      limit: steps after which an episode that does not end is cut, which counts as a truncation. [transitions]

    Returns:
      each field [episodes], one seat's after another's; the ledger's [N].
    """
    seats = env.num_envs
    share = np.array([len(range(i, episodes, seats)) for i in range(seats)])
    running, steps, waits = np.zeros(seats), np.zeros(seats, int), np.zeros(seats, bool)
    done: list[list[tuple[float, bool]]] = [[] for _ in range(seats)]
    key, ledger, begun = rng.root(entropy[-1]), None, 1
    foresight = None if foresight is None else foresight.within(limit)
    obs = env.reset(_seed_of(entropy))
    while (left := share > [len(d) for d in done]).any():
        if not (left & ~waits).any():
            obs = env.reset(_seed_of((*entropy, begun)))
            begun, waits = begun + 1, np.zeros(seats, bool)
            running[:], steps[:] = 0.0, 0
        poll()
        action, q = act(variables, obs, np.float32(0.0), key)
        obs, outcome, valid = env.step(np.asarray(action))
        score = getattr(env, "score", None) or Score(outcome.reward, outcome.last)
        ones = np.ones(seats, bool) if valid is None else valid
        steps += ones
        running += np.where(ones, score.reward, 0.0)
        over = score.over & ones & ~waits
        short = (steps >= limit) & ones & ~over & left & ~waits
        if q is not None and foresight is not None:
            ledger = foresight.begin(seats) if ledger is None else ledger
            last, wanted = outcome.last | short, ones & left & ~waits
            ledger = foresight.step(ledger, np.asarray(q), outcome.reward, last, outcome.discount, wanted)
        if getattr(env, "lost", None) is not None:
            running[env.lost], steps[env.lost] = 0.0, 0  # that episode is played anew
        for i in np.flatnonzero(over | short):
            done[i].append((running[i], bool(short[i])))
            running[i], steps[i] = 0.0, 0
        waits = waits | short
    played = [each for d, n in zip(done, share, strict=True) for each in d[:n]]
    return Played(np.array([r for r, _ in played], np.float32), np.array([cut for _, cut in played], bool), ledger)


def _seed_of(entropy: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
