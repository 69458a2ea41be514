"""Over-estimation: what a network said of the states of its episodes, beside the discounted return that followed.

Nothing is bootstrapped: where an episode was cut by its time limit, only those states count after which at least 99 %
of the weight of all that could follow was still seen. Sums only ever run forward, so that no episode has to be kept.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from qtwin.types import Array

SEEN = 0.99  # of the discounted weight, after a state that counts


class Sums(NamedTuple):
    """Sums over the states of an episode. [E]

    Attributes:
      states: how many.
      said: what the network said of them, Q(s, a) of the action taken.
      weight: sum over the states so far of gamma to the power of the steps since: what one more reward adds.
      came: their discounted returns so far.
    """

    states: Array
    said: Array
    weight: Array
    came: Array


class Ledger(NamedTuple):
    """An episode under way, and what is known of the ended ones. [E]

    Attributes:
      whole: over all its states, which counts where it terminates.
      early: over those early enough, which counts where it is cut.
      time: steps so far. [transitions]
      states, said, came: sums over the ended episodes.
      largest_q: the largest |Q(s, a)| so far.
      largest_reward: the largest |r| so far.
    """

    whole: Sums
    early: Sums
    time: Array
    states: Array
    said: Array
    came: Array
    largest_q: Array
    largest_reward: Array


class Overestimation(NamedTuple):
    """How evaluation episodes are judged.

    Attributes:
      discount: gamma.
      time_limit: steps after which an episode is cut; 0 where none is known.
    """

    discount: float
    time_limit: int = 0

    @property
    def horizon(self) -> float:
        """Steps after which only 1 % of the discounted weight is left. [transitions]"""
        if self.discount == 1:
            return math.inf
        return math.log(1 - SEEN) / math.log(self.discount) if self.discount > 0 else 0.0

    def within(self, limit: int) -> Overestimation:
        """The same where episodes are cut after ``limit`` steps at the latest, by whoever plays them. [transitions]"""
        return self._replace(time_limit=min(self.time_limit, limit))

    def begin(self, episodes: int, xp: Any = np) -> Ledger:
        """Nothing seen yet.

        Args:
          episodes: E, side by side.
          xp: ``numpy`` or ``jax.numpy``.
        """
        zero = xp.zeros(episodes, xp.float32)
        none = Sums(zero, zero, zero, zero)
        return Ledger(none, none, zero, zero, zero, zero, zero, zero)

    def step(
        self, ledger: Ledger, q: Array, reward: Array, last: Array, discount: Array, counts: Array, xp=np
    ) -> Ledger:
        """One more step of each episode.

        Args:
          ledger: so far.
          q: Q(s, a) of the state acted in and the action taken. [E]
          reward: that followed. [E]
          last: the episode ends here, by termination or by truncation. [E]
          discount: 0 where it terminates. [E]
          counts: the step is one to be counted. [E]
          xp: ``numpy`` or ``jax.numpy``.
        """
        early = ledger.time < self.time_limit - self.horizon

        def more(sums: Sums, counted: Array) -> Sums:
            weight = self.discount * sums.weight + counted
            said = sums.said + xp.where(counted > 0, q, 0.0)
            return Sums(sums.states + counted, said, weight, sums.came + reward * weight)

        whole = more(ledger.whole, xp.ones_like(ledger.time))
        head = more(ledger.early, early.astype(xp.float32))
        ended, terminated = last & counts, discount == 0.0

        def closed(of_whole: Array, of_early: Array, before: Array) -> Array:
            return before + xp.where(ended, xp.where(terminated, of_whole, of_early), 0.0)

        def going_on(new: Array, old: Array) -> Array:
            return xp.where(counts, xp.where(ended, 0.0, new), old)

        return Ledger(
            Sums(*map(going_on, whole, ledger.whole)),
            Sums(*map(going_on, head, ledger.early)),
            going_on(ledger.time + 1, ledger.time),
            closed(whole.states, head.states, ledger.states),
            closed(whole.said, head.said, ledger.said),
            closed(whole.came, head.came, ledger.came),
            xp.where(counts, xp.maximum(ledger.largest_q, abs(q)), ledger.largest_q),
            xp.where(counts, xp.maximum(ledger.largest_reward, abs(reward)), ledger.largest_reward),
        )


class Judged(NamedTuple):
    """What evaluation episodes of one seed tell.

    Attributes:
      states: that were counted.
      said: mean of what the network said of them; None where none was.
      came: mean discounted return that followed; likewise.
      largest_q, largest_reward: over all steps.
    """

    states: int
    said: float | None
    came: float | None
    largest_q: float
    largest_reward: float


def judged(ledger: Ledger) -> Judged:
    """A ledger's sums as means, over all its episodes. Numpy arrays [E]."""
    states = float(np.sum(ledger.states))
    said, came = (float(np.sum(total)) / states if states else None for total in (ledger.said, ledger.came))
    return Judged(int(states), said, came, float(np.max(ledger.largest_q)), float(np.max(ledger.largest_reward)))
