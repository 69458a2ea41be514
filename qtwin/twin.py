"""THE TWO NETWORKS: the online one learns, its target twin only ever follows."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal, one_of
from qtwin.target_update.rules import TargetUpdate
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
      target_variables: the target's variables as they are kept; None when the twins are tied. Read `target` instead.
      stats_policy: what becomes of the target's batch-norm statistics, a key of ``STATS_POLICIES``.
      parts: the parts of the network that the target holds, the others being tied; () is all of it.
      sibling_variables: the variables of a second target as they are kept; None where there is none, or it is tied.
        Read `sibling` instead.
      sibling_parts: the parts of the network that this second target holds.
      older: the target's variables as they were after each of its moves before the last, newest first, where its rule
        keeps more than one copy. Read `targets` instead.
    """

    online: Variables
    target_variables: Variables | None
    stats_policy: str = dataclasses.field(default="copied", metadata={"static": True})
    parts: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})
    sibling_variables: Variables | None = None
    sibling_parts: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})
    older: tuple[Variables, ...] = ()

    @property
    def follower(self) -> Variables | None:
        """The old name of ``target_variables``; it goes with the next minor release."""
        import warnings

        warnings.warn("Twin.follower is now Twin.target_variables", DeprecationWarning, stacklevel=2)
        return self.target_variables

    @property
    def target(self) -> Variables:
        """The target network's variables, behind a stop-gradient."""
        if self.target_variables is None:
            return jax.lax.stop_gradient(self.online)
        stats = _pick(self.online.stats, self.parts) if self.stats_policy == "shared" else self.target_variables.stats
        params = self.target_variables.params
        if self.parts:
            params, stats = {**self.online.params, **params}, {**self.online.stats, **stats}
        return jax.lax.stop_gradient(Variables(params, stats))

    @property
    def targets(self) -> tuple[Variables, ...]:
        """Every copy that the target's rule keeps, newest first; one for all rules but ``averaged``."""
        return (self.target, *[dataclasses.replace(self, target_variables=one).target for one in self.older])

    @property
    def sibling(self) -> Variables:
        """The second target's variables (`qtwin.twin.Sibling`), behind a stop-gradient."""
        return self._with_sibling_as_target().target

    def part(self, name: str) -> Twin:
        """The twin of one of several networks that stand side by side, ``params = {"q": ..., "model": ...}``."""
        target_variables = None if self.target_variables is None else self.target_variables.part(name)
        older = tuple(one.part(name) for one in self.older)
        return Twin(self.online.part(name), target_variables, self.stats_policy, older=older)

    def learn(self, online: Variables, target_stats: PyTree = None) -> Twin:
        """The twin after a gradient step: the online network is replaced, the target's parameters stay as they are."""
        target_variables = self.target_variables
        if target_variables is not None and self.stats_policy == "own" and target_stats is not None:
            target_variables = Variables(target_variables.params, _pick(target_stats, self.parts))
        return dataclasses.replace(self, online=online, target_variables=target_variables)

    def follow(self, rule: TargetUpdate, memory: PyTree) -> tuple[PyTree, Twin]:
        """The twin after a move of the target by ``rule``, and what the rule carries on."""
        if self.target_variables is None:
            return rule.move(memory, None, None)[0], self
        online, older = self.online, self.older
        moved, params = rule.move(memory, _pick(online.params, self.parts), self.target_variables.params)
        if rule.shift is not None:
            online = Variables(rule.shift(memory, online.params), online.stats)
        if rule.copies > 1:
            older = (self.target_variables, *older)[: rule.copies - 1]
        match self.stats_policy:
            case "copied":
                stats = _pick(self.online.stats, self.parts)
            case "mixed":
                stats = rule.move(memory, _pick(self.online.stats, self.parts), self.target_variables.stats)[1]
            case _:
                stats = self.target_variables.stats
        return moved, dataclasses.replace(self, online=online, target_variables=Variables(params, stats), older=older)

    def sibling_follows(self, rule: TargetUpdate, memory: PyTree) -> tuple[PyTree, Twin]:
        """The twin after a move of its second target by ``rule``, and what the rule carries on."""
        memory, moved = self._with_sibling_as_target().follow(rule, memory)
        return memory, dataclasses.replace(self, sibling_variables=moved.target_variables)

    def _with_sibling_as_target(self) -> Twin:
        return dataclasses.replace(self, target_variables=self.sibling_variables, parts=self.sibling_parts, older=())


def twin(
    online: Variables,
    rule: TargetUpdate,
    stats_policy: str = "copied",
    parts: tuple[str, ...] = (),
    sibling: Sibling | None = None,
) -> Twin:
    """A new pair: the target starts as a copy of the online network, in buffers of its own.

    Args:
      online: the freshly initialised online network.
      rule: how the target will follow; a tied one holds no second network.
      stats_policy: what becomes of the target's batch-norm statistics: "copied", "mixed", "shared" or "own".
      parts: the parts of the network, ``("critic",)``, that have a target of their own; the target's other parts are
        the online network's. () is all of it.
      sibling: a second target, which starts as another copy.
    """
    one_of("batch-norm policy", stats_policy, STATS_POLICIES)
    parts = _parts_of(online, rule, parts)
    older: tuple[Any, ...] = tuple(_copied(online, rule, parts) for _ in range(rule.copies - 1))
    pair = Twin(online, _copied(online, rule, parts), stats_policy, parts, older=older)
    if sibling is None:
        return pair
    second = _copied(online, sibling.rule, sibling.parts)
    return dataclasses.replace(pair, sibling_variables=second, sibling_parts=sibling.parts)


def _parts_of(online: Variables, rule: TargetUpdate, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts that have a target: the algorithm's, or those that the rule itself names."""
    if not rule.parts:
        return parts
    if parts or not set(rule.parts) < set(online.params):
        holds = f"has {', '.join(parts or online.params)}"
        raise Refusal(
            f"the target update '{rule.spec}' asks for a network with a head, and this one {holds}; write"
            f" {rule.spec.partition(':')[2]}"
        )
    return rule.parts


def _copied(online: Variables, rule: TargetUpdate, parts: tuple[str, ...]) -> Variables | None:
    if rule.tied:
        return None
    kept = Variables(_pick(online.params, parts), _pick(online.stats, parts))
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), kept)


def _pick(tree: PyTree, parts: tuple[str, ...]) -> PyTree:
    """The branches of ``tree`` that have a target twin."""
    return {name: tree[name] for name in parts if name in tree} if parts else tree


def distance(pair: Twin) -> Any:
    """Relative L2 distance of the twins' parameters, |theta - thetabar| / |theta|, over the parts that have two. []"""
    size = sum(jnp.sum(o**2) for o in jax.tree.leaves(_pick(pair.online.params, pair.parts)))
    return jnp.sqrt(squared_distance(pair)) / jnp.maximum(jnp.sqrt(size), 1e-12)


def squared_distance(pair: Twin) -> Any:
    """|theta - thetabar|^2 over the parts that have two. []"""
    online, target = _pick(pair.online.params, pair.parts), _pick(pair.target.params, pair.parts)
    return sum(jnp.sum((o - t) ** 2) for o, t in zip(jax.tree.leaves(online), jax.tree.leaves(target), strict=True))


class Sibling(NamedTuple):
    """A second target of the same online network, with a rule of its own.

    A loss that stands beside the regression, self-prediction, may want its reference to follow at another pace than the
    TD target. In the loss it is ``twin.sibling``, behind a stop-gradient as ``twin.target`` is.

    Attributes:
      parts: the parts of the network that it holds, ``("q", "projector")``; its other parts are tied to the online
        network's. () is all of it.
      rule: how it follows; any but ``until``, which watches the regression.
    """

    parts: tuple[str, ...]
    rule: TargetUpdate
