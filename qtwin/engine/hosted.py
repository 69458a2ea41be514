"""The hosted engine: environments in Python on the host's CPU, replay and regression where the learner computes.

A vector step is one compiled call to act and one step of the environments; a cycle's transitions then go, with all its
gradient steps and moves of the target, through one compiled call that updates the replay in place. With overlap that
call runs while the next cycle is collected: process 1 acts with the network as it was one regression earlier, always,
whatever the machine's load, so that the result never depends on timing.

What cannot be saved are the environments' own states. A run that is to be stopped and resumed re-makes them at every
checkpoint (`Hosted.rejoin`), in a run that is never stopped as well; DQN Zoo does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.acting.exploration import nothing_held
from qtwin.algorithm import Algorithm
from qtwin.engine.host_programs import programs
from qtwin.envs.base import HostEnv
from qtwin.errors import Refusal
from qtwin.processes.collect_hosted import Episodes, Gatherer
from qtwin.rates import Cycle, cycle_of
from qtwin.replay.mapped import Mapped
from qtwin.state import TrainState
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
    actor = jax.devices("cpu")[0] if overlap and device.platform != "cpu" else device
    run = programs(algorithm, host_env.spec, turn, linked, device.platform, disk is not None)
    bulk = algorithm.replay.bulk
    gatherer = Gatherer(host_env, run.keys, linked, framer)
    # On the CPU, XLA runs one thread's calls one after another: only from a thread of its own can the regression run
    # beside the calls that act.
    pool = ThreadPoolExecutor(1, "qtwin-regress") if overlap else None
    gradient_steps = np.int32(turn.gradient_steps)

    def to_actor(variables: Variables) -> Variables:
        if not overlap:
            return variables  # read before the next regression takes its buffers over
        return _copy(variables) if actor == device else jax.device_put(variables, actor)

    def parted(state: TrainState) -> tuple[TrainState, Array | tuple]:
        """What compiled calls take over and give back, and what they only read: the column on the disk."""
        core = state._replace(world=(), key=())
        return (core, ()) if disk is None else (core._replace(replay=bulk.take(core.replay)[0]), disk.array)

    def whole(core: TrainState) -> TrainState:
        return core if disk is None else core._replace(replay=bulk.give(core.replay, disk.array))

    def nothing() -> PyTree:
        return jax.device_put(nothing_held(turn.envs, algorithm.zeta), actor)

    def init(seed: int) -> TrainState:
        key = jax.device_put(rng.root(np.uint32(seed)), device)
        state = run.start(key)
        if disk is not None:
            state = state._replace(replay=bulk.give(state.replay, disk.begin()))
        acting = to_actor(state.twin.online) if overlap else ()
        world = gatherer.start(seed, Outside(np.zeros((), np.int32), acting), jax.device_put(key, actor))
        return state._replace(world=world._replace(held=nothing()), key=key)

    def rejoin(state: TrainState, boundary: int) -> TrainState:
        run_seed = np.asarray(jax.random.key_data(state.key)).ravel().tolist()
        seed = int(np.random.SeedSequence([*run_seed, boundary]).generate_state(1)[0] >> 1)
        outside = state.world.env._replace(acting=jax.device_put(state.world.env.acting, actor))
        world = gatherer.start(seed, outside, jax.device_put(state.key, actor))
        core, key = jax.device_put((parted(state)[0], state.key), device)
        # The episodes under way are over, and no return of n steps may go on into the new ones.
        replay = core.replay if run.cut is None else run.cut(core.replay)
        return whole(core._replace(replay=replay))._replace(world=world._replace(held=nothing()), key=key)

    def remember(core: TrainState, chunk: PyTree, transitions: int) -> TrainState:
        if disk is not None:
            chunk, rows = bulk.take_rows(chunk)
            jax.block_until_ready(core)  # who reads from the disk has to be done before it is written to
            disk.write(rows, int(bulk.head(core.replay)))
        return run.remember(core, chunk, np.int32(transitions))

    def warm_up(state: TrainState, vector_steps: int) -> TrainState:
        (core, _), world, episodes = parted(state), state.world, Episodes()
        done = int(core.clock.transitions)

        def write(core: TrainState, chunk: PyTree, transitions: int) -> TrainState:
            return jax.block_until_ready(remember(core, chunk, transitions))  # then a framer's room is free

        # Beside the environments, which wait for nothing that is written here.
        with ThreadPoolExecutor(1, "qtwin-remember") as beside:
            written = _Ready(core)
            while vector_steps:
                steps = min(vector_steps, 1 if framer is None else FRAMED_STEPS)
                chunk, world = gatherer.gather(None, None, world, done, steps, episodes)
                written = beside.submit(write, written.result(), chunk, steps * turn.envs)
                done, vector_steps = done + steps * turn.envs, vector_steps - steps
            core = written.result()
        return whole(core)._replace(world=world, key=state.key, tally=episodes.into(core.tally))

    def advance(state: TrainState, cycles: int) -> TrainState:
        (core, column), world, episodes = parted(state), state.world, Episodes()
        done = int(core.clock.transitions)

        def learn(core: TrainState, chunk: PyTree) -> tuple[TrainState, Variables]:
            if run.way == "together":
                core = run.learn(core, state.key, chunk, gradient_steps)
            else:
                core = remember(core, chunk, turn.transitions)
                if run.way == "apart":
                    core = run.regress_all(core, column, state.key, gradient_steps)
                else:
                    for _ in range(turn.gradient_steps):
                        core = run.regress_once(core, column, state.key)
            return core, to_actor(core.twin.online)

        acting = world.env.acting
        learned = _Ready((core, to_actor(core.twin.online)))
        for _ in range(cycles):
            if not overlap:
                core, acting = learned.result()
            chunk, world = gatherer.gather(run.act, acting, world, done, turn.vector_steps, episodes)
            if overlap:
                core, acting = learned.result()
            learned = pool.submit(learn, core, chunk) if overlap else _Ready(learn(core, chunk))
            done += turn.transitions
        core, _ = learned.result()
        world = world._replace(env=world.env._replace(acting=acting if overlap else ()))
        return whole(core)._replace(world=world, key=state.key, tally=episodes.into(core.tally))

    def close() -> None:
        if pool is not None:
            pool.shutdown()
        if disk is not None:
            disk.close()
        host_env.close()

    return Hosted(turn, init, warm_up, advance, rejoin, close)


class _Ready(NamedTuple):
    """A result that need not be waited for."""

    value: PyTree

    def result(self) -> PyTree:
        return self.value


@jax.jit
def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)
