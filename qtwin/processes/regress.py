"""PROCESS 3: a gradient step of the online network towards targets that its frozen twin computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from qtwin.agent import Algorithm, Improvement
from qtwin.engine.state import IMPROVE, LOSS, SAMPLE, Tally, TrainState, stream
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
        loss, aux, pair, optimiser = gradient_step(algorithm, s.twin, s.optimiser, batch, s.key, count)
        return s._replace(
            clock=s.clock._replace(gradient_steps=count + 1, age=s.clock.age + 1),
            twin=pair,
            optimiser=optimiser,
            memory=algorithm.rates.target_update.watch(s.memory, loss),
            tally=_add(s.tally, loss, aux),
        )

    return process


class Optimisers(NamedTuple):
    """The optimisers' states of an algorithm with an actor.

    Attributes:
      regression: of the regression, over all parts but the improvement's.
      improvement: of the policy improvement, over its own parts.
    """

    regression: PyTree
    improvement: PyTree


def optimiser_state(algorithm: Algorithm, params: PyTree) -> PyTree:
    """The optimiser's state to begin with; with an actor `Optimisers`."""
    if algorithm.improvement is None:
        return algorithm.optimiser.init(params)
    improved, regressed = split(params, algorithm.improvement.parts)
    return Optimisers(algorithm.optimiser.init(regressed), algorithm.improvement.optimiser.init(improved))


def split(params: PyTree, parts: tuple[str, ...]) -> tuple[PyTree, PyTree]:
    """``params`` in two: the named parts, and the others."""
    return {k: v for k, v in params.items() if k in parts}, {k: v for k, v in params.items() if k not in parts}


def gradient_step(
    algorithm: Algorithm, pair: Twin, optimiser: PyTree, batch: Transition, key: Array, count: Array
) -> tuple[Array, Aux, Twin, PyTree]:
    """One step of the optimiser on one batch; only the online parameters are differentiated, and only they move.

    With an actor its improvement follows at once when it is due, on the same batch and with the critic as the
    regression has left it.

    Args:
      algorithm: its losses and optimisers.
      pair: the two networks.
      optimiser: from `optimiser_state`, or the last step's.
      batch: [B]
      key: the run's.
      count: gradient steps before this one. []

    Returns:
      the regression's loss [], what it reported, the twin and the optimiser's state after the step.
    """
    improvement, others = algorithm.improvement, {}
    regressed, state = pair.online.params, optimiser
    if improvement is not None:
        (others, regressed), state = split(regressed, improvement.parts), optimiser.regression

    def objective(params: PyTree) -> tuple[Array, Aux]:
        online = Variables({**others, **params} if others else params, pair.online.stats)
        return algorithm.agent.loss(pair.learn(online), batch, stream(key, LOSS, count))

    (loss, aux), gradient = jax.value_and_grad(objective, has_aux=True)(regressed)
    updates, state = algorithm.optimiser.update(gradient, state, regressed)
    params = optax.apply_updates(regressed, updates)
    stats = pair.online.stats if aux.stats is None else aux.stats
    pair = pair.learn(Variables({**others, **params} if others else params, stats), aux.target_stats)
    if improvement is None:
        return loss, aux, pair, state

    def improve() -> tuple[PyTree, PyTree, PyTree]:
        return improvement_step(improvement, pair, optimiser.improvement, batch, stream(key, IMPROVE, count))

    if improvement.every == 1:
        improved, stats, second = improve()
    else:
        waits = others, pair.online.stats, optimiser.improvement
        improved, stats, second = jax.lax.cond((count + 1) % improvement.every == 0, improve, lambda: waits)
    pair = pair.learn(Variables({**pair.online.params, **improved}, stats))
    return loss, aux, pair, Optimisers(state, second)


def improvement_step(
    improvement: Improvement, pair: Twin, state: PyTree, batch: Transition, key: Array
) -> tuple[PyTree, PyTree, PyTree]:
    """One step of policy improvement; returns its parts' parameters, all statistics, and its optimiser's state."""
    improved, others = split(pair.online.params, improvement.parts)

    def objective(params: PyTree) -> tuple[Array, PyTree]:
        online = Variables({**others, **params}, pair.online.stats)
        return improvement.loss(pair.learn(online), batch, key)

    (_, stats), gradient = jax.value_and_grad(objective, has_aux=True)(improved)
    updates, state = improvement.optimiser.update(gradient, state, improved)
    return optax.apply_updates(improved, updates), pair.online.stats if stats is None else stats, state


def _add(tally: Tally, loss: Array, aux: Aux) -> Tally:
    return tally._replace(
        gradient_steps=tally.gradient_steps + 1,
        loss=tally.loss + loss,
        q=tally.q + jnp.mean(aux.q),
        td_error=tally.td_error + jnp.mean(jnp.abs(aux.td_error)),
        self_loss=None if tally.self_loss is None else tally.self_loss + aux.self_loss,
    )
