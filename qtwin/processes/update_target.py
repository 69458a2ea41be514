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
      every: gradient steps between two moves; 0 if it never moves; the most there can be for ``until``.
      tau: the fraction of the way to the online network that one move goes, the first one if ``falls``; 1 copies.
      tied: the target *is* the online network behind a stop-gradient; no second network is held.
      init: ``params -> memory``: what the rule carries from one gradient step to the next.
      watch: ``(memory, loss []) -> memory``: told of every gradient step.
      due: ``(memory, clock) -> bool []``: is the target to move now?
      move: ``(memory, online, target) -> (memory, target)``: the move.
      falls: tau falls to nothing in the course of the run, so that no mean age can be given.
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

    @property
    def mean_age(self) -> float:
        """Mean age of what the target knows, in gradient steps (FACTS: (C-1)/2 for hard, (1-tau)/tau for soft)."""
        if self.tied:
            return 0.0
        if self.every == 0 or self.tau == 0.0 or self.falls:
            return math.inf
        return self.every * (1.0 - self.tau) / self.tau + (self.every - 1) / 2.0

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


def _no_memory(params: PyTree) -> PyTree:
    del params
    return ()


def _not_watching(memory: PyTree, loss: Array) -> PyTree:
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
    """
    if not _is_count(every):
        raise Refusal(
            f"hard:C copies the target every C gradient steps and needs a whole number C of at least 1, not {every};"
            " write for example hard:500"
        )
    return TargetUpdate(
        spec=f"hard:{every}", every=every, tau=1.0, tied=False, init=_no_memory, watch=_not_watching,
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
    """
    if not _is_fraction(tau):
        hint = "write for example soft:0.005"
        if isinstance(tau, (int, float)) and 0.5 < tau < 1.0:
            hint = f"if {tau:g} is the fraction kept, write soft:{1 - tau:.6g}"
        raise Refusal(
            f"soft:TAU moves the fraction TAU of the way to the online network and needs TAU between 0 and 0.5,"
            f" or 1 to copy, not {tau}; {hint}"
        )
    if not _is_count(every):
        raise Refusal(
            f"soft:TAU/EVERY needs a whole number of gradient steps of at least 1 after the slash, not {every};"
            " write for example soft:0.005/10"
        )
    tau = float(tau)

    def move(memory: PyTree, online: PyTree, target: PyTree) -> tuple[PyTree, PyTree]:
        return memory, _mixed(tau, online, target)

    spec = f"soft:{tau:g}" + (f"/{every}" if every != 1 else "")
    return TargetUpdate(
        spec=spec, every=every, tau=tau, tied=False, init=_no_memory, watch=_not_watching,
        due=lambda memory, clock: clock.age >= every, move=move if tau > 0.0 else _stay,
    )  # fmt: skip


def cosine(tau: float, gradient_steps: int) -> TargetUpdate:
    """Moves a fraction that falls from ``tau`` to 0 along a cosine (BYOL, Grill et al. 2020, section 3.2).

    tau_k = tau (cos(pi k / K) + 1) / 2 after k of K gradient steps. The paper writes the fraction kept,
    1 - (1 - 0.996) (cos(pi k / K) + 1) / 2.

    Args:
      tau: the fraction moved to begin with, in [0, 0.5] or 1, as for `soft`.
      gradient_steps: K, the length of the run; afterwards the target stays.
    """
    if not _is_fraction(tau):
        hint = "write for example cosine:0.004"
        if isinstance(tau, (int, float)) and 0.5 < tau < 1.0:
            hint = f"if {tau:g} is the fraction kept, write cosine:{1 - tau:.6g}"
        raise Refusal(
            f"cosine:TAU[/K] moves a fraction that falls from TAU to 0 and needs TAU between 0 and 0.5, or 1, not"
            f" {tau}; {hint}"
        )
    if not _is_count(gradient_steps):
        raise Refusal(
            f"cosine:TAU/K needs a whole number K of gradient steps of at least 1, not {gradient_steps}; write for"
            " example cosine:0.004/10000"
        )
    tau = float(tau)

    def move(moves: Array, online: PyTree, target: PyTree) -> tuple[Array, PyTree]:
        import jax.numpy as jnp

        share = jnp.minimum(moves, gradient_steps) / gradient_steps
        return moves + 1, _mixed(tau * (jnp.cos(jnp.pi * share) + 1.0) / 2.0, online, target)

    def init(params: PyTree) -> Array:
        import jax.numpy as jnp

        del params
        return jnp.int32(0)

    return TargetUpdate(
        spec=f"cosine:{tau:g}/{gradient_steps}", every=1, tau=tau, tied=False, init=init, watch=_not_watching,
        due=lambda memory, clock: clock.age >= 1, move=move, falls=True,
    )  # fmt: skip


def tied() -> TargetUpdate:
    """The target is the online network behind a stop-gradient (SimSiam, Chen & He 2021; online Q-learning).

    Equals ``hard(1)`` and ``soft(1.0)`` step by step, without holding a second network.
    """
    return TargetUpdate(
        spec="tied", every=1, tau=1.0, tied=True, init=_no_memory, watch=_not_watching,
        due=lambda memory, clock: clock.age >= 1, move=_stay,
    )  # fmt: skip


def frozen() -> TargetUpdate:
    """Never moves: the target stays the random network it began as (a control; BYOL's table 5a, decay 1)."""
    return TargetUpdate(
        spec="frozen", every=0, tau=0.0, tied=False, init=_no_memory, watch=_not_watching,
        due=lambda memory, clock: clock.age < 0, move=_stay,
    )  # fmt: skip


class Fit(NamedTuple):
    """How far the current regression has come; what `until_converged` carries.

    Attributes:
      window_sum: sum of the losses in the window under way. []
      window_steps: gradient steps in it. [] int32
      previous: mean loss of the window before, infinite until there is one. []
      converged: the last full window improved on the one before by less than the tolerance. [] bool
    """

    window_sum: Array
    window_steps: Array
    previous: Array
    converged: Array


def until_converged(tolerance: float, at_most: int, window: int = 100) -> TargetUpdate:
    """Copies when the regression has converged: fitted Q-iteration (Ernst et al. 2005; Riedmiller 2005).

    The regression towards the present target counts as converged when the mean loss over ``window`` gradient steps is
    not below ``1 - tolerance`` times the mean loss over the window before; or after ``at_most`` gradient steps.

    Args:
      tolerance: the relative improvement from window to window under which to stop, in (0, 1).
      at_most: gradient steps after which the target moves in any case.
      window: gradient steps over which a loss is averaged.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0.0 < tolerance < 1.0:
        raise Refusal(
            f"until:TOLERANCE/N copies the target when the loss improves by less than TOLERANCE and needs TOLERANCE"
            f" between 0 and 1, not {tolerance}; write for example until:0.01/2000"
        )
    if not _is_count(at_most):
        raise Refusal(
            f"until:TOLERANCE/N needs a whole number N of gradient steps of at least 1 after the slash, not {at_most};"
            " write for example until:0.01/2000"
        )
    if not _is_count(window):
        raise Refusal(f"the window of until_converged is a whole number of gradient steps of at least 1, not {window}")

    def fresh() -> Fit:
        import jax.numpy as jnp

        return Fit(jnp.float32(0.0), jnp.int32(0), jnp.float32(jnp.inf), jnp.bool_(False))

    def watch(fit: Fit, loss: Array) -> Fit:
        import jax.numpy as jnp

        total, steps = fit.window_sum + loss, fit.window_steps + 1
        full = steps >= window
        mean = total / steps
        # "Not below" rather than "above": a loss that has reached zero has nothing left to gain.
        stalled = ~(mean < (1.0 - tolerance) * fit.previous)
        return Fit(
            window_sum=jnp.where(full, 0.0, total),
            window_steps=jnp.where(full, 0, steps),
            previous=jnp.where(full, mean, fit.previous),
            converged=full & stalled & jnp.isfinite(fit.previous),
        )

    def move(fit: Fit, online: PyTree, target: PyTree) -> tuple[Fit, PyTree]:
        del fit, target
        return fresh(), online

    return TargetUpdate(
        spec=f"until:{tolerance:g}/{at_most}", every=at_most, tau=1.0, tied=False,
        init=lambda params: fresh(), watch=watch,
        due=lambda fit, clock: fit.converged | (clock.age >= at_most), move=move,
    )  # fmt: skip


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_fraction(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and (0.0 <= value <= 0.5 or value == 1.0)


def _mixed(tau: float | Array, online: PyTree, target: PyTree) -> PyTree:
    import jax
    import jax.numpy as jnp

    def mix(new: Array, old: Array) -> Array:
        if not jnp.issubdtype(jnp.result_type(new), jnp.inexact):
            return new  # a counter has no way half-way
        return tau * new + (1.0 - tau) * old

    return jax.tree.map(mix, online, target)
