"""What an algorithm is: its network, its TD target and loss (an `Agent`), and its rates."""

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
    """How to begin, how to act and what to learn; three pure functions.

    Attributes:
      init: ``key -> Variables``, the online network to begin with.
      act: ``(variables, obs [N, ...], explore [], key) -> action [N]`` (continuous [N, A], in [-1, 1]); ``explore`` is
        the present value of the exploration schedule (epsilon), 0 is greedy.
      loss: ``(twin, batch [B], key) -> (scalar, Aux)``; differentiated in the online parameters only.
      values: ``(variables, obs [B, ...]) -> q [B, A]``: the action values that it acts by, for the diagnostics
        (`qtwin.measure.diagnostics`); None where it has none.
      layers: ``(variables, obs [B, ...]) -> (h [B, ..., D], ...)``: what its hidden layers answer, the one before the
        last layer at the end, likewise; None where its network has none.
    """

    init: Callable[[Array], Variables]
    act: Callable[[Variables, Array, Array, Array], Array]
    loss: Callable[[Twin, Transition, Array], tuple[Array, Aux]]
    values: Callable[[Variables, Array], Array] | None = None
    layers: Callable[[Variables, Array], tuple[Array, ...]] | None = None


class PolicyUpdate(NamedTuple):
    """Policy improvement, where the max over actions is a network of its own: the actor beside the critic.

    DQN's policy improves by itself whenever its values do. An actor has to be told: after a gradient step of the
    regression, and with the critic that it left, the parts named here take a step on a loss of their own.

    Attributes:
      parts: the parts of the network that learn by it, ``("actor",)``; the regression moves all others.
      loss: ``(twin, batch [B], key) -> (scalar, stats)``; differentiated in those parts only. ``stats`` are the
        network's new statistics (batch norm); None leaves them as they are.
      optimiser: an optax gradient transformation over those parts.
      every: regression's gradient steps for each of these (delayed policy updates). [gradient steps]
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
      replay: what is remembered and how a batch is drawn from it.
      optimiser: an optax gradient transformation over the online parameters.
      explore: ``transitions [] -> epsilon []``, the exploration schedule.
      zeta: the exponent of the zeta distribution that the length of a random action is drawn from
        (`qtwin.acting.exploration.ez_greedy`); 0 is one step.
      stats_policy: what becomes of the target's batch-norm statistics (`qtwin.twin.STATS_POLICIES`).
      policy_update: how the actor learns; None where the policy is read off the values.
      target_parts: the parts of the network that have a target network, ``("critic",)``; the target's other parts are
        tied to the online network's. () is all of it.
      sibling: a second target, of a loss beside the regression; None where there is none.
      process_chunk: ``(twin, chunk [T, N]) -> chunk``, applied to a chunk before it goes into the replay buffer:
        targets that are computed once, when it is collected (lambda-returns); None leaves it as it is.
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


# Fields of `Algorithm` that go with the next minor release, and what stands in their place.
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
    """Fields with their present names; an old one warns."""
    for old in set(named) & set(RENAMED):
        _warn(old, stacklevel=4)
    return {RENAMED.get(name, name): value for name, value in named.items()}


def _warn(old: str, stacklevel: int) -> None:
    warnings.warn(
        f"the field {old} of qtwin.Algorithm is now {RENAMED[old]}; the old name goes with the next minor release",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
