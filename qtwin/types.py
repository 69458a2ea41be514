"""Types shared by all parts of the package, and the letters used for shapes.

B batch, N environments, T time (vector steps), A actions, K atoms, D features.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

Array = Any  # jax.Array or numpy.ndarray: this module is read without importing JAX
PyTree = Any


class Variables(NamedTuple):
    """The variables of a network, split into those with and without gradients.

    Attributes:
      params: the parameters, which are trained by gradients.
      stats: running statistics (batch norm); ``{}`` if there are none.
    """

    params: PyTree
    stats: PyTree

    def part(self, name: str) -> Variables:
        """The variables of one of several named networks, ``params = {"critic": ..., "actor": ...}``."""
        return Variables(self.params[name], self.stats.get(name, {}))

    def stats_with(self, name: str, stats: PyTree) -> PyTree:
        """All statistics, with those of one part replaced; unchanged if ``stats`` is ``{}``."""
        return {**self.stats, name: stats} if stats else self.stats


class Timestep(NamedTuple):
    """One environment step as stored in a replay buffer: [N] for a vector step, [T, N] for a chunk.

    Attributes:
      obs: the observation acted on. [..., *obs_shape]
      action: the action taken. [...] int32; continuous [..., A] float32, in [-1, 1]
      reward: the reward of this one step, undiscounted. [...] float32
      discount: 0 where ``next_obs`` is terminal, else 1. Truncation is not termination. [...] float32
      next_obs: the next observation; at the end of an episode the final one, not that of the reset. [..., *obs_shape]
      last: the episode ended with this step, by termination or by truncation. [...] bool
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    last: Array


class Transition(NamedTuple):
    """A batch of transitions [B], as sampled from a replay buffer.

    Attributes:
      obs: s. [B, *obs_shape]
      action: a. [B] int32; continuous [B, A] float32, in [-1, 1]
      reward: the sum of the n discounted rewards that followed. [B] float32
      discount: gamma**n, or 0 where s' is terminal, so that a TD target is ``reward + discount * value(s')``. [B]
      next_obs: s', n steps later or at the end of the episode if that comes first. [B, *obs_shape]
      weight: importance weights in the loss, for non-uniform sampling; None if all are 1. [B]
      slot: slots in the replay buffer, for updating priorities; None if there are none. [B] int32
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    weight: Array | None = None
    slot: Array | None = None


class Aux(NamedTuple):
    """Auxiliary outputs of a loss.

    Attributes:
      td_error: target minus prediction. [B]
      q: the predicted value of the actions taken. [B]
      stats: the online network's new batch-norm statistics; None keeps the current ones.
      target_stats: the target network's new batch-norm statistics, for the policy "own"; None keeps the current ones.
      self_loss: the loss towards the sibling (`qtwin.twin.Sibling`) before its weight; None if there is none. []
      ended: whether the eligibility trace of gradients ends here (stream_q); None if there is none. [B] bool
      priority: priorities for prioritised replay; None uses the magnitude of the TD error. [B]
    """

    td_error: Array
    q: Array
    stats: PyTree = None
    target_stats: PyTree = None
    self_loss: Array | None = None
    priority: Array | None = None
    ended: Array | None = None


class Clock(NamedTuple):
    """The counters of the three processes, and the age of the target.

    The clock depends on the rates only, not on the seed (except with ``until``), so that many seeds can share it.

    Attributes:
      transitions: transitions collected so far, over all environments. [transitions]
      gradient_steps: gradient steps so far. [gradient steps]
      target_updates: target updates so far. [target updates]
      age: gradient steps since the last target update. [gradient steps]
    """

    transitions: Array
    gradient_steps: Array
    target_updates: Array
    age: Array


class HandedIn(str):
    """An object that the caller passed instead of a name, together with a name for it.

    As text it is the name used in files and messages, ``own:my_dqn``. Functions that resolve names (`agent_of`,
    `resolve`, the parsers of networks and target updates) use the object. A file contains the name only, so the object
    has to be passed again when the file is read.

    Attributes:
      thing: the object.
      module: the module that defines it, for messages; "" if unknown.
    """

    thing: Any
    module: str

    def __new__(cls, name: str, thing: Any, module: str = "") -> HandedIn:
        self = super().__new__(cls, name)
        self.thing, self.module = thing, module
        return self

    def __deepcopy__(self, memo: dict) -> HandedIn:
        return self  # `dataclasses.asdict` copies every value; the object may be a closure or contain arrays

    def __getnewargs__(self) -> tuple:
        return str(self), self.thing, self.module


OWN = "own:"  # prefix of the names of such objects


def stands_alone(name: str) -> bool:
    """Whether this is the name of an object that was passed, without the object."""
    return name.startswith(OWN) and not isinstance(name, HandedIn)


def own_name(thing: Any) -> str:
    """``own:NAME`` for a class, a function or another object, valid as a directory name."""
    function = _without_arguments(thing)
    name = getattr(function, "__name__", None) or type(function).__name__
    return OWN + plain_name(name)


def plain_name(name: str) -> str:
    """``name`` reduced to characters that are valid in a directory name."""
    return re.sub(r"[^\w.-]+", "", name).strip(".") or "unnamed"


def module_of(thing: Any) -> str:
    """The module that defines a class or a function; "" if there is none, or for ``__main__``."""
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
