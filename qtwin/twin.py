"""THE TWO NETWORKS: the online network, which is trained, and the target network, which is updated from it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qtwin.errors import Refusal, one_of
from qtwin.target_update.rules import TargetUpdate
from qtwin.types import PyTree, Variables

# How the target's batch-norm statistics are updated. Implementations use all four, mostly without saying so.
STATS_POLICIES = {
    "copied": "copied from the online network at each target update",
    "mixed": "updated by the same rule as the parameters (averaged by a soft target)",
    "shared": "always the current ones of the online network",
    "own": "computed in the target's own forward passes",
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Twin:
    """Two networks of the same structure: the online network is trained, the target network gives a stable reference.

    The target is read through `target`, which is behind a stop-gradient, so that no loss can send a gradient into it.

    Attributes:
      online: variables of the online network.
      target_variables: variables of the target as stored; None if the target is tied. Read `target` instead.
      stats_policy: how the target's batch-norm statistics are updated, a key of ``STATS_POLICIES``.
      parts: the parts of the network that have a target copy, the others being tied; () is all of them.
      sibling_variables: variables of a second target as stored; None if there is none, or if it is tied. Read `sibling`
        instead.
      sibling_parts: the parts of the network that the second target has copies of.
      older: the target's variables after earlier updates, newest first, for a rule that keeps several copies. Read
        `targets` instead.
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
        """Deprecated name of ``target_variables``, to be removed in the next minor release."""
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
        """All copies that the target's rule keeps, newest first; a single one for every rule except ``averaged``."""
        return (self.target, *[dataclasses.replace(self, target_variables=one).target for one in self.older])

    @property
    def sibling(self) -> Variables:
        """The second target's variables (`qtwin.twin.Sibling`), behind a stop-gradient."""
        return self._with_sibling_as_target().target

    def part(self, name: str) -> Twin:
        """The twin of one of several named networks, ``params = {"q": ..., "model": ...}``."""
        target_variables = None if self.target_variables is None else self.target_variables.part(name)
        older = tuple(one.part(name) for one in self.older)
        return Twin(self.online.part(name), target_variables, self.stats_policy, older=older)

    def learn(self, online: Variables, target_stats: PyTree = None) -> Twin:
        """The twin after a gradient step: a new online network, and unchanged target parameters."""
        target_variables = self.target_variables
        if target_variables is not None and self.stats_policy == "own" and target_stats is not None:
            target_variables = Variables(target_variables.params, _pick(target_stats, self.parts))
        return dataclasses.replace(self, online=online, target_variables=target_variables)

    def follow(self, rule: TargetUpdate, memory: PyTree) -> tuple[PyTree, Twin]:
        """Updates the target by ``rule``; returns the new state of the rule and the new twin."""
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
        """Updates the second target by ``rule``; returns the new state of the rule and the new twin."""
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
    """A new twin: the target is initialised as a copy of the online network, in separate buffers.

    Args:
      online: the initialised online network.
      rule: the target update; with ``tied`` there is no second network.
      stats_policy: how the target's batch-norm statistics are updated: "copied", "mixed", "shared" or "own".
      parts: the parts of the network that have a target copy, ``("critic",)``; the target's other parts are those of
        the online network. () is all of them.
      sibling: a second target, initialised as another copy.
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
    """The parts that have a target copy: those named by the rule, else those of the algorithm."""
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
    """The branches of ``tree`` named by ``parts``; all of them if ``parts`` is ()."""
    return {name: tree[name] for name in parts if name in tree} if parts else tree


def distance(pair: Twin) -> Any:
    """Relative L2 distance of the parameters, |theta - thetabar| / |theta|, over the parts with a target copy. []"""
    size = sum(jnp.sum(o**2) for o in jax.tree.leaves(_pick(pair.online.params, pair.parts)))
    return jnp.sqrt(squared_distance(pair)) / jnp.maximum(jnp.sqrt(size), 1e-12)


def squared_distance(pair: Twin) -> Any:
    """|theta - thetabar|^2 over the parts with a target copy. []"""
    online, target = _pick(pair.online.params, pair.parts), _pick(pair.target.params, pair.parts)
    return sum(jnp.sum((o - t) ** 2) for o, t in zip(jax.tree.leaves(online), jax.tree.leaves(target), strict=True))


class Sibling(NamedTuple):
    """A second target of the same online network, with a separate update rule.

    An auxiliary loss, such as self-prediction, may need a target that is updated at another rate than the TD target's.
    The loss reads it as ``twin.sibling``, which is behind a stop-gradient like ``twin.target``.

    Attributes:
      parts: the parts of the network that it has copies of, ``("q", "projector")``; its other parts are tied to the
        online network. () is all of them.
      rule: its update rule; any except ``until``, which depends on the regression.
    """

    parts: tuple[str, ...]
    rule: TargetUpdate
