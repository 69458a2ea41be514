"""Several networks of one structure, side by side."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.nets.net import Net
from qtwin.types import Array, PyTree, Variables


def ensemble(net: Net, members: int) -> Net:
    """``members`` networks, each with weights of its own: their outputs [B, ...] stacked to [E, B, ...].

    Their parameters stand side by side by name ("0", "1", ...) rather than along an axis: on the CPU E matrix products
    are quicker than one batched product.
    """
    names = [str(member) for member in range(members)]

    def each(variables: Variables) -> list[Variables]:
        return [variables.part(name) for name in names]

    def init(key: Array) -> Variables:
        made = [net.init(k) for k in jax.random.split(key, members)]
        stats = {name: v.stats for name, v in zip(names, made, strict=True) if jax.tree.leaves(v.stats)}
        return Variables({name: v.params for name, v in zip(names, made, strict=True)}, stats)

    def apply(variables: Variables, inputs: Array) -> Array:
        return jnp.stack([net.apply(v, inputs) for v in each(variables)])

    def learn(variables: Variables, inputs: Array, key: Array) -> tuple[Array, PyTree]:
        keys = jax.random.split(key, members)
        outs, stats = zip(*[net.learn(v, inputs, k) for v, k in zip(each(variables), keys, strict=True)], strict=True)
        return jnp.stack(outs), {name: s for name, s in zip(names, stats, strict=True) if jax.tree.leaves(s)}

    return Net(init, apply, learn)
