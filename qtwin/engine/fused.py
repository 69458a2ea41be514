"""The fused engine: collection, replay and regression inside one XLA program, for environments written in JAX.

Many seeds are spread over the CPU's cores, one program on each, or mapped side by side on an accelerator. A seed's own
computation is the same whether others run beside it or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from qtwin import rng
from qtwin.acting.exploration import nothing_held
from qtwin.algorithm import Algorithm
from qtwin.engine.cycle import cycle
from qtwin.engine.evaluation import greedy_episodes
from qtwin.engine.played import EVAL_MAX_STEPS
from qtwin.engine.spread import Spread
from qtwin.envs.base import JaxEnv
from qtwin.envs.spec import EnvSpec
from qtwin.measure import diagnostics
from qtwin.measure.overestimation import Overestimation
from qtwin.processes.collect import begin, collect
from qtwin.processes.regress import optimiser_state, regress
from qtwin.processes.update_target import Target, targets
from qtwin.rates import Cycle, cycle_of
from qtwin.rng import EVALUATE, INIT, stream
from qtwin.state import TrainState, empty_tally, no_faults
from qtwin.twin import twin
from qtwin.types import Clock, Timestep


def new_state(algorithm: Algorithm, env: JaxEnv, turn: Cycle, key) -> TrainState:
    """One seed's state before anything has happened."""
    world = begin(env, turn.envs, key)._replace(held=nothing_held(turn.envs, algorithm.zeta))
    return state_around(algorithm, env.spec, turn, world, key)


def state_around(algorithm: Algorithm, spec: EnvSpec, turn: Cycle, world, key) -> TrainState:
    """The same with the environments' part given: ``world`` is a World, or () where it is kept elsewhere."""
    rule = algorithm.rates.target_update
    online = algorithm.agent.init(stream(key, INIT, 0))
    obs = jax.ShapeDtypeStruct(spec.obs_shape, jnp.dtype(spec.obs_dtype))
    action = jax.ShapeDtypeStruct(spec.action_shape, jnp.dtype(spec.action_dtype))
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    example = Timestep(obs, action, scalar, scalar, obs, jax.ShapeDtypeStruct((), jnp.bool_))
    sibling = algorithm.sibling
    pair = twin(online, rule, algorithm.stats_policy, algorithm.target_parts, sibling)
    second = pair.sibling_variables or online
    return TrainState(
        clock=Clock(jnp.int32(0), jnp.int32(0), jnp.int32(0), jnp.int32(0)),
        twin=pair,
        memory=rule.init(online.params if pair.target_variables is None else pair.target_variables.params),
        optimiser=optimiser_state(algorithm, online.params),
        replay=algorithm.replay.init(example, turn),
        world=world,
        tally=empty_tally(self_loss=sibling is not None),
        key=key,
        sibling=() if sibling is None else sibling.rule.init(second.params),
        faults=no_faults(),
    )


def fused_cycle(algorithm: Algorithm, env: JaxEnv, turn: Cycle, drop: bool = False):
    """``(state, gradient steps per cycle []) -> state``: one turn of the three processes, to be compiled."""
    if turn.transitions:
        process_1 = collect(algorithm, env, turn.envs, turn.vector_steps, drop=drop)
    else:
        process_1 = lambda s: s  # noqa: E731  offline: nothing is collected
    return in_one_program(algorithm, turn, process_1)


def in_one_program(algorithm: Algorithm, turn: Cycle, process_1):
    """``(state, gradient steps per cycle []) -> state``: the cycle with XLA's loop and conditional, to be compiled.

    The number of gradient steps comes in as a traced value: were it a constant 1, XLA would remove the loop around the
    regression, the reads of the replay would stand beside the write, and the replay would be copied at every cycle.
    """
    process_3 = regress(algorithm, turn.gradient_steps)

    def turn_once(s: TrainState, gradient_steps) -> TrainState:
        def repeat(step, times):
            del times
            return lambda s: jax.lax.fori_loop(0, gradient_steps, lambda _, s: step(s), s)

        return cycle(process_1, process_3, targets(algorithm), turn.gradient_steps, repeat, when_due)(s)

    return turn_once


def when_due(target: Target, s: TrainState) -> TrainState:
    """Moves a target if it is due, inside a compiled program."""
    if target.rule.every == 1:
        return target.move(s)  # due after every gradient step: a conditional would only copy the target
    # Only what a move of the target writes comes out of the conditional, for all that comes out is copied: never the
    # replay, nor the online network.
    written = jax.lax.cond(target.due(s), lambda: target.read(target.move(s)), lambda: target.read(s))
    return target.write(s, written)


def one_step(algorithm: Algorithm, turn: Cycle):
    """``state -> state``: a gradient step and what process 2 does after it, with nothing collected."""
    turn_once = in_one_program(algorithm, turn, lambda s: s)
    return lambda s: turn_once(s, jnp.int32(1))


class Fused(NamedTuple):
    """An algorithm on an environment, as programs to be compiled; every state holds ``len(seeds)`` seeds.

    Attributes:
      turn: the cycle in whole numbers.
      mesh: the devices that the seeds are spread over.
      init: ``seeds -> state``.
      warm_up: ``(state, vector steps) -> state``: gathers at random.
      advance: ``(state, cycles) -> state``: turns the three processes.
      advance_program: the program behind ``advance``, ``(state, cycles, gradient steps per cycle) -> state``.
      evaluate: ``(state, count) -> Played``, each [seeds, episodes]: greedy episodes, drawn anew for each ``count``.
      probe: ``state -> batch``: each seed's probe batch.
      read: ``(state, probe) -> Readings``, each [seeds].
    """

    turn: Cycle
    mesh: Mesh
    init: Callable
    warm_up: Callable
    advance: Callable
    advance_program: Callable
    evaluate: Callable
    probe: Callable
    read: Callable


def fused(
    algorithm: Algorithm,
    env: JaxEnv,
    envs: int,
    devices: list | None = None,
    lanes: int = 1,
    episodes: int = 10,
    drop: bool = False,
    limit: int = EVAL_MAX_STEPS,
    judge: Overestimation | None = None,
) -> Fused:
    """Compiles an algorithm with an environment into one program per device.

    Args:
      algorithm: what to run.
      env: one environment written in JAX.
      envs: how many of them, for each seed.
      devices: the seeds are spread over these; the first of ``jax.devices()`` if left out.
      lanes: seeds on one device, mapped side by side. More than one is for accelerators: a CPU gains nothing by it, and
        only with one lane are a seed's bits independent of how many run.
      episodes: greedy episodes in one evaluation of one seed.
      drop: an environment that gives what is not finite is replaced (`qtwin.processes.collect.collect`).
      limit: steps after which an evaluation episode is cut. [transitions]
      judge: how the values of evaluation episodes are held against what followed; None leaves it.
    """
    turn = cycle_of(algorithm.rates, envs)
    spread = Spread.over(list(devices or jax.devices()[:1]), lanes)
    turn_once = fused_cycle(algorithm, env, turn, drop)
    gather = collect(algorithm, env, envs, 1, random=True, drop=drop)
    begin_all = spread.begin(lambda key: new_state(algorithm, env, turn, key))

    def init(seeds) -> TrainState:
        if len(seeds) != spread.seeds:
            raise ValueError(f"expected {spread.seeds} seeds, got {len(seeds)}")
        return begin_all(jax.vmap(rng.root)(jnp.asarray(seeds, jnp.uint32)))

    def test(s: TrainState, count):
        key = stream(s.key, EVALUATE, count)
        return greedy_episodes(algorithm.agent, env, s.twin.online, episodes, key, judge, limit, drop)

    def measured(function: Callable, others: int, by_seed: bool = False) -> Callable:
        return spread.program(function, others, out_axes=0, donate=False, by_seed=by_seed)

    warm_up = spread.program(lambda s, steps: jax.lax.fori_loop(0, steps, lambda _, s: gather(s), s), 1)
    advance = spread.program(
        lambda s, cycles, steps: jax.lax.fori_loop(0, cycles, lambda _, s: turn_once(s, steps), s), 2
    )
    evaluate = measured(test, 1)
    return Fused(
        turn,
        spread.mesh,
        init,
        lambda s, steps: warm_up(s, np.int32(steps)),
        lambda s, cycles: advance(s, np.int32(cycles), np.int32(turn.gradient_steps)),
        advance,
        lambda s, count: evaluate(s, np.int32(count)),
        measured(diagnostics.probe_of(algorithm, turn.gradient_steps), 0),
        measured(diagnostics.read(algorithm, one_step(algorithm, turn)), 1, by_seed=True),
    )
