"""One contract for every environment: ``next_obs`` is true, ``discount`` is 0 only on termination.

Two homes, one meaning. A `JaxEnv` is a pair of pure functions for *one* environment (the fused engine maps it over N).
A `HostEnv` is a vector of N environments in Python (the hosted engine steps it). Automatic resets are done *behind* the
contract: what comes back beside the outcome is the observation to act on next, already that of the new episode when the
old one ended, while ``outcome.next_obs`` is always the observation that really followed the action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from qtwin.envs.spec import EnvSpec
from qtwin.types import Array, PyTree


class Outcome(NamedTuple):
    """What an action led to.

    Attributes:
      reward: float32. [] for one environment, [N] for a vector of them (the same for each field)
      discount: 0 where ``next_obs`` is terminal, else 1; truncation leaves it at 1. float32
      next_obs: the observation that followed, even when the episode ended there. [*obs_shape] or [N, *obs_shape]
      last: the episode ended here, by termination or by truncation. bool
    """

    reward: Array
    discount: Array
    next_obs: Array
    last: Array


class Score(NamedTuple):
    """What a step adds to the score that is reported, where that is not what is learned from.

    Attributes:
      reward: undiscounted and unclipped. [N] float32
      over: the whole game ended, not only what counts as an episode for learning (a life). [N] bool
    """

    reward: Array
    over: Array


class Played(NamedTuple):
    """T vector steps whose actions were known beforehand.

    Attributes:
      obs: to act on next. [N, *obs_shape]
      reward, discount, last: as an `Outcome`'s. [T, N]
      score: each field [T, N].
      begun: by step, the observations to act on after it [N, *obs_shape] and which of them begin a new stack of frames
        [N] bool; only steps after which one does.
    """

    obs: Array
    reward: Array
    discount: Array
    last: Array
    score: Score
    begun: dict[int, tuple[Array, Array]]


class JaxEnv(NamedTuple):
    """One environment as pure functions.

    Attributes:
      spec: its shape.
      reset: ``key -> (state, obs)``.
      step: ``(key, state, action) -> (state, obs, Outcome)``; ``state`` and ``obs`` are those of a new episode when
        ``Outcome.last`` is true. A continuous action is in [-1, 1].
    """

    spec: EnvSpec
    reset: Callable[[Array], tuple[PyTree, Array]]
    step: Callable[[Array, PyTree, Array], tuple[PyTree, Array, Outcome]]


class HostEnv(Protocol):
    """N environments in Python, as numpy arrays.

    Attributes:
      spec: the shape of one environment.
      num_envs: N.
      ragged: ``step`` may give rows that are no transitions; may be left out where it never does.
      fresh: which rows of the observations that ``reset`` or ``step`` gave last begin a new stack of frames
        (``spec.stack``), none of whose frames the row before showed. [N] bool. Left out or None: those whose episode
        ended. An episode may end inside a stack: when a life is lost and the game goes on.
      score: of the last step, where returns are to be added up from something other than its outcome; left out or None:
        from the outcome's ``reward`` and ``last``.
      replaces: an environment may be lost in the middle of an episode and replaced; may be left out where none is.
      lost: which environments the last step lost: their rows are no transitions, their episodes are over, and the
        observation to act on next is another environment's first. [N] bool, None where none was.

    Where observations are stacks of frames, ``play_ahead(actions [T, N], frames) -> Played`` may stand beside ``step``,
    for actions that need not wait for what is seen: it writes the newest frame of each ``next_obs`` into ``frames``
    [T, N, H, W, c]. Such environments are never ragged.
    """

    spec: EnvSpec
    num_envs: int
    ragged: bool = False
    fresh: Array | None = None
    score: Score | None = None
    replaces: bool = False
    lost: Array | None = None

    def reset(self, seed: int) -> Array:
        """Starts N new episodes from ``seed``; returns obs [N, *obs_shape]."""

    def step(self, actions: Array) -> tuple[Array, Outcome, Array | None]:
        """Steps all N environments.

        Args:
          actions: [N] int32; continuous [N, A] float32, in [-1, 1].

        Returns:
          obs [N, *obs_shape] to act on next; the Outcome, each field [N]; and ``valid`` [N] bool: False marks a row
          that is no transition (the row on which a NEXT_STEP vector environment resets), None that every row is one.
          Such rows stand between episodes only. The arrays are the caller's: no later step writes into them.

        Raises:
          Diverged: a continuous action is no finite number; no environment is stepped then.
        """
        ...

    def close(self) -> None:
        """Gives back what the environments hold."""


def for_evaluation(make_env: Callable[[int], HostEnv]) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv`` of the environments that a policy is judged on.

    They are those it learns in, unless ``make_env`` has an attribute ``evaluation`` that makes others: Atari's papers
    begin evaluation episodes with no-ops, act at random now and then, and stop after some minutes of play.
    """
    return getattr(make_env, "evaluation", make_env)
