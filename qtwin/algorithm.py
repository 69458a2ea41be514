"""Algorithms: an `Agent` (network, policy and loss), with its rates, replay buffer, optimiser and exploration."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qtwin.twin import Sibling
from qtwin.types import Array, Aux, PyTree, Timestep, Transition, Variables

if TYPE_CHECKING:
    import optax

    from qtwin.rates import Rates
    from qtwin.replay.base import Replay
    from qtwin.twin import Twin


class Agent(NamedTuple):
    """Three pure functions that initialise, act and compute the loss.

    Attributes:
      init: ``key -> Variables``, initialises the online network.
      act: ``(variables, obs [N, ...], explore [], key) -> action [N]`` (continuous [N, A], in [-1, 1]); ``explore`` is
        the current value of the exploration schedule (epsilon), 0 is greedy.
      loss: ``(twin, batch [B], key) -> (scalar, Aux)``; differentiated with respect to the online parameters only.
      values: ``(variables, obs [B, ...]) -> q [B, A]``: the action values, for diagnostics
        (`qtwin.measure.diagnostics`); None if the agent has none.
      layers: ``(variables, obs [B, ...]) -> (h [B, ..., D], ...)``: the outputs of the hidden layers in order, for
        diagnostics; None if the network has none.
    """

    init: Callable[[Array], Variables]
    act: Callable[[Variables, Array, Array, Array], Array]
    loss: Callable[[Twin, Transition, Array], tuple[Array, Aux]]
    values: Callable[[Variables, Array], Array] | None = None
    layers: Callable[[Variables, Array], tuple[Array, ...]] | None = None


class PolicyUpdate(NamedTuple):
    """Policy improvement for actor-critics, where a network (the actor) replaces the max over actions.

    The greedy policy of DQN improves with its values. An actor needs a gradient step on a separate loss, which follows
    a gradient step of the regression and uses the critic after that step.

    Attributes:
      parts: the parts of the network that it trains, ``("actor",)``; the regression trains all others.
      loss: ``(twin, batch [B], key) -> (scalar, stats)``; differentiated with respect to those parts only. ``stats``
        are the network's new batch-norm statistics; None keeps the current ones.
      optimiser: an optax gradient transformation for those parts.
      every: gradient steps of the regression per policy update (delayed policy updates). [gradient steps]
    """

    parts: tuple[str, ...]
    loss: Callable[[Twin, Transition, Array], tuple[Array, PyTree]]
    optimiser: optax.GradientTransformation
    every: int = 1


class _Algorithm(NamedTuple):
    """An agent with everything that the engine needs to run it.

    Attributes:
      agent: init, act, loss.
      rates: the three rates.
      replay: the replay buffer.
      optimiser: an optax gradient transformation for the online parameters.
      explore: ``transitions [] -> epsilon []``, the exploration schedule.
      zeta: the exponent of the zeta distribution of the duration of random actions
        (`qtwin.acting.exploration.ez_greedy`); with 0 they last one step.
      stats_policy: how the target's batch-norm statistics are updated (`qtwin.twin.STATS_POLICIES`).
      policy_update: how the actor is trained; None if the policy is derived from the values.
      target_parts: the parts of the network that have a target copy, ``("critic",)``; the target's other parts are
        tied to the online network. () is all of them.
      sibling: a second target, for an auxiliary loss; None if there is none.
      process_chunk: ``(twin, chunk [T, N]) -> chunk``, applied to a chunk before it is stored in the replay buffer, for
        targets that are computed once on collection (lambda-returns); None stores the chunk unchanged.
    """

    agent: Agent
    rates: Rates
    replay: Replay
    optimiser: optax.GradientTransformation
    explore: Callable[[Array], Array]
    stats_policy: str = "copied"
    policy_update: PolicyUpdate | None = None
    target_parts: tuple[str, ...] = ()
    sibling: Sibling | None = None
    process_chunk: Callable[[Twin, Timestep], Timestep] | None = None
    zeta: float = 0.0


# Deprecated fields of `Algorithm`, to be removed in the next minor release, and their new names.
RENAMED = {"improvement": "policy_update", "twinned": "target_parts", "relabel": "process_chunk"}


class Algorithm(_Algorithm):
    __slots__ = ()
    __doc__ = _Algorithm.__doc__

    def __new__(cls, *fields: Any, **named: Any) -> Algorithm:
        return super().__new__(cls, *fields, **_by_their_names(named))

    def _replace(self, **named: Any) -> Algorithm:
        return super()._replace(**_by_their_names(named))

    def __getattr__(self, name: str) -> Any:  # asked for what is no field
        if name not in RENAMED:
            raise AttributeError(f"an Algorithm has no field {name!r}")
        _warn(name, stacklevel=3)
        return getattr(self, RENAMED[name])


def _by_their_names(named: dict[str, Any]) -> dict[str, Any]:
    """Fields by their current names; a deprecated name warns."""
    for old in set(named) & set(RENAMED):
        _warn(old, stacklevel=4)
    return {RENAMED.get(name, name): value for name, value in named.items()}


def _warn(old: str, stacklevel: int) -> None:
    warnings.warn(
        f"the field {old} of qtwin.Algorithm is now {RENAMED[old]}; the old name goes with the next minor release",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
