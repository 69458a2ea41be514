"""The hosted engine: environments in Python on the host's CPU, replay and regression where the learner computes.

A vector step is one compiled call to act and one step of the environments; a cycle's transitions then go, with all its
gradient steps and moves of the target, through one compiled call that updates the replay in place. With overlap that
call runs while the next cycle is collected: process 1 acts with the network as it was one regression earlier, always,
whatever the machine's load, so that the result never depends on timing.

What cannot be saved are the environments' own states. A run that is to be stopped and resumed re-makes them at every
checkpoint (`Hosted.rejoin`), in a run that is never stopped as well; DQN Zoo does the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.acting.exploration import nothing_held
from qtwin.algorithm import Algorithm
from qtwin.engine.host_programs import programs
from qtwin.engine.learner import Learner
from qtwin.envs.base import HostEnv
from qtwin.errors import Refusal
from qtwin.processes.collect_hosted import Episodes, Gatherer
from qtwin.rates import Cycle, cycle_of
from qtwin.replay.mapped import Mapped
from qtwin.state import TrainState, World
from qtwin.types import Array, PyTree, Variables

FRAMED_STEPS = 16  # vector steps of the warm-up that frames are written for at once: a call costs as much as 300 rows


class Outside(NamedTuple):
    """Stands where the environments' states stand when they live in JAX.

    Attributes:
      vector_steps: taken so far, garbage rows of ragged environments included. [] int32
      acting: with overlap, the network that collects the next cycle, one regression older than the twin's; else ().
    """

    vector_steps: Array
    acting: Variables | tuple


class Hosted(NamedTuple):
    """An algorithm on a vector of environments in Python: one seed.

    The engine holds the environments, so it carries one run at a time; every call takes the state that the last one
    gave, and gives it away (its buffers are reused).

    Attributes:
      turn: the cycle in whole numbers.
      init: ``seed -> state``; starts the environments anew.
      warm_up: ``(state, vector steps) -> state``: gathers ``vector steps * N`` transitions at random.
      advance: ``(state, cycles) -> state``: turns the three processes.
      rejoin: ``(state, boundary) -> state``: starts the environments anew with a seed drawn from the run's and from
        the boundary's number; for a state that was loaded, and at every checkpoint of a run that may be resumed.
      close: gives back what the environments hold.
    """

    turn: Cycle
    init: Callable[[int], TrainState]
    warm_up: Callable[[TrainState, int], TrainState]
    advance: Callable[[TrainState, int], TrainState]
    rejoin: Callable[[TrainState, int], TrainState]
    close: Callable[[], None]


def hosted(
    algorithm: Algorithm,
    host_env: HostEnv,
    overlap: bool,
    device: jax.Device | None = None,
    disk: Mapped | None = None,
) -> Hosted:
    """An algorithm on environments in Python.

    Args:
      algorithm: what to run.
      host_env: the environments; the engine's own from now on.
      overlap: collect a cycle while the one before is learned from, acting with the network as it was before that
        regression. Without it the engine equals the fused one, transition by transition.
      device: where replay and regression live; the first of ``jax.devices()`` if left out. On an accelerator the acting
        of an overlapped engine is done on the host's CPU, for there it would wait behind the regression.
      disk: where the replay's largest column lies (`qtwin.replay.base.Bulk`), if not in memory; for a CPU.

    Raises:
      Refusal: an algorithm that collects nothing.
    """
    turn = cycle_of(algorithm.rates, host_env.num_envs)
    if not turn.transitions:
        raise Refusal("the hosted engine steps environments, and a collect of 0 asks for none; write --collect 4")
    linked = getattr(host_env, "ragged", False) and algorithm.replay.ragged is not None
    framer = None if algorithm.replay.framer is None else algorithm.replay.framer()
    device = device or jax.devices()[0]
    run = programs(algorithm, host_env.spec, turn, linked, device.platform, disk is not None)
    gatherer = Gatherer(host_env, run.keys, linked, framer)
    learner = Learner(run, turn, algorithm.replay.bulk, disk)
    engine = _Engine(gatherer, learner, Beside.of(overlap, device), algorithm.zeta)

    def close() -> None:
        engine.beside.close()
        if disk is not None:
            disk.close()
        host_env.close()

    return Hosted(turn, engine.init, engine.warm_up, engine.advance, engine.rejoin, close)


class Beside(NamedTuple):
    """What runs beside the collection: with overlap the regression, else nothing.

    Attributes:
      device: where replay and regression live.
      actor: where acting is done.
      pool: the thread that the regression runs in; None without overlap.
    """

    device: jax.Device
    actor: jax.Device
    pool: ThreadPoolExecutor | None

    @classmethod
    def of(cls, overlap: bool, device: jax.Device) -> Beside:
        """With overlap or without, for a learner on ``device``."""
        if not overlap:
            return cls(device, device, None)
        actor = jax.devices("cpu")[0] if device.platform != "cpu" else device
        # On the CPU, XLA runs one thread's calls one after another: only from a thread of its own can the regression
        # run beside the calls that act.
        return cls(device, actor, ThreadPoolExecutor(1, "qtwin-regress"))

    @property
    def overlap(self) -> bool:
        """Is a cycle collected while the one before is learned from?"""
        return self.pool is not None

    def acting(self, variables: Variables) -> Variables:
        """The network to act with, as it is now, whatever becomes of ``variables``."""
        if not self.overlap:
            return variables  # read before the next regression takes its buffers over
        return _copy(variables) if self.actor == self.device else jax.device_put(variables, self.actor)

    def begin(self, job: Callable, *given: PyTree) -> Future | _Ready:
        """Does a job: by the time it is asked for its result with overlap, else now."""
        return self.pool.submit(job, *given) if self.overlap else _Ready(job(*given))

    def close(self) -> None:
        """Ends the thread."""
        if self.pool is not None:
            self.pool.shutdown()


@dataclasses.dataclass(frozen=True)
class _Engine:
    """One seed of the hosted engine; its functions are those of `Hosted`.

    Attributes:
      gatherer: process 1, with the environments.
      learner: processes 2 and 3, and the replay.
      beside: what overlaps.
      zeta: the algorithm's, of random actions that last.
    """

    gatherer: Gatherer
    learner: Learner
    beside: Beside
    zeta: float

    def init(self, seed: int) -> TrainState:
        key = jax.device_put(rng.root(np.uint32(seed)), self.beside.device)
        state = self.learner.start(key)
        acting = self.beside.acting(state.twin.online) if self.beside.overlap else ()
        return state._replace(world=self._begun(seed, Outside(np.zeros((), np.int32), acting), key), key=key)

    def rejoin(self, state: TrainState, boundary: int) -> TrainState:
        run_seed = np.asarray(jax.random.key_data(state.key)).ravel().tolist()
        seed = rng.host_seed((*run_seed, boundary))
        outside = state.world.env._replace(acting=jax.device_put(state.world.env.acting, self.beside.actor))
        world = self._begun(seed, outside, state.key)
        core, key = jax.device_put((self.learner.core_of(state), state.key), self.beside.device)
        return self.learner.whole(self.learner.cut(core))._replace(world=world, key=key)

    def _begun(self, seed: int, outside: Outside, key: Array) -> World:
        """N new episodes."""
        world = self.gatherer.start(seed, outside, jax.device_put(key, self.beside.actor))
        return world._replace(held=jax.device_put(nothing_held(self.learner.turn.envs, self.zeta), self.beside.actor))

    def warm_up(self, state: TrainState, vector_steps: int) -> TrainState:
        core, world, episodes = self.learner.core_of(state), state.world, Episodes()
        done, envs = int(core.clock.transitions), self.learner.turn.envs

        def write(core: TrainState, chunk: PyTree, transitions: int) -> TrainState:
            # When it is done, a framer's room is free.
            return jax.block_until_ready(self.learner.remember(core, chunk, transitions))

        # Beside the environments, which wait for nothing that is written here.
        with ThreadPoolExecutor(1, "qtwin-remember") as thread:
            written = _Ready(core)
            while vector_steps:
                steps = min(vector_steps, FRAMED_STEPS if self.gatherer.framed else 1)
                chunk, world = self.gatherer.gather(None, None, world, done, steps, episodes)
                written = thread.submit(write, written.result(), chunk, steps * envs)
                done, vector_steps = done + steps * envs, vector_steps - steps
            core = written.result()
        return self.learner.whole(core)._replace(world=world, key=state.key, tally=episodes.into(core.tally))

    def advance(self, state: TrainState, cycles: int) -> TrainState:
        core, world, episodes = self.learner.core_of(state), state.world, Episodes()
        done, turn, overlap = int(core.clock.transitions), self.learner.turn, self.beside.overlap
        acting = world.env.acting
        learned = _Ready((core, self.beside.acting(core.twin.online)))
        for _ in range(cycles):
            if not overlap:
                core, acting = learned.result()
            act = self.learner.run.act
            chunk, world = self.gatherer.gather(act, acting, world, done, turn.vector_steps, episodes)
            if overlap:
                core, acting = learned.result()
            learned = self.beside.begin(self._learn, core, state.key, chunk)
            done += turn.transitions
        core, _ = learned.result()
        world = world._replace(env=world.env._replace(acting=acting if overlap else ()))
        return self.learner.whole(core)._replace(world=world, key=state.key, tally=episodes.into(core.tally))

    def _learn(self, core: TrainState, key: Array, chunk: PyTree) -> tuple[TrainState, Variables]:
        """A cycle's processes 2 and 3; and the network that acts once they are done."""
        core = self.learner.learn(core, key, chunk)
        return core, self.beside.acting(core.twin.online)


class _Ready(NamedTuple):
    """A result that need not be waited for."""

    value: PyTree

    def result(self) -> PyTree:
        return self.value


@jax.jit
def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)
