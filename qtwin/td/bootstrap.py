"""Bootstraps: how the TD target uses the two networks, for all agents with action values.

How the target network is updated (process 2) and how the TD target uses it are independent choices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from qtwin.config.bootstrap_specs import REGULARISERS, parse, parse_regulariser
from qtwin.nets.net import Net
from qtwin.records import imported
from qtwin.td import targets
from qtwin.twin import Twin, squared_distance
from qtwin.types import Array, Transition


def target_values(net: Net, twin: Twin, obs: Array, key: Array | None = None) -> Array:
    """Qbar(obs): the output of the target network; for a target with several copies, the mean of their outputs.

    Args:
      net: the network.
      twin: the online and the target network.
      obs: [B, *obs_shape]
      key: for the noise of a noisy network (NoisyNet); None evaluates it without noise.

    Returns:
      the output of ``net.apply``, behind a stop-gradient. [B, A]
    """
    values = [net.apply(copy, obs) if key is None else net.drawn(copy, obs, key) for copy in twin.targets]
    return stop_gradient(sum(values) / len(values) if len(values) > 1 else values[0])


class Values(NamedTuple):
    """The inputs of a bootstrap: a batch, and the two networks' values for it, computed on demand.

    Attributes:
      net: the network, obs [B, ...] -> values [B, A].
      twin: the online and the target network.
      batch: the transitions.
      key: for random choices; the networks' noise uses separate keys derived from it.
    """

    net: Net
    twin: Twin
    batch: Transition
    key: Array

    def target(self) -> Array:
        """Qbar(s'). [B, A]"""
        return target_values(self.net, self.twin, self.batch.next_obs, self._noise(0))

    def online(self) -> Array:
        """Q(s'), with its gradient. [B, A]"""
        return self.net.drawn(self.twin.online, self.batch.next_obs, self._noise(1))

    def target_here(self) -> Array:
        """Qbar(s). [B, A]"""
        return target_values(self.net, self.twin, self.batch.obs, self._noise(2))

    def _noise(self, which: int) -> Array:
        return jax.random.split(jax.random.fold_in(self.key, 1), 3)[which]  # separate from layers and minto

    @property
    def paid(self) -> tuple[Array, Array]:
        """Reward and discount. 2 x [B]"""
        return self.batch.reward, self.batch.discount


def bootstrap(spec: str, net: Net) -> Callable[[Twin, Transition, Array], Array]:
    """``(twin, batch, key) -> y [B]``: the TD target by name (`qtwin.config.bootstrap_specs.BOOTSTRAPS`).

    No gradient passes through y, except with ``residual``.

    Args:
      spec: ``max``, ``double``, ``minto``, ``mellowmax:5``, ...; all except ``maxmin``, which agents implement
        themselves.
      net: the network, obs [B, ...] -> values [B, A].
    """
    choice = parse(spec)
    use = imported(choice.info.build)
    return lambda twin, batch, key: use(Values(net, twin, batch, key), *choice.numbers)


def greedy(v: Values) -> Array:
    return targets.max_target(*v.paid, v.target())


def double(v: Values) -> Array:
    return targets.double_target(*v.paid, v.target(), v.online())


def inverse_double(v: Values) -> Array:
    return targets.double_target(*v.paid, v.online(), v.target())


def online(v: Values) -> Array:
    return targets.max_target(*v.paid, v.online())


def residual(v: Values) -> Array:
    return targets.residual_target(*v.paid, v.online())


def mellowmax(v: Values, sharpness: float) -> Array:
    return targets.mellowmax_target(*v.paid, v.target(), sharpness)


def munchausen(v: Values, *numbers: float) -> Array:
    here = v.target_here()
    return targets.munchausen_target(*v.paid, v.target(), here, v.batch.action, *numbers)


def minto(v: Values, which: str = "min") -> Array:
    return targets.minto_target(*v.paid, v.target(), v.online(), which, v.key)


def minto_max(v: Values) -> Array:
    return minto(v, "max")


def minto_mean(v: Values) -> Array:
    return minto(v, "mean")


def minto_random(v: Values) -> Array:
    return minto(v, "random")


def make_regulariser(spec: str, net: Net) -> Callable[[Twin, Transition, Array], Array]:
    """``(twin, batch, q [B]) -> loss []``: a term added to the loss (`qtwin.config.bootstrap_specs.REGULARISERS`).

    Args:
      spec: ``none``, ``functional:KAPPA`` or ``proximal:C``.
      net: the network, obs [B, ...] -> values [B, A].
    """
    choice = parse_regulariser(spec)
    added = imported(REGULARISERS[choice.kind].build)
    return lambda twin, batch, q: added(choice.strength, net, twin, batch, q)


def nothing(strength: float, net: Net, twin: Twin, batch: Transition, q: Array) -> float:
    del strength, net, twin, batch, q
    return 0.0


def functional(strength: float, net: Net, twin: Twin, batch: Transition, q: Array) -> Array:
    """(kappa / 2) E (Q - Qbar)(s, a)^2 (Piche et al. 2021, arXiv:2106.02613, equation 4)."""
    held = targets.q_of_action(target_values(net, twin, batch.obs), batch.action)
    return strength / 2 * jnp.mean((q - held) ** 2)


def proximal(strength: float, net: Net, twin: Twin, batch: Transition, q: Array) -> Array:
    """|theta - thetabar|^2 / (2 c) (Asadi et al. 2022, "Faster deep RL with slower online network", section 4)."""
    del net, batch, q
    return squared_distance(twin) / (2 * strength)
