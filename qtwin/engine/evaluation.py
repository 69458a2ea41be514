"""Greedy episodes, in environments written in JAX and in those in Python: played to their end, or cut where they go on
for too long.

What counts in them is said once, in `Referee`, for arrays of numpy and of JAX alike; only the stepping is said twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.algorithm import Agent
from qtwin.engine.played import EVAL_MAX_STEPS, Played, eval_steps
from qtwin.envs.base import HostEnv, JaxEnv, Outcome, Score, for_evaluation
from qtwin.interrupts import poll
from qtwin.measure.diagnostics import value_of
from qtwin.measure.overestimation import Ledger, Overestimation
from qtwin.processes.nonfinite import not_finite
from qtwin.types import Array, Variables

SIDE_BY_SIDE = 16  # environments in Python that episodes are played in


class Seats(NamedTuple):
    """Episodes under way, one in each of E seats.

    Attributes:
      returns: undiscounted, so far. [E]
      steps: so far. [E] int [transitions]
      ledger: what came of the values in all episodes of a seat; None where nothing is judged.
    """

    returns: Array
    steps: Array
    ledger: Ledger | None


class Referee(NamedTuple):
    """What counts in an evaluation episode, and when it is over.

    Attributes:
      limit: steps after which an episode that does not end is cut, which counts as a truncation. [transitions]
      overestimation: judges the values in them; None leaves it.
      xp: ``numpy`` or ``jax.numpy``.
    """

    limit: int
    overestimation: Overestimation | None
    xp: Any

    @classmethod
    def of(cls, limit: int, overestimation: Overestimation | None, xp: Any) -> Referee:
        """One whose overestimation knows of the limit."""
        return cls(limit, None if overestimation is None else overestimation.within(limit), xp)

    def begin(self, seats: int, told: bool = False) -> Seats:
        """New episodes in all seats.

        Args:
          seats: E.
          told: values will be told, so there is a ledger from the start; else it begins with the first of them.
        """
        ledger = self.overestimation.begin(seats, self.xp) if told and self.overestimation is not None else None
        return Seats(self.xp.zeros(seats), self.xp.zeros(seats, self.xp.int32), ledger)

    def step(
        self, seats: Seats, q: Array | None, outcome: Outcome, score: Score, counts: Array
    ) -> tuple[Seats, Array, Array]:
        """One more step of the episodes.

        Args:
          seats: before it.
          q: Q(s, a) of the state acted in and the action taken [E]; None where the agent tells none.
          outcome: what the action led to, each field [E].
          score: what that adds to the return, and whether the whole game is over.
          counts: whose step is one of an episode that counts. [E] bool

        Returns:
          the seats after it, and whose episode ended by itself and whose is cut because it did not. [E] bool
        """
        returns = seats.returns + self.xp.where(counts, score.reward, 0.0)
        steps = seats.steps + counts
        over = score.over & counts
        cut = (steps >= self.limit) & counts & ~over
        ledger = seats.ledger
        if q is not None and self.overestimation is not None:
            ledger = self.overestimation.begin(len(steps), self.xp) if ledger is None else ledger
            q, last = self.xp.asarray(q), outcome.last | cut
            ledger = self.overestimation.step(ledger, q, outcome.reward, last, outcome.discount, counts, self.xp)
        return Seats(returns, steps, ledger), over, cut

    def anew(self, seats: Seats, which: Array) -> Seats:
        """The seats with new episodes in some. [E] bool"""
        returns, steps = self.xp.where(which, 0.0, seats.returns), self.xp.where(which, 0, seats.steps)
        return seats._replace(returns=returns, steps=steps)


def greedy_episodes(
    agent: Agent,
    env: JaxEnv,
    variables: Variables,
    episodes: int,
    key,
    overestimation: Overestimation | None,
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
      overestimation: judges the values in them; None leaves it.
      limit: steps after which an episode that does not end is cut, which counts as a truncation. [transitions]
      drop: one that comes to what is not finite is cut after its last whole step.

    Returns:
      each field [episodes].
    """
    begin_key, play = jax.random.split(key)
    state, obs = jax.vmap(env.reset)(jax.random.split(begin_key, episodes))
    value, referee = value_of(agent), Referee.of(limit, overestimation, jnp)
    none = jnp.zeros(episodes, bool)

    def going_on(carry):
        return jnp.any(carry[4])

    def step(carry):
        t, state, obs, seats, playing, cut = carry
        act_key, step_key = jax.random.split(jax.random.fold_in(play, t))
        action = agent.act(variables, obs, jnp.float32(0.0), act_key)
        q = None if value is None else value(variables, obs, action)
        state, obs, outcome = jax.vmap(env.step)(jax.random.split(step_key, episodes), state, action)
        if drop:
            outcome = _ended_where_lost(obs, outcome)
        seats, over, short = referee.step(seats, q, outcome, Score(outcome.reward, outcome.last), playing)
        return t + 1, state, obs, seats, playing & ~(over | short), cut | short

    seats = referee.begin(episodes, value is not None)
    _, _, _, seats, _, cut = jax.lax.while_loop(going_on, step, (jnp.int32(0), state, obs, seats, ~none, none))
    return Played(seats.returns, cut, seats.ledger)


def _ended_where_lost(obs: Array, outcome: Outcome) -> Outcome:
    """An episode that comes to what is not finite is over, and that step adds nothing. [E]"""
    lost = not_finite(obs, outcome)
    gain, discount = jnp.where(lost, 0.0, outcome.reward), jnp.where(lost, 1.0, outcome.discount)
    return outcome._replace(reward=gain, discount=discount, last=outcome.last | lost)


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
    overestimation: Overestimation | None = None,
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
      overestimation: judges the values in them; None leaves it.
      limit: steps after which an episode that does not end is cut, which counts as a truncation. [transitions]

    Returns:
      each field [episodes], one seat's after another's; the ledger's [N].
    """
    referee, key = Referee.of(limit, overestimation, np), rng.root(entropy[-1])
    turns, seats, begun = Turns(episodes, env.num_envs), referee.begin(env.num_envs), 1
    obs = env.reset(rng.host_seed(entropy))
    while turns.left.any():
        if not turns.playing.any():
            obs = env.reset(rng.host_seed((*entropy, begun)))
            seats, begun = referee.anew(seats, np.ones(env.num_envs, bool)), begun + 1
            turns.begin_anew()
        poll()
        action, q = act(variables, obs, np.float32(0.0), key)
        obs, outcome, valid = env.step(np.asarray(action))
        score = getattr(env, "score", None) or Score(outcome.reward, outcome.last)
        counts = turns.playing if valid is None else turns.playing & valid
        seats, over, cut = referee.step(seats, q, outcome, score, counts)
        turns.record(seats.returns, over, cut)
        lost = getattr(env, "lost", None)  # that episode is played anew
        seats = referee.anew(seats, over | cut if lost is None else over | cut | lost)
    returns, cut = turns.played()
    return Played(returns, cut, seats.ledger)


class Turns:
    """Whose turn it is among the seats, and what has been played.

    Attributes:
      left: which seats have episodes to play. [N] bool

    Args:
      episodes: how many are wanted.
      seats: that share them.
    """

    def __init__(self, episodes: int, seats: int):
        self._share = np.array([len(range(i, episodes, seats)) for i in range(seats)])
        self._played: list[list[tuple[float, bool]]] = [[] for _ in range(seats)]
        self._waits = np.zeros(seats, bool)
        self.left = self._share > 0

    @property
    def playing(self) -> Array:
        """Which of these play one now, and do not wait for the others. [N] bool"""
        return self.left & ~self._waits

    def record(self, returns: Array, over: Array, cut: Array) -> None:
        """Writes down the episodes that are over; a seat whose episode was cut waits. Each [N]"""
        for i in np.flatnonzero(over | cut):
            self._played[i].append((returns[i], bool(cut[i])))
            self.left[i] = len(self._played[i]) < self._share[i]
        self._waits = self._waits | cut

    def begin_anew(self) -> None:
        """All environments have begun anew: nobody waits."""
        self._waits[:] = False

    def played(self) -> tuple[Array, Array]:
        """The returns [episodes] and which were cut [episodes], one seat's after another's."""
        every = [each for played in self._played for each in played]
        return np.array([r for r, _ in every], np.float32), np.array([cut for _, cut in every], bool)
