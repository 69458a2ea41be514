"""What an algorithm is: its network, its TD target and loss (an `Agent`), and its rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from qtwin.types import Array, Aux, Transition, Variables

if TYPE_CHECKING:
    import optax

    from qtwin.rates import Rates
    from qtwin.replay.base import Replay
    from qtwin.twin import Twin


class Agent(NamedTuple):
    """How to begin, how to act and what to learn; three pure functions.

    Attributes:
      init: ``key -> Variables``, the online network to begin with.
      act: ``(variables, obs [N, ...], explore [], key) -> action [N]``; ``explore`` is the present value of the
        exploration schedule (epsilon), 0 is greedy.
      loss: ``(twin, batch [B], key) -> (scalar, Aux)``; differentiated in the online parameters only.
    """

    init: Callable[[Array], Variables]
    act: Callable[[Variables, Array, Array, Array], Array]
    loss: Callable[[Twin, Transition, Array], tuple[Array, Aux]]


class Algorithm(NamedTuple):
    """An agent with everything that the engine needs to run it.

    Attributes:
      agent: init, act, loss.
      rates: the three rates.
      replay: what is remembered and how a batch is drawn from it.
      optimiser: an optax gradient transformation over the online parameters.
      explore: ``transitions [] -> epsilon []``, the exploration schedule.
      stats_policy: what becomes of the target's batch-norm statistics (`qtwin.twin.STATS_POLICIES`).
    """

    agent: Agent
    rates: Rates
    replay: Replay
    optimiser: optax.GradientTransformation
    explore: Callable[[Array], Array]
    stats_policy: str = "copied"
