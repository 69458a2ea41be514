"""The compiled half of the hosted engine."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.acting.exploration import uniform_actions
from qtwin.algorithm import Algorithm
from qtwin.engine.cycle import cycle
from qtwin.engine.fused import in_one_program, state_around, when_due
from qtwin.envs.spec import EnvSpec
from qtwin.processes.collect import acting
from qtwin.processes.regress import regress
from qtwin.processes.update_target import Process, targets
from qtwin.rates import Cycle
from qtwin.rng import ACT, stream
from qtwin.state import TrainState
from qtwin.types import Array, PyTree, Variables

KEYS = 256  # keys for acting, drawn for so many vector steps at once: folding one in costs as much as a small network


class Programs(NamedTuple):
    """The compiled half, shared by all seeds of an algorithm.

    Attributes:
      start: ``key -> state`` with no world.
      act: ``(variables, obs [N, ...], key data, transitions [], held) -> (action [N], held)``.
      keys: ``(key, first vector step []) -> (key data [KEYS, ...], random actions [KEYS, N])``: process 1's stream from
        there on, and what it gives where actions are random.
      remember: ``(state, chunk, its transitions []) -> state``: into the replay.
      learn: ``(state, key, chunk, gradient steps []) -> state``: a cycle's chunk into the replay, then its processes 2
        and 3.
      regress_all: ``(state, column, key, gradient steps []) -> state``: a cycle's processes 2 and 3. The replay's
        column where that lies outside of the state (`qtwin.replay.base.Bulk`), which it then lacks in all of these;
        else ().
      regress_once: ``(state, column, key) -> state``: one gradient step of them.
      way: which of these make a cycle, "together" (``learn``), "apart" (``remember``, ``regress_all``) or "stepwise"
        (``remember``, ``regress_once``).
      cut: the replay's (`qtwin.replay.base.Replay`), None where it has none.
    """

    start: Callable
    act: Callable
    keys: Callable
    remember: Callable
    learn: Callable
    regress_all: Callable
    regress_once: Callable
    way: str
    cut: Callable | None


@functools.lru_cache(maxsize=8)
def programs(
    algorithm: Algorithm, spec: EnvSpec, turn: Cycle, linked: bool, platform: str, outside: bool = False
) -> Programs:
    """The functions to be compiled; the same objects for the same algorithm, so that each is compiled once.

    A cycle's regression is one program with a loop in it. Two things are called apart: writing chunks whose length
    varies, so that the rest need not be compiled anew for each; and on a CPU a regression that has convolutions, one
    gradient step at a time, for inside a loop XLA's are ten times as slow there.
    """
    if linked:
        algorithm = algorithm._replace(replay=algorithm.replay.ragged())
    calls = Calls(algorithm, spec, turn, outside)
    way = "together" if algorithm.replay.framer is None else "apart"
    if platform == "cpu" and len(spec.obs_shape) > 1 and _convolves(calls.process_3, calls.start):
        way = "stepwise"
    return Programs(
        start=jax.jit(lambda key: calls.without(calls.start(key))),
        act=jax.jit(calls.act),
        keys=jax.jit(calls.keys),
        remember=jax.jit(calls.remember, donate_argnums=0),
        learn=jax.jit(calls.learn, donate_argnums=0),
        regress_all=jax.jit(calls.regress_all, donate_argnums=0),
        regress_once=jax.jit(calls.regress_once, donate_argnums=0),
        way=way,
        cut=algorithm.replay.cut,
    )


@dataclasses.dataclass(frozen=True)
class Calls:
    """The functions of `Programs` before they are compiled, which says what each of them is.

    Attributes:
      algorithm: its replay is the one for chunks of the kind that come.
      spec: of the environments.
      turn: the cycle in whole numbers.
      outside: the replay's largest column lies outside of the state.
    """

    algorithm: Algorithm
    spec: EnvSpec
    turn: Cycle
    outside: bool

    @functools.cached_property
    def process_3(self) -> Process:
        return regress(self.algorithm, self.turn.gradient_steps)

    @functools.cached_property
    def _by(self) -> Callable:
        return acting(self.algorithm, self.spec)

    def start(self, key: Array) -> TrainState:
        return state_around(self.algorithm, self.spec, self.turn, (), key)

    def act(
        self, variables: Variables, obs: Array, key_data: Array, count: Array, held: PyTree
    ) -> tuple[Array, PyTree]:
        return self._by(variables, obs, self.algorithm.explore(count), rng.wrap(key_data), held)

    def keys(self, key: Array, first: Array) -> tuple[Array, Array]:
        drawn = jax.vmap(lambda count: stream(key, ACT, count))(first + jnp.arange(KEYS))
        return jax.random.key_data(drawn), jax.vmap(lambda k: uniform_actions(self.spec, self.turn.envs, k))(drawn)

    def remember(self, s: TrainState, chunk: PyTree, transitions: Array) -> TrainState:
        algorithm, clock = self.algorithm, s.clock._replace(transitions=s.clock.transitions + transitions)
        chunk = chunk if algorithm.process_chunk is None else algorithm.process_chunk(s.twin, chunk)
        return s._replace(clock=clock, replay=algorithm.replay.add(s.replay, chunk))

    def learn(self, s: TrainState, key: Array, chunk: PyTree, gradient_steps: Array) -> TrainState:
        def process_1(s: TrainState) -> TrainState:
            return self.remember(s, chunk, self.turn.transitions)

        turn_once = in_one_program(self.algorithm, self.turn, process_1)
        return turn_once(s._replace(key=key), gradient_steps)._replace(key=())

    def regress_all(self, s: TrainState, column: Array | tuple, key: Array, gradient_steps: Array) -> TrainState:
        turn_once = in_one_program(self.algorithm, self.turn, lambda s: s)
        s = self.with_it(s, column)._replace(key=key)
        return self.without(turn_once(s, gradient_steps)._replace(key=()))

    def regress_once(self, s: TrainState, column: Array | tuple, key: Array) -> TrainState:
        moving = targets(self.algorithm)
        step = cycle(lambda s: s, self.process_3, moving, 1, lambda step, times: step, when_due)
        return self.without(step(self.with_it(s, column)._replace(key=key))._replace(key=()))

    def without(self, s: TrainState) -> TrainState:
        """``s`` without the column that lies outside."""
        return s._replace(replay=self.algorithm.replay.bulk.take(s.replay)[0]) if self.outside else s

    def with_it(self, s: TrainState, column: Array | tuple) -> TrainState:
        """The inverse."""
        return s._replace(replay=self.algorithm.replay.bulk.give(s.replay, column)) if self.outside else s


def _convolves(process_3: Callable[[TrainState], TrainState], start: Callable[[Array], TrainState]) -> bool:
    """Has the regression one of XLA's convolutions in it?"""
    state = jax.eval_shape(start, rng.root(np.uint32(0)))
    return "conv_general_dilated" in str(jax.make_jaxpr(process_3)(state))
