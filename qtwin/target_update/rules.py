"""PROCESS 2: the rules that update the target network.

Each rule is a small tuple of pure functions, like an optax gradient transformation. A rule never sees a network, only
two pytrees of the same structure. It is called after every gradient step, and decides whether the target is updated now
and to which value. tau is always the fraction moved: 1 copies.

JAX is imported inside the functions that need it, so that specs and rates can be computed without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from qtwin.errors import Refusal
from qtwin.types import Array, Clock, PyTree


class TargetUpdate(NamedTuple):
    """A rule that updates a target network from its online network.

    Attributes:
      spec: its name on the command line, for example ``hard:500``.
      every: gradient steps between two updates; 1 for every gradient step, whatever ``due`` returns; 0 for never; the
        maximum if ``shared_clock`` is False.
      tau: the fraction of the way to the online network that an update moves, for the first one if ``falls``; 1 copies.
      tied: the target *is* the online network behind a stop-gradient; there is no second network.
      init: ``params -> memory``: the state that the rule carries from one gradient step to the next.
      watch: ``(memory, loss []) -> memory``: called after every gradient step.
      due: ``(memory, clock) -> bool []``: whether the target is updated now.
      move: ``(memory, online, target) -> (memory, target)``: the update.
      falls: the rule has no mean age: tau decays to 0, the period grows, or several networks form a chain.
      copies: number of the latest snapshots that the twin keeps; a TD target uses the mean of their values.
      parts: the parts of the network that have a target, if the rule decides this (``last_layer``); () leaves it to the
        algorithm.
      counts: ``gradient steps -> updates`` for a rule without a constant period; returns None if the number depends on
        the regression.
      shift: ``(memory, online) -> online`` for a rule that updates the online networks too (``chain``).
      row: K for a rule of K networks that learn in parallel, the parts "0" ... "K-1" of one network, of which the last
        acts; 0 for a rule of one network.
      shared_clock: updates are due at the same gradient steps for every seed. False if this depends on the regression
        (``until_converged``): each seed then has its own clock, and `moves_in` returns None.
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
        """Mean age of the target's parameters, in gradient steps: (C-1)/2 for hard, (1-tau)/tau for soft."""
        if self.tied:
            return 0.0
        if self.every == 0 or self.tau == 0.0 or self.falls:
            return math.inf
        newest = self.every * (1.0 - self.tau) / self.tau + (self.every - 1) / 2.0
        return newest + self.every * (self.copies - 1) / 2.0

    def age_at(self, gradient_steps: int, since_move: int) -> float | None:
        """Mean age of the target's parameters at one moment, in gradient steps; None if the rule defines none.

        Args:
          gradient_steps: gradient steps so far.
          since_move: gradient steps since the last update of the target.
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
        """Number of target updates in ``gradient_steps`` gradient steps; None if it depends on the regression."""
        if self.counts is not None:
            return self.counts(gradient_steps)
        return gradient_steps // self.every if self.every else 0

    @property
    def half_life(self) -> float | None:
        """Half-life of a soft target's parameters, in gradient steps; None for a target that is copied.

        ``every * ln(1/2) / ln(1 - tau)``, which is close to ``ln 2 / tau`` for small tau.
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
    """Copies the online network every C gradient steps (Mnih et al. 2015, algorithm 1: "every C steps").

    Args:
      every: C, in gradient steps, at least 1. ``hard(1)`` equals `tied`.

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

    target <- (1 - tau) target + tau online. BYOL uses the same moving average (Grill et al. 2020, equation 1), there
    written with the fraction kept.

    Args:
      tau: the fraction *moved*, in [0, 0.5] or exactly 1. Values in between are refused: some libraries use the
        fraction kept, and 0.995 is nearly always meant to be 0.005.
      every: gradient steps between two updates, at least 1.

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

    Equals ``hard(1)`` and ``soft(1.0)`` at every gradient step, without a second network.
    """
    return TargetUpdate(
        spec="tied", every=1, tau=1.0, tied=True, init=no_memory, watch=not_watching,
        due=lambda memory, clock: clock.age >= 1, move=_stay,
    )  # fmt: skip


def frozen() -> TargetUpdate:
    """Never updated: the target stays the randomly initialised network (a control; BYOL's table 5a, decay 1)."""
    return TargetUpdate(
        spec="frozen", every=0, tau=0.0, tied=False, init=no_memory, watch=not_watching,
        due=lambda memory, clock: clock.age < 0, move=_stay,
    )  # fmt: skip


def averaged(copies: int, every: int) -> TargetUpdate:
    """Keeps the last K snapshots, one taken every C gradient steps (Anschel, Baram & Shimkin 2017, algorithm 2).

    y = r + gamma max_a (1/K) sum_k Q(s', a; theta_k): the mean of the snapshots' values, not of their parameters.
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
    """A target for the last layer only: the other layers are shared, the last layer is updated by ``rule``.

    Vincent et al. (2025, "Bridging the performance gap between target-free and target-based reinforcement learning",
    arXiv:2506.04398), iS-DQN with K = 1: Qbar(s, a) = head_target(trunk_online(s))[a], behind a stop-gradient.

    Args:
      rule: updates the last layer's target; it must have a second network.
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
    """What to write instead of an invalid ``tau``: its complement, if it looks like the fraction kept."""
    if isinstance(tau, (int, float)) and 0.5 < tau < 1.0:
        return f"if {tau:g} is the fraction kept, write {example.partition(':')[0]}:{1 - tau:.6g}"
    return f"write for example {example}"


def mixed(tau: float | Array, online: PyTree, target: PyTree) -> PyTree:
    import jax
    import jax.numpy as jnp

    def mix(new: Array, old: Array) -> Array:
        if not jnp.issubdtype(jnp.result_type(new), jnp.inexact):
            return new  # integers, such as counters, are copied
        return tau * new + (1.0 - tau) * old

    return jax.tree.map(mix, online, target)
