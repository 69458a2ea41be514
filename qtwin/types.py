"""The types that every room shares, and the shape letters.

B batch, N environments, T time (vector steps), A actions, K atoms, D features.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

Array = Any  # jax.Array or numpy.ndarray: this module is read without importing JAX
PyTree = Any


class Variables(NamedTuple):
    """What a network is made of, split by the rules that treat the two halves differently.

    Attributes:
      params: the learned parameters; gradients exist for these only.
      stats: statistics that the network gathers itself (batch norm); ``{}`` where there are none.
    """

    params: PyTree
    stats: PyTree

    def part(self, name: str) -> Variables:
        """One of several networks that stand side by side, ``params = {"critic": ..., "actor": ...}``."""
        return Variables(self.params[name], self.stats.get(name, {}))

    def stats_with(self, name: str, stats: PyTree) -> PyTree:
        """All statistics, with those of one part replaced (by ``{}``: as they are)."""
        return {**self.stats, name: stats} if stats else self.stats


class Timestep(NamedTuple):
    """What one environment step leaves behind, as the replay stores it: [N] fresh, [T, N] a chunk.

    Attributes:
      obs: the observation acted on. [..., *obs_shape]
      action: the action taken. [...] int32; continuous [..., A] float32, in [-1, 1]
      reward: the reward of this one step, undiscounted. [...] float32
      discount: 0 where ``next_obs`` is terminal, else 1. Truncation is not termination. [...] float32
      next_obs: the true next observation, never the one after an automatic reset. [..., *obs_shape]
      last: the episode ended with this step, by termination or by truncation. [...] bool
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    last: Array


class Transition(NamedTuple):
    """What the regression learns from: a batch [B] as a replay samples it.

    Attributes:
      obs: s. [B, *obs_shape]
      action: a. [B] int32; continuous [B, A] float32, in [-1, 1]
      reward: the sum of the n discounted rewards that followed. [B] float32
      discount: gamma**n, and 0 where s' is terminal, so that a TD target is ``reward + discount * value(s')``. [B]
      next_obs: s', n steps later or at the end of the episode if that came first. [B, *obs_shape]
      weight: how much each counts in the loss, where a replay does not draw all alike; None where all count 1. [B]
      slot: where each lies in a replay that wants its priority back; None elsewhere. [B] int32
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    weight: Array | None = None
    slot: Array | None = None


class Aux(NamedTuple):
    """What a loss reports beside its scalar.

    Attributes:
      td_error: target minus prediction. [B]
      q: the predicted value of the actions taken. [B]
      stats: the online network's new statistics (batch norm); None leaves them as they are.
      target_stats: the target network's own new statistics, for the policy "own"; None leaves them as they are.
      self_loss: the loss towards the sibling (`qtwin.twin.Sibling`) before its weight; None where there is none. []
      ended: a trace of gradients ends here (stream_q); None where there is none. [B] bool
      priority: what a prioritised replay is to rank the transitions by; None is the size of the TD error. [B]
    """

    td_error: Array
    q: Array
    stats: PyTree = None
    target_stats: PyTree = None
    self_loss: Array | None = None
    priority: Array | None = None
    ended: Array | None = None


class Clock(NamedTuple):
    """The three counters, one for each process, and the age of the target.

    The clock depends on the rates alone, never on the seed (``until`` excepted), so that many seeds can share it.

    Attributes:
      transitions: collected so far, over all environments. [transitions]
      gradient_steps: taken so far. [gradient steps]
      target_updates: moves of the target so far. [moves]
      age: gradient steps since the target last moved. [gradient steps]
    """

    transitions: Array
    gradient_steps: Array
    target_updates: Array
    age: Array


class HandedIn(str):
    """The name of something that the caller handed in where a name could stand, and the thing itself.

    As text it is the name that files and messages have it by, ``own:my_dqn``. What reads names (`agent_of`, `resolve`,
    the parsers of networks and target updates) takes the thing. Read back from a file the name stands alone, and the
    thing has to be handed in again.

    Attributes:
      thing: what was handed in.
      module: the module that it is defined in, for messages; "" where that is not known.
    """

    thing: Any
    module: str

    def __new__(cls, name: str, thing: Any, module: str = "") -> HandedIn:
        self = super().__new__(cls, name)
        self.thing, self.module = thing, module
        return self

    def __deepcopy__(self, memo: dict) -> HandedIn:
        return self  # `dataclasses.asdict` copies every value: the thing may be a closure, or hold arrays

    def __getnewargs__(self) -> tuple:
        return str(self), self.thing, self.module


OWN = "own:"  # what the name of such a thing begins with


def stands_alone(name: str) -> bool:
    """Is this the name of something that was handed in, without the thing?"""
    return name.startswith(OWN) and not isinstance(name, HandedIn)


def own_name(thing: Any) -> str:
    """``own:NAME`` of a class, a function or another object; a name that a directory can have."""
    function = _without_arguments(thing)
    name = getattr(function, "__name__", None) or type(function).__name__
    return OWN + plain_name(name)


def plain_name(name: str) -> str:
    """A name that a directory can have."""
    return re.sub(r"[^\w.-]+", "", name).strip(".") or "unnamed"


def module_of(thing: Any) -> str:
    """The module that a class or a function is defined in; "" where that says nothing."""
    module = getattr(_without_arguments(thing), "__module__", "") or ""
    return "" if module == "__main__" else module


def kind_of(thing: Any) -> str:
    """What it is, for a message: ``a str``, ``None``."""
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _without_arguments(thing: Any) -> Any:
    while isinstance(thing, functools.partial):
        thing = thing.func
    return thing
