"""What a TD target makes of the two networks, for every agent that compares actions by their values.

How the target follows (process 2) and how it is used here are two choices, independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from qtwin.config.bootstrap_specs import parse, parse_regulariser
from qtwin.nets.net import Net
from qtwin.td import targets
from qtwin.twin import Twin, squared_distance
from qtwin.types import Array, Transition


def target_values(net: Net, twin: Twin, obs: Array, key: Array | None = None) -> Array:
    """Qbar(obs): what the target network says; of a target that keeps several copies the mean of what they say.

    Args:
      net: the network.
      twin: the two.
      obs: [B, *obs_shape]
      key: of the noise, where the network has some (NoisyNet); None leaves it out.

    Returns:
      [B, A], as ``net.apply`` does, behind a stop-gradient.
    """
    values = [net.apply(copy, obs) if key is None else net.drawn(copy, obs, key) for copy in twin.targets]
    return stop_gradient(sum(values) / len(values) if len(values) > 1 else values[0])


def bootstrap(spec: str, net: Net) -> Callable[[Twin, Transition, Array], Array]:
    """``(twin, batch, key) -> y [B]``: the TD target by name (`qtwin.config.bootstrap_specs.BOOTSTRAPS`).

    No gradient passes through y but for ``residual``.

    Args:
      spec: ``max``, ``double``, ``minto``, ``mellowmax:5``, ...; all but ``maxmin``, which is an agent's own.
      net: the network, obs [B, ...] -> values [B, A].
    """
    choice = parse(spec)

    def y(twin: Twin, batch: Transition, key: Array) -> Array:
        reward, discount = batch.reward, batch.discount
        noise = jax.random.split(jax.random.fold_in(key, 1), 3)  # apart from what the layers and minto draw

        def target(twin: Twin, batch: Transition) -> Array:
            return target_values(net, twin, batch.next_obs, noise[0])

        def online(twin: Twin, batch: Transition) -> Array:
            return net.drawn(twin.online, batch.next_obs, noise[1])

        match choice.kind:
            case "max":
                return targets.max_target(reward, discount, target(twin, batch))
            case "double":
                return targets.double_target(reward, discount, target(twin, batch), online(twin, batch))
            case "inverse-double":
                return targets.double_target(reward, discount, online(twin, batch), target(twin, batch))
            case "online":
                return targets.max_target(reward, discount, online(twin, batch))
            case "residual":
                return targets.residual_target(reward, discount, online(twin, batch))
            case "mellowmax":
                return targets.mellowmax_target(reward, discount, target(twin, batch), *choice.numbers)
            case "munchausen":
                here = target_values(net, twin, batch.obs, noise[2])
                return targets.munchausen_target(
                    reward, discount, target(twin, batch), here, batch.action, *choice.numbers
                )
            case _:
                both = target(twin, batch), online(twin, batch)
                return targets.minto_target(reward, discount, *both, choice.kind.partition(":")[2] or "min", key)

    return y


def regulariser(spec: str, net: Net) -> Callable[[Twin, Transition, Array], Array]:
    """``(twin, batch, q [B]) -> loss []``: what is added to a loss (`qtwin.config.bootstrap_specs.REGULARISERS`).

    Args:
      spec: ``none``, ``functional:KAPPA`` or ``proximal:C``.
      net: the network, obs [B, ...] -> values [B, A].
    """
    choice = parse_regulariser(spec)

    def functional(twin: Twin, batch: Transition, q: Array) -> Array:
        """(kappa / 2) E (Q - Qbar)(s, a)^2 (Piche et al. 2021, arXiv:2106.02613, equation 4)."""
        held = targets.taken(target_values(net, twin, batch.obs), batch.action)
        return choice.strength / 2 * jnp.mean((q - held) ** 2)

    def proximal(twin: Twin, batch: Transition, q: Array) -> Array:
        """|theta - thetabar|^2 / (2 c) (Asadi et al. 2022, "Faster deep RL with slower online network", section 4)."""
        del batch, q
        return squared_distance(twin) / (2 * choice.strength)

    return {"none": lambda twin, batch, q: 0.0, "functional": functional, "proximal": proximal}[choice.kind]
