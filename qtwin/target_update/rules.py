"""PROCESS 2: how the target network follows.

Each way to follow is a small tuple of pure functions, as optax's transformations are. A rule never sees a network, only
two pytrees of the same structure; it is told when a gradient step was taken and answers whether the target is to move
now, and where to. tau is always the fraction moved: 1 copies.

JAX is imported where it is used, inside the functions, so that specs and rate cards are answered without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from qtwin.errors import Refusal
from qtwin.types import Array, Clock, PyTree


class TargetUpdate(NamedTuple):
    """One way for a target network to follow its online twin.

    Attributes:
      spec: how it is written on the command line, for example ``hard:500``.
      every: gradient steps between two moves; 1 is after every one, whatever ``due`` says; 0 if it never moves; the
        most there can be without ``shared_clock``.
      tau: the fraction of the way to the online network that one move goes, the first one if ``falls``; 1 copies.
      tied: the target *is* the online network behind a stop-gradient; no second network is held.
      init: ``params -> memory``: what the rule carries from one gradient step to the next.
      watch: ``(memory, loss []) -> memory``: told of every gradient step.
      due: ``(memory, clock) -> bool []``: is the target to move now?
      move: ``(memory, online, target) -> (memory, target)``: the move.
      falls: tau falls to nothing in the course of the run, so that no mean age can be given.
      copies: how many of its latest states the twin keeps; a TD target takes the mean of their values.
      parts: the parts of the network that have a target, where the rule says so (``last_layer``); () leaves it to the
        algorithm.
      counts: ``gradient steps -> moves`` where the moves come in no even period; None inside where the regression
        decides.
      shift: ``(memory, online) -> online`` where a move takes the online networks along (``chain``).
      row: K where it is for K networks that learn side by side, the parts "0" ... "K-1" of one, of which the last acts;
        0 where it is for one network.
      shared_clock: the moves fall due by counting gradient steps, at the same ones for every seed. False where the
        regression decides (``until_converged``): then each seed has a clock of its own, and `moves_in` cannot tell.
    """

    spec: str
    every: int
    tau: float
    tied: bool
    init: Callable[[PyTree], PyTree]
    watch: Callable[[PyTree, Array], PyTree]
    due: Callable[[PyTree, Clock], Array]
    move: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]
    falls: bool = False
    copies: int = 1
    parts: tuple[str, ...] = ()
    counts: Callable[[int], int | None] | None = None
    shift: Callable[[PyTree, PyTree], PyTree] | None = None
    row: int = 0
    shared_clock: bool = True

    def __repr__(self) -> str:
        return f"TargetUpdate({self.spec!r})"

    @property
    def mean_age(self) -> float:
        """Mean age of what the target knows, in gradient steps: (C-1)/2 for hard, (1-tau)/tau for soft."""
        if self.tied:
            return 0.0
        if self.every == 0 or self.tau == 0.0 or self.falls:
            return math.inf
        newest = self.every * (1.0 - self.tau) / self.tau + (self.every - 1) / 2.0
        return newest + self.every * (self.copies - 1) / 2.0

    def age_at(self, gradient_steps: int, since_move: int) -> float | None:
        """Mean age of what the target knows at one moment, in gradient steps; None where the rule tells none.

        Args:
          gradient_steps: taken so far.
          since_move: of them since the target last moved.
        """
        if self.tied:
            return 0.0
        if self.every == 0 or self.tau == 0.0:
            return float(gradient_steps)
        if self.shift is not None or (self.falls and self.tau < 1.0):
            return None
        if self.tau == 1.0:
            snapshots = [since_move + k * self.every for k in range(self.copies)]
            return sum(min(age, gradient_steps) for age in snapshots) / self.copies
        moves, kept = gradient_steps // self.every, 1.0 - self.tau
        return self.every * kept / self.tau * (1.0 - kept**moves) + since_move

    def moves_in(self, gradient_steps: int) -> int | None:
        """Moves in a run of that many gradient steps; None where the regression decides."""
        if self.counts is not None:
            return self.counts(gradient_steps)
        return gradient_steps // self.every if self.every else 0

    @property
    def half_life(self) -> float | None:
        """Gradient steps until half of what a soft target knew is replaced; None where it moves all at once.

        Exact, ``every * ln(1/2) / ln(1 - tau)``; close to the usual ``ln 2 / tau`` for a small tau.
        """
        if self.tied or self.tau == 1.0:
            return None
        if self.tau == 0.0 or self.every == 0 or self.falls:
            return math.inf
        return self.every * math.log(0.5) / math.log1p(-self.tau)


def no_memory(params: PyTree) -> PyTree:
    del params
    return ()


def not_watching(memory: PyTree, loss: Array) -> PyTree:
    del loss
    return memory


def _copy(memory: PyTree, online: PyTree, target: PyTree) -> tuple[PyTree, PyTree]:
    del target
    return memory, online


def _stay(memory: PyTree, online: PyTree, target: PyTree) -> tuple[PyTree, PyTree]:
    del online
    return memory, target


def hard(every: int) -> TargetUpdate:
    """Copies the online network every ``every`` gradient steps (Mnih et al. 2015, algorithm 1: "every C steps").

    Args:
      every: C, in gradient steps; at least 1. ``hard(1)`` equals `tied`.

    Examples:
      >>> hard(500)
      TargetUpdate('hard:500')
      >>> hard(500).mean_age  # (C - 1) / 2 gradient steps
      249.5
    """
    if not is_count(every):
        raise Refusal(
            f"hard:C copies the target every C gradient steps and needs a whole number C of at least 1, not {every};"
            " write for example hard:500"
        )
    return TargetUpdate(
        spec=f"hard:{every}", every=every, tau=1.0, tied=False, init=no_memory, watch=not_watching,
        due=lambda memory, clock: clock.age >= every, move=_copy,
    )  # fmt: skip


def soft(tau: float, every: int = 1) -> TargetUpdate:
    """Moves a fraction ``tau`` of the way every ``every`` gradient steps (Lillicrap et al. 2015, algorithm 1).

    target <- (1 - tau) target + tau online. The same average is BYOL's (Grill et al. 2020, equation 1), written there
    with the fraction kept.

    Args:
      tau: the fraction *moved*, in [0, 0.5] or exactly 1. Values between are refused: in half of the field this number
        is the fraction kept, and 0.995 is nearly always meant to be 0.005.
      every: gradient steps between two moves, at least 1.

    Examples:
      >>> soft(0.005).mean_age  # (1 - tau) / tau gradient steps
      199.0
    """
    if not is_fraction(tau):
        raise Refusal(
            f"soft:TAU moves the fraction TAU of the way to the online network and needs TAU between 0 and 0.5,"
            f" or 1 to copy, not {tau}; {instead_of(tau, 'soft:0.005')}"
        )
    if not is_count(every):
        raise Refusal(
            f"soft:TAU/EVERY needs a whole number of gradient steps of at least 1 after the slash, not {every};"
            " write for example soft:0.005/10"
        )
    tau = float(tau)

    def move(memory: PyTree, online: PyTree, target: PyTree) -> tuple[PyTree, PyTree]:
        return memory, mixed(tau, online, target)

    spec = f"soft:{tau:g}" + (f"/{every}" if every != 1 else "")
    return TargetUpdate(
        spec=spec, every=every, tau=tau, tied=False, init=no_memory, watch=not_watching,
        due=lambda memory, clock: clock.age >= every, move=move if tau > 0.0 else _stay,
    )  # fmt: skip


def tied() -> TargetUpdate:
    """The target is the online network behind a stop-gradient (SimSiam, Chen & He 2021; online Q-learning).

    Equals ``hard(1)`` and ``soft(1.0)`` step by step, without holding a second network.
    """
    return TargetUpdate(
        spec="tied", every=1, tau=1.0, tied=True, init=no_memory, watch=not_watching,
        due=lambda memory, clock: clock.age >= 1, move=_stay,
    )  # fmt: skip


def frozen() -> TargetUpdate:
    """Never moves: the target stays the random network it began as (a control; BYOL's table 5a, decay 1)."""
    return TargetUpdate(
        spec="frozen", every=0, tau=0.0, tied=False, init=no_memory, watch=not_watching,
        due=lambda memory, clock: clock.age < 0, move=_stay,
    )  # fmt: skip


def averaged(copies: int, every: int) -> TargetUpdate:
    """Keeps the last K snapshots, one taken every C gradient steps (Anschel, Baram & Shimkin 2017, algorithm 2).

    y = r + gamma max_a (1/K) sum_k Q(s', a; theta_k): the mean is of the snapshots' values, not of their parameters.
    The K snapshots begin as K copies of the first network. ``averaged(1, C)`` equals ``hard(C)``.

    Args:
      copies: K, at least 1.
      every: C, in gradient steps.
    """
    if not (is_count(copies) and is_count(every)):
        raise Refusal(
            "averaged:K:C keeps the last K snapshots, one every C gradient steps, and needs two whole numbers of at"
            f" least 1, not {copies} and {every}; write for example averaged:5:100"
        )
    return hard(every)._replace(spec=f"averaged:{copies}:{every}", copies=copies)


def last_layer(rule: TargetUpdate) -> TargetUpdate:
    """Gives a target to the last layer alone: the trunk is shared, the head follows by ``rule``.

    Vincent et al. (2025, "Bridging the performance gap between target-free and target-based reinforcement learning",
    arXiv:2506.04398), iS-DQN with K = 1: Qbar(s, a) = head_target(trunk_online(s))[a], behind a stop-gradient.

    Args:
      rule: how the head follows; one with a second network of its own.
    """
    if rule.tied or rule.parts or rule.shift is not None:
        raise Refusal(
            "last-layer:SPEC gives only the last layer a target, and needs a target update with a second network, not"
            f" {rule.spec}; write for example last-layer:hard:500"
        )
    return rule._replace(spec=f"last-layer:{rule.spec}", parts=("head",))


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_fraction(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and (0.0 <= value <= 0.5 or value == 1.0)


def instead_of(tau: Any, example: str) -> str:
    """What to write where ``tau`` is not a fraction moved: its complement, if it looks like the fraction kept."""
    if isinstance(tau, (int, float)) and 0.5 < tau < 1.0:
        return f"if {tau:g} is the fraction kept, write {example.partition(':')[0]}:{1 - tau:.6g}"
    return f"write for example {example}"


def mixed(tau: float | Array, online: PyTree, target: PyTree) -> PyTree:
    import jax
    import jax.numpy as jnp

    def mix(new: Array, old: Array) -> Array:
        if not jnp.issubdtype(jnp.result_type(new), jnp.inexact):
            return new  # a counter has no way half-way
        return tau * new + (1.0 - tau) * old

    return jax.tree.map(mix, online, target)
