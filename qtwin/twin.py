"""THE TWO NETWORKS: the online one learns, its target twin only ever follows."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from qtwin.errors import one_of
from qtwin.processes.update_target import TargetUpdate
from qtwin.types import PyTree, Variables

# What becomes of the target's batch-norm statistics. All four are in the wild, mostly by accident; here it has a name.
STATS_POLICIES = {
    "copied": "the online network's, as they were when the target last moved",
    "mixed": "moved by the same rule as the parameters (a soft target averages them)",
    "shared": "always the online network's present ones",
    "own": "gathered by the target's own passes, never moved",
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Twin:
    """Two networks of one structure: one gives a stable reference while the other learns.

    The target can only be read through `target`, which stands behind a stop-gradient: no loss, however it is
    written, can send a gradient into it.

    Attributes:
      online: the network that learns.
      follower: the target's variables as they are kept; None when the twins are tied. Read `target` instead.
      stats_policy: what becomes of the target's batch-norm statistics, a key of ``STATS_POLICIES``.
      parts: the parts of the network that the follower holds, the others being tied; () is all of it.
    """

    online: Variables
    follower: Variables | None
    stats_policy: str = dataclasses.field(default="copied", metadata={"static": True})
    parts: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    @property
    def target(self) -> Variables:
        """The target network's variables, behind a stop-gradient."""
        if self.follower is None:
            return jax.lax.stop_gradient(self.online)
        stats = _pick(self.online.stats, self.parts) if self.stats_policy == "shared" else self.follower.stats
        params = self.follower.params
        if self.parts:
            params, stats = {**self.online.params, **params}, {**self.online.stats, **stats}
        return jax.lax.stop_gradient(Variables(params, stats))

    def learn(self, online: Variables, target_stats: PyTree = None) -> Twin:
        """The twin after a gradient step: the online network is replaced, the target's parameters stay as they are."""
        follower = self.follower
        if follower is not None and self.stats_policy == "own" and target_stats is not None:
            follower = Variables(follower.params, _pick(target_stats, self.parts))
        return dataclasses.replace(self, online=online, follower=follower)

    def follow(self, rule: TargetUpdate, memory: PyTree) -> tuple[PyTree, Twin]:
        """The twin after a move of the target by ``rule``, and what the rule carries on."""
        if self.follower is None:
            return rule.move(memory, None, None)[0], self
        memory, params = rule.move(memory, _pick(self.online.params, self.parts), self.follower.params)
        match self.stats_policy:
            case "copied":
                stats = _pick(self.online.stats, self.parts)
            case "mixed":
                stats = rule.move(memory, _pick(self.online.stats, self.parts), self.follower.stats)[1]
            case _:
                stats = self.follower.stats
        return memory, dataclasses.replace(self, follower=Variables(params, stats))


def twin(online: Variables, rule: TargetUpdate, stats_policy: str = "copied", parts: tuple[str, ...] = ()) -> Twin:
    """A new pair: the target starts as a copy of the online network, in buffers of its own.

    Args:
      online: the freshly initialised online network.
      rule: how the target will follow; a tied one holds no second network.
      stats_policy: what becomes of the target's batch-norm statistics: "copied", "mixed", "shared" or "own".
      parts: the parts of the network, ``("critic",)``, that have a target of their own; the target's other parts are
        the online network's. () is all of it.
    """
    one_of("batch-norm policy", stats_policy, STATS_POLICIES)
    kept = Variables(_pick(online.params, parts), _pick(online.stats, parts))
    follower = None if rule.tied else jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), kept)
    return Twin(online, follower, stats_policy, parts)


def _pick(tree: PyTree, parts: tuple[str, ...]) -> PyTree:
    """The branches of ``tree`` that have a target twin."""
    return {name: tree[name] for name in parts if name in tree} if parts else tree


def distance(pair: Twin) -> Any:
    """Relative L2 distance of the twins' parameters, |theta - thetabar| / |theta|, over the parts that have two. []"""
    online, target = _pick(pair.online.params, pair.parts), _pick(pair.target.params, pair.parts)
    gap = sum(jnp.sum((o - t) ** 2) for o, t in zip(jax.tree.leaves(online), jax.tree.leaves(target), strict=True))
    size = sum(jnp.sum(o**2) for o in jax.tree.leaves(online))
    return jnp.sqrt(gap) / jnp.maximum(jnp.sqrt(size), 1e-12)
