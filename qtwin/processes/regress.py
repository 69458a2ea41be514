"""PROCESS 3: a gradient step of the online network towards targets that its frozen twin computes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from qtwin.agent import Algorithm
from qtwin.engine.state import LOSS, SAMPLE, Tally, TrainState, stream
from qtwin.twin import Twin
from qtwin.types import Array, Aux, PyTree, Transition, Variables


def regress(algorithm: Algorithm, steps_per_cycle: int) -> Callable[[TrainState], TrainState]:
    """Process 3: ``state -> state`` after one gradient step.

    Args:
      algorithm: its loss, its optimiser and its replay.
      steps_per_cycle: gradient steps in one cycle, so that a replay that keeps only the cycle's own transitions knows
        which of them it has already given. [gradient steps]
    """

    def process(s: TrainState) -> TrainState:
        # The key depends on the counter of the loop that this runs in; else XLA would hoist the reads of the replay out
        # of that loop, back beside the write, and copy the whole replay at every cycle.
        count = s.clock.gradient_steps
        batch = algorithm.replay.sample(s.replay, stream(s.key, SAMPLE, count), count % steps_per_cycle)
        loss, aux, pair, optimiser = gradient_step(algorithm, s.twin, s.optimiser, batch, stream(s.key, LOSS, count))
        return s._replace(
            clock=s.clock._replace(gradient_steps=count + 1, age=s.clock.age + 1),
            twin=pair,
            optimiser=optimiser,
            memory=algorithm.rates.target_update.watch(s.memory, loss),
            tally=_add(s.tally, loss, aux),
        )

    return process


def gradient_step(
    algorithm: Algorithm, pair: Twin, optimiser: PyTree, batch: Transition, key: Array
) -> tuple[Array, Aux, Twin, PyTree]:
    """One step of the optimiser on one batch; only the online parameters are differentiated, and only they move.

    Returns:
      the loss [], what the loss reported, the twin and the optimiser's state after the step.
    """

    def objective(params: PyTree) -> tuple[Array, Aux]:
        return algorithm.agent.loss(pair.learn(Variables(params, pair.online.stats)), batch, key)

    (loss, aux), gradient = jax.value_and_grad(objective, has_aux=True)(pair.online.params)
    updates, optimiser = algorithm.optimiser.update(gradient, optimiser, pair.online.params)
    params = optax.apply_updates(pair.online.params, updates)
    stats = pair.online.stats if aux.stats is None else aux.stats
    return loss, aux, pair.learn(Variables(params, stats), aux.target_stats), optimiser


def _add(tally: Tally, loss: Array, aux: Aux) -> Tally:
    return tally._replace(
        gradient_steps=tally.gradient_steps + 1,
        loss=tally.loss + loss,
        q=tally.q + jnp.mean(aux.q),
        td_error=tally.td_error + jnp.mean(jnp.abs(aux.td_error)),
    )
