"""NETWORK: what an agent's network gives for each action, brought to action values."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import distribution_network, quantile_network
from qtwin.nets.describe import Gives
from qtwin.nets.net import Net
from qtwin.td import distributions
from qtwin.types import Array, Variables


def of_values(env: EnvSpec, name: str, gives: Gives, normalise: str) -> Net:
    """A network whose ``apply`` gives action values, obs [B, *obs_shape] -> [B, A], of one that gives more of them.

    Args:
      env, name, normalise: as `qtwin.nets.build.q_network`'s.
      gives: what it gives for each action; not "".
    """
    if gives.kind == "fractions":
        net, tau = quantile_network(env, name, normalise=normalise), distributions.midpoints(gives.count)

        def at_all(variables: Variables, obs: Array) -> Array:
            each = jnp.broadcast_to(tau[None, :], (obs.shape[0], gives.count))
            return jnp.mean(net.apply(variables, (obs, each)), axis=1)

        return net._replace(apply=at_all)
    net = distribution_network(env, name, gives.count, normalise=normalise)
    match gives.kind:
        case "atoms":
            z = distributions.atoms_of(gives.support, gives.count)
        case "classes":
            z = distributions.classes_of(gives.support, gives.count)[1]
        case _:
            z = None

    def values(variables: Variables, obs: Array) -> Array:
        out = net.apply(variables, obs)
        return jnp.mean(out, axis=-1) if z is None else distributions.mean_of(jax.nn.softmax(out), z)

    return net._replace(apply=values)
