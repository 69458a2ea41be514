"""PROCESS 2, continued: the rules with a state that they carry from one gradient step to the next."""

from __future__ import annotations

import math
from typing import NamedTuple

from qtwin.errors import Refusal
from qtwin.target_update.rules import TargetUpdate, instead_of, is_count, is_fraction, mixed, not_watching
from qtwin.types import Array, PyTree


def cosine(tau: float, gradient_steps: int) -> TargetUpdate:
    """Moves a fraction that decays from ``tau`` to 0 along a cosine (BYOL, Grill et al. 2020, section 3.2).

    tau_k = tau (cos(pi k / K) + 1) / 2 after k of K gradient steps. The paper writes the fraction kept,
    1 - (1 - 0.996) (cos(pi k / K) + 1) / 2.

    Args:
      tau: the initial fraction moved, in [0, 0.5] or 1, as for `soft`.
      gradient_steps: K, the length of the run; the target is constant afterwards.
    """
    if not is_fraction(tau):
        raise Refusal(
            f"cosine:TAU[/K] moves a fraction that falls from TAU to 0 and needs TAU between 0 and 0.5, or 1, not"
            f" {tau}; {instead_of(tau, 'cosine:0.004')}"
        )
    if not is_count(gradient_steps):
        raise Refusal(
            f"cosine:TAU/K needs a whole number K of gradient steps of at least 1, not {gradient_steps}; write for"
            " example cosine:0.004/10000"
        )
    tau = float(tau)

    def move(moves: Array, online: PyTree, target: PyTree) -> tuple[Array, PyTree]:
        import jax.numpy as jnp

        share = jnp.minimum(moves, gradient_steps) / gradient_steps
        return moves + 1, mixed(tau * (jnp.cos(jnp.pi * share) + 1.0) / 2.0, online, target)

    def init(params: PyTree) -> Array:
        import jax.numpy as jnp

        del params
        return jnp.int32(0)

    return TargetUpdate(
        spec=f"cosine:{tau:g}/{gradient_steps}", every=1, tau=tau, tied=False, init=init, watch=not_watching,
        due=lambda memory, clock: clock.age >= 1, move=move, falls=True,
    )  # fmt: skip


class Fit(NamedTuple):
    """Progress of the current regression, the state of `until_converged`.

    Attributes:
      window_sum: sum of the losses in the current window. []
      window_steps: gradient steps in the current window. [] int32
      previous: mean loss of the previous window, infinite before the first is full. []
      converged: whether the last full window improved on the one before by less than the tolerance. [] bool
    """

    window_sum: Array
    window_steps: Array
    previous: Array
    converged: Array


def until_converged(tolerance: float, at_most: int, window: int = 100) -> TargetUpdate:
    """Copies when the regression has converged: fitted Q-iteration (Ernst et al. 2005; Riedmiller 2005).

    The regression towards the current target has converged when the mean loss over ``window`` gradient steps is not
    below ``1 - tolerance`` times the mean loss over the previous window. The target is also updated after ``at_most``
    gradient steps.

    Args:
      tolerance: the relative improvement between windows below which the regression stops, in (0, 1).
      at_most: maximum number of gradient steps between two updates.
      window: gradient steps over which the loss is averaged.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0.0 < tolerance < 1.0:
        raise Refusal(
            f"until:TOLERANCE/N copies the target when the loss improves by less than TOLERANCE and needs TOLERANCE"
            f" between 0 and 1, not {tolerance}; write for example until:0.01/2000"
        )
    if not is_count(at_most):
        raise Refusal(
            f"until:TOLERANCE/N needs a whole number N of gradient steps of at least 1 after the slash, not {at_most};"
            " write for example until:0.01/2000"
        )
    if not is_count(window):
        raise Refusal(f"the window of until_converged is a whole number of gradient steps of at least 1, not {window}")

    def fresh() -> Fit:
        import jax.numpy as jnp

        return Fit(jnp.float32(0.0), jnp.int32(0), jnp.float32(jnp.inf), jnp.bool_(False))

    def watch(fit: Fit, loss: Array) -> Fit:
        import jax.numpy as jnp

        total, steps = fit.window_sum + loss, fit.window_steps + 1
        full = steps >= window
        mean = total / steps
        # "Not below" rather than "above", so that a loss of zero counts as converged.
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
        due=lambda fit, clock: fit.converged | (clock.age >= at_most), move=move, counts=lambda gradient_steps: None,
        shared_clock=False,
    )  # fmt: skip


def geometric(first: int, ratio: float) -> TargetUpdate:
    """Copies after growing periods, C_n = C_0 q^n: the closer to convergence, the longer the period.

    Each sweep of fitted Q-iteration reduces the error by the factor gamma, but the error of a regression of n steps
    falls more slowly, so later sweeps have to be longer for the same gain. ``ratio`` 1 equals ``hard``.

    Args:
      first: C_0, in gradient steps, at least 1.
      ratio: q, at least 1.
    """
    if not is_count(first):
        raise Refusal(
            f"geometric:C0:Q copies after C0 gradient steps, then after C0 Q, C0 Q^2, ... and needs a whole number C0"
            f" of at least 1, not {first}; write for example geometric:100:1.1"
        )
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 1.0 <= ratio <= 1e6:
        raise Refusal(
            f"geometric:C0:Q lets its period grow by the factor Q and needs Q of at least 1, not {ratio}; write for"
            " example geometric:100:1.1"
        )
    import numpy as np

    factor = np.float32(ratio)

    def init(params: PyTree) -> Array:
        import jax.numpy as jnp

        del params
        return jnp.float32(first)

    def move(period: Array, online: PyTree, target: PyTree) -> tuple[Array, PyTree]:
        del target
        return period * factor, online

    def counts(gradient_steps: int) -> int:
        moves, age_due, done = 0, np.float32(first), 0
        while True:
            done += math.ceil(min(age_due, 2.0**31))
            if done > gradient_steps:
                return moves
            moves, age_due = moves + 1, np.float32(age_due * factor)

    return TargetUpdate(
        spec=f"geometric:{first}:{ratio:g}", every=first, tau=1.0, tied=False, init=init, watch=not_watching,
        due=lambda period, clock: clock.age >= period, move=move, falls=ratio > 1,
        counts=counts if ratio > 1 else None,
    )  # fmt: skip


class Trust(NamedTuple):
    """The state of `t_soft` for one tensor of the network.

    Attributes:
      weight: W, the discounted sum of the weights so far. []
      scale: sigma squared, a running mean of the mean squared difference of online and target. []
    """

    weight: Array
    scale: Array


def t_soft(tau: float, nu: float = 1.0) -> TargetUpdate:
    """Soft updates that are smaller for tensors that have jumped (Kobayashi & Ilboudo 2021, arXiv:2008.10861).

    Per tensor, with D^2 the mean square of theta - thetabar: w = (nu + 1) / (nu + D^2 / sigma^2), tau_i = w / (W + w),
    thetabar <- (1 - tau_i) thetabar + tau_i theta, W <- (1 - tau)(W + w), and sigma^2 moves towards D^2 by
    tau w nu / (nu + 1). W is initialised to (1 - tau) / tau. With w = 1 this is ``soft:TAU``; w tends to 1 as nu grows.

    The paper does not state the initial sigma^2, and its code is not public; here it is the first D^2.

    Args:
      tau: the fraction moved for a usual difference (w = 1), above 0 and up to 0.5.
      nu: the degrees of freedom of Student's t; the smaller, the more robust.
    """
    if not is_fraction(tau) or not 0 < tau <= 0.5:
        raise Refusal(
            f"t-soft:TAU[:NU] moves about the fraction TAU of the way and needs TAU above 0 and up to 0.5, not {tau};"
            " write for example t-soft:0.005"
        )
    if isinstance(nu, bool) or not isinstance(nu, (int, float)) or not 0 < nu < math.inf:
        raise Refusal(f"t-soft:TAU:NU needs a number NU greater than 0, not {nu}; write for example t-soft:0.005:1")
    tau, nu = float(tau), float(nu)

    def init(params: PyTree) -> list[Trust]:
        import jax
        import jax.numpy as jnp

        return [Trust(jnp.float32((1.0 - tau) / tau), jnp.float32(0.0)) for _ in jax.tree.leaves(params)]

    def one(trust: Trust, new: Array, old: Array) -> tuple[Trust, Array]:
        import jax.numpy as jnp

        gap = jnp.mean((new - old) ** 2)
        scale = jnp.where(trust.scale > 0.0, trust.scale, gap)
        weight = (nu + 1.0) / (nu + gap / jnp.maximum(scale, 1e-30))
        tau_i = weight / (trust.weight + weight)
        tau_scale = tau * weight * nu / (nu + 1.0)
        after = Trust((1.0 - tau) * (trust.weight + weight), (1.0 - tau_scale) * scale + tau_scale * gap)
        return after, (1.0 - tau_i) * old + tau_i * new

    def move(memory: list[Trust], online: PyTree, target: PyTree) -> tuple[list[Trust], PyTree]:
        import jax

        leaves, structure = jax.tree.flatten(online)
        pairs = [one(t, new, old) for t, new, old in zip(memory, leaves, jax.tree.leaves(target), strict=True)]
        return [trust for trust, _ in pairs], jax.tree.unflatten(structure, [leaf for _, leaf in pairs])

    return TargetUpdate(
        spec=f"t-soft:{tau:g}" + (f":{nu:g}" if nu != 1.0 else ""), every=1, tau=tau, tied=False, init=init,
        watch=not_watching, due=lambda memory, clock: clock.age >= 1, move=move,
    )  # fmt: skip


def chain(networks: int, every: int, sync: int | None = None) -> TargetUpdate:
    """A chain of K networks, each learning from a target copy of the previous one (Vincent et al. 2025, i-QN).

    "Iterated Q-network: beyond one-step Bellman updates in deep reinforcement learning", arXiv:2403.02107, algorithm 1.
    Q_k regresses towards r + gamma max_a Qbar_{k-1}(s', a), so that K Bellman backups are learned at once. Every
    ``sync`` gradient steps thetabar_k <- theta_k for k = 1 ... K-1; every ``every`` the window shifts by one,
    thetabar_k <- theta_{k+1} for all k, then theta_k <- theta_{k+1}. ``chain(1, C, D)`` equals ``hard(C)``.

    Args:
      networks: K, at least 1. The parts "0" ... "K-1" of the network are Q_1 ... Q_K, those of the target
        Qbar_0 ... Qbar_{K-1}.
      every: gradient steps between two shifts of the window.
      sync: gradient steps between two updates of the inner targets; by default 30, or ``every`` if that is less.
    """
    if sync is None and isinstance(every, (int, float)):
        sync = min(30, every)
    if not (is_count(networks) and is_count(every) and is_count(sync)):
        raise Refusal(
            "chain:K:C/D holds K networks, shifts every C gradient steps, brings the inner targets up to date every D,"
            f" and needs whole numbers of at least 1, not {networks}, {every} and {sync}; write chain:5:500/30"
        )
    inner: int = every if networks == 1 else sync or every  # one network has no inner targets

    def init(params: PyTree) -> Array:
        import jax.numpy as jnp

        del params
        return jnp.int32(0)

    def move(steps: Array, online: PyTree, target: PyTree) -> tuple[Array, PyTree]:
        import jax
        import jax.numpy as jnp

        shifts = steps % every == 0
        moved = {"0": jax.tree.map(lambda new, old: jnp.where(shifts, new, old), online["0"], target["0"])}
        for k in range(1, networks):
            mine, before = online[str(k)], online[str(k - 1)]
            moved[str(k)] = jax.tree.map(lambda new, old: jnp.where(shifts, new, old), mine, before)
        return steps, moved

    def shift(steps: Array, online: PyTree) -> PyTree:
        import jax
        import jax.numpy as jnp

        shifts, last = steps % every == 0, str(networks - 1)
        following = {str(k): online[str(k + 1)] for k in range(networks - 1)} | {last: online[last]}
        return jax.tree.map(lambda new, old: jnp.where(shifts, new, old), following, online)

    return TargetUpdate(
        spec=f"chain:{networks}:{every}/{sync}", every=min(every, inner), tau=1.0, tied=False, init=init,
        watch=lambda steps, loss: steps + 1,
        due=lambda steps, clock: (steps % every == 0) | (steps % inner == 0), move=move, falls=networks > 1,
        shift=shift, row=networks,
        counts=lambda n: n // every + n // inner - n // math.lcm(every, inner),
    )  # fmt: skip
