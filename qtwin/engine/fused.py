"""The fused engine: collection, replay and regression inside one XLA program, for environments written in JAX.

Many seeds are spread over the CPU's cores, one program on each, or mapped side by side on an accelerator. A seed's own
computation is the same whether others run beside it or not.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qtwin.agent import Algorithm
from qtwin.engine.cycle import cycle
from qtwin.engine.state import INIT, TrainState, empty_tally, stream
from qtwin.envs.base import JaxEnv
from qtwin.processes.collect import begin, collect
from qtwin.processes.regress import regress
from qtwin.rates import Cycle, cycle_of
from qtwin.twin import twin
from qtwin.types import Clock, Timestep

SHARED = PartitionSpec()
BY_SEED = PartitionSpec("seed")


def new_state(algorithm: Algorithm, env: JaxEnv, turn: Cycle, key) -> TrainState:
    """One seed's state before anything has happened."""
    rule = algorithm.rates.target_update
    online = algorithm.agent.init(stream(key, INIT, 0))
    world = begin(env, turn.envs, key)
    obs = jax.ShapeDtypeStruct(env.spec.obs_shape, jnp.dtype(env.spec.obs_dtype))
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    example = Timestep(
        obs, jax.ShapeDtypeStruct((), jnp.int32), scalar, scalar, obs, jax.ShapeDtypeStruct((), jnp.bool_)
    )
    return TrainState(
        clock=Clock(jnp.int32(0), jnp.int32(0), jnp.int32(0), jnp.int32(0)),
        twin=twin(online, rule, algorithm.stats_policy),
        memory=rule.init(online.params),
        optimiser=algorithm.optimiser.init(online.params),
        replay=algorithm.replay.init(example, turn),
        world=world,
        tally=empty_tally(),
        key=key,
    )


def fused_cycle(algorithm: Algorithm, env: JaxEnv, turn: Cycle):
    """``(state, gradient steps per cycle []) -> state``: one turn of the three processes, to be compiled.

    The number of gradient steps comes in as a traced value: were it a constant 1, XLA would remove the loop around the
    regression, the reads of the replay would stand beside the write, and the replay would be copied at every cycle.
    """
    if turn.transitions:
        process_1 = collect(algorithm, env, turn.envs, turn.vector_steps)
    else:
        process_1 = lambda s: s  # noqa: E731  offline: nothing is collected
    process_3 = regress(algorithm, turn.gradient_steps)

    def when(due, process, s: TrainState) -> TrainState:
        # Only what a move of the target reads and writes goes through the conditional; never the replay.
        rest = s._replace(replay=(), world=(), optimiser=(), tally=())
        moved = jax.lax.cond(due, process, lambda s: s, rest)
        return s._replace(clock=moved.clock, twin=moved.twin, memory=moved.memory)

    def turn_once(s: TrainState, gradient_steps) -> TrainState:
        def repeat(step, times):
            del times
            return lambda s: jax.lax.fori_loop(0, gradient_steps, lambda _, s: step(s), s)

        return cycle(process_1, process_3, algorithm.rates.target_update, turn.gradient_steps, repeat, when)(s)

    return turn_once


class Fused(NamedTuple):
    """A compiled algorithm on an environment.

    Attributes:
      turn: the cycle in whole numbers.
      mesh: the devices that the seeds are spread over.
      init: ``seeds -> state`` for as many seeds as the mesh has devices.
      warm_up: ``(state, vector steps) -> state``: gathers at random.
      advance: ``(state, cycles) -> state``: turns the three processes.
    """

    turn: Cycle
    mesh: Mesh
    init: object
    warm_up: object
    advance: object


def fused(algorithm: Algorithm, env: JaxEnv, envs: int, devices=None) -> Fused:
    """Compiles an algorithm with an environment into one program per device, one seed on each.

    Args:
      algorithm: what to run.
      env: one environment written in JAX.
      envs: how many of them.
      devices: one for each seed run side by side; the first of `jax.devices` if left out.
    """
    turn = cycle_of(algorithm.rates, envs)
    devices = devices or jax.devices()[:1]
    mesh = Mesh(np.array(devices), ("seed",))
    state_spec = TrainState(SHARED, *[BY_SEED] * 7)
    turn_once = fused_cycle(algorithm, env, turn)
    gather = collect(algorithm, env, envs, 1, random=True)

    def alone(function):
        """``function`` of one seed's state, run on each device for the seed that lives there."""

        def local(state: TrainState, *counts) -> TrainState:
            inside = jax.tree.map(lambda leaf: leaf[0], state._replace(clock=()))
            out = function(inside._replace(clock=state.clock), *counts)
            return jax.tree.map(lambda leaf: leaf[None], out._replace(clock=()))._replace(clock=out.clock)

        return local

    def mapped(function, counts: int):
        specs = (state_spec, *[SHARED] * counts)
        program = jax.shard_map(alone(function), mesh=mesh, in_specs=specs, out_specs=state_spec, check_vma=False)
        return jax.jit(program, donate_argnums=0)

    def start(keys):
        return jax.tree.map(
            lambda leaf: leaf[None], new_state(algorithm, env, turn, keys[0])._replace(clock=())
        )._replace(clock=Clock(*[jnp.int32(0)] * 4))

    begin_all = jax.jit(jax.shard_map(start, mesh=mesh, in_specs=BY_SEED, out_specs=state_spec, check_vma=False))

    def init(seeds) -> TrainState:
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
        return begin_all(jax.device_put(keys, NamedSharding(mesh, BY_SEED)))

    warm_up = mapped(lambda s, steps: jax.lax.fori_loop(0, steps, lambda _, s: gather(s), s), 1)
    advance = mapped(lambda s, cycles, steps: jax.lax.fori_loop(0, cycles, lambda _, s: turn_once(s, steps), s), 2)
    return Fused(
        turn,
        mesh,
        init,
        lambda s, steps: warm_up(s, jnp.int32(steps)),
        lambda s, cycles: advance(s, jnp.int32(cycles), jnp.int32(turn.gradient_steps)),
    )
