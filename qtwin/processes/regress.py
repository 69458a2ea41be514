"""PROCESS 3: gradient steps of the online network towards TD targets computed with the target network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from qtwin.algorithm import Algorithm, PolicyUpdate
from qtwin.processes.finite_updates import chosen, counted, finite, when
from qtwin.rng import IMPROVE, LOSS, SAMPLE, stream
from qtwin.state import Tally, TrainState
from qtwin.twin import Twin
from qtwin.types import Array, Aux, PyTree, Transition, Variables


def regress(algorithm: Algorithm, steps_per_cycle: int) -> Callable[[TrainState], TrainState]:
    """Process 3: ``state -> state`` after one gradient step.

    Args:
      algorithm: its loss, optimiser and replay buffer.
      steps_per_cycle: gradient steps per cycle. A replay buffer that keeps only the transitions of the current cycle
        needs the position in the cycle to read each of them in turn. [gradient steps]
    """

    def process(s: TrainState) -> TrainState:
        # The key depends on the counter of the surrounding loop; otherwise XLA would hoist the reads of the replay
        # buffer out of that loop, next to the write, and copy the whole buffer in every cycle.
        count = s.clock.gradient_steps
        if algorithm.replay.sample_at is None:
            batch = algorithm.replay.sample(s.replay, stream(s.key, SAMPLE, count), count % steps_per_cycle)
        else:
            batch = algorithm.replay.sample_at(s.replay, jax.random.fold_in(s.key, SAMPLE), count)
        loss, aux, pair, optimiser, fine = guarded_step(algorithm, s.twin, s.optimiser, batch, s.key, count)
        replay = s.replay
        if algorithm.replay.update is not None:  # a non-finite TD error sets no priority
            known = aux._replace(td_error=jnp.where(fine, aux.td_error, jnp.zeros_like(aux.td_error)))
            replay = algorithm.replay.update(s.replay, batch, known)
        return s._replace(
            clock=s.clock._replace(gradient_steps=count + 1, age=s.clock.age + 1),
            twin=pair,
            optimiser=optimiser,
            replay=replay,
            memory=chosen(fine, algorithm.rates.target_update.watch(s.memory, loss), s.memory),
            tally=chosen(fine, _add(s.tally, loss, aux), s.tally),
            faults=counted(s.faults, fine),
        )

    return process


class Optimisers(NamedTuple):
    """The optimiser states of an algorithm with an actor.

    Attributes:
      regression: of the regression, for all parts that policy improvement does not train.
      improvement: of policy improvement, for the parts that it trains.
    """

    regression: PyTree
    improvement: PyTree


def optimiser_state(algorithm: Algorithm, params: PyTree) -> PyTree:
    """The initial optimiser state; `Optimisers` for an algorithm with an actor."""
    if algorithm.policy_update is None:
        return algorithm.optimiser.init(params)
    improved, regressed = split(params, algorithm.policy_update.parts)
    return Optimisers(algorithm.optimiser.init(regressed), algorithm.policy_update.optimiser.init(improved))


def split(params: PyTree, parts: tuple[str, ...]) -> tuple[PyTree, PyTree]:
    """Splits ``params`` into the named parts and the others."""
    return {k: v for k, v in params.items() if k in parts}, {k: v for k, v in params.items() if k not in parts}


def gradient_step(
    algorithm: Algorithm, pair: Twin, optimiser: PyTree, batch: Transition, key: Array, count: Array
) -> tuple[Array, Aux, Twin, PyTree]:
    """One gradient step on one batch; only the online parameters are differentiated and updated.

    An update whose loss or gradient is not finite is skipped (`guarded_step`). With an actor, a policy update that is
    due follows immediately, on the same batch and with the updated critic.

    Args:
      algorithm: its losses and optimisers.
      pair: the online and the target network.
      optimiser: the state from `optimiser_state` or from the previous step.
      batch: [B]
      key: the run's key.
      count: gradient steps before this one. []

    Returns:
      the loss of the regression [], its `Aux`, and the twin and the optimiser state after the step.
    """
    return guarded_step(algorithm, pair, optimiser, batch, key, count)[:4]


def guarded_step(
    algorithm: Algorithm, pair: Twin, optimiser: PyTree, batch: Transition, key: Array, count: Array
) -> tuple[Array, Aux, Twin, PyTree, Array]:
    """`gradient_step`, which also returns whether all losses and gradients were finite [] bool.

    A non-finite update is skipped: parameters, statistics and optimiser state stay unchanged. If only the actor's loss
    or gradient is not finite, only the actor's update is skipped.
    """
    improvement, others = algorithm.policy_update, {}
    regressed, state = pair.online.params, optimiser
    if improvement is not None:
        (others, regressed), state = split(regressed, improvement.parts), optimiser.regression

    def objective(params: PyTree) -> tuple[Array, Aux]:
        online = Variables({**others, **params} if others else params, pair.online.stats)
        return algorithm.agent.loss(pair.learn(online), batch, stream(key, LOSS, count))

    (loss, aux), gradient = jax.value_and_grad(objective, has_aux=True)(regressed)
    fine = finite(loss, gradient)

    params, state = when(fine, _step_of(algorithm.optimiser, aux), (regressed, state), gradient)
    stats = pair.online.stats if aux.stats is None else chosen(fine, aux.stats, pair.online.stats)
    online = Variables({**others, **params} if others else params, stats)
    pair = pair.learn(online, _own_stats(pair, aux.target_stats, fine))
    if improvement is None:
        return loss, aux, pair, state, fine

    def improve() -> tuple[PyTree, PyTree, PyTree, Array]:
        return policy_update_step(improvement, pair, optimiser.improvement, batch, stream(key, IMPROVE, count))

    if improvement.every == 1:
        improved, stats, second, also_fine = improve()
    else:
        waits = others, pair.online.stats, optimiser.improvement, jnp.bool_(True)
        improved, stats, second, also_fine = jax.lax.cond((count + 1) % improvement.every == 0, improve, lambda: waits)
    pair = pair.learn(Variables({**pair.online.params, **improved}, stats))
    return loss, aux, pair, Optimisers(state, second), fine & also_fine


def _step_of(optimiser: optax.GradientTransformation, aux: Aux | None = None) -> Callable:
    """``((params, state), gradient) -> (params, state)``: one step of an optimiser."""
    # ``aux`` is passed on for optimisers that scale an eligibility trace of gradients by the TD error.
    transform = optimiser if aux is None else optax.with_extra_args_support(optimiser)
    more = {} if aux is None else {"aux": aux}

    def step(before: tuple[PyTree, PyTree], gradient: PyTree) -> tuple[PyTree, PyTree]:
        params, state = before
        updates, state = transform.update(gradient, state, params, **more)
        return optax.apply_updates(params, updates), state

    return step


def _own_stats(pair: Twin, stats: PyTree, fine: Array) -> PyTree:
    """The target's new batch-norm statistics; under the policy "own", those of finite updates only."""
    if stats is None or pair.target_variables is None or pair.stats_policy != "own":
        return stats
    return {**stats, **chosen(fine, {k: stats[k] for k in pair.target_variables.stats}, pair.target_variables.stats)}


def policy_update_step(
    improvement: PolicyUpdate, pair: Twin, state: PyTree, batch: Transition, key: Array
) -> tuple[PyTree, PyTree, PyTree, Array]:
    """One step of policy improvement; returns the parameters of its parts, all statistics, its optimiser state, and
    whether the update was finite. If not, everything is unchanged.
    """
    improved, others = split(pair.online.params, improvement.parts)

    def objective(params: PyTree) -> tuple[Array, PyTree]:
        online = Variables({**others, **params}, pair.online.stats)
        return improvement.loss(pair.learn(online), batch, key)

    (loss, stats), gradient = jax.value_and_grad(objective, has_aux=True)(improved)
    fine = finite(loss, gradient)
    params, state = when(fine, _step_of(improvement.optimiser), (improved, state), gradient)
    stats = pair.online.stats if stats is None else chosen(fine, stats, pair.online.stats)
    return params, stats, state, fine


def _add(tally: Tally, loss: Array, aux: Aux) -> Tally:
    return tally._replace(
        gradient_steps=tally.gradient_steps + 1,
        loss=tally.loss + loss,
        q=tally.q + jnp.mean(aux.q),
        td_error=tally.td_error + jnp.mean(jnp.abs(aux.td_error)),
        self_loss=None if tally.self_loss is None else tally.self_loss + aux.self_loss,
    )
