"""Optimisers by name: those of optax, with every choice that affects learning curves explicit."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from qtwin.config.config import Config
from qtwin.config.option_specs import optimiser_choice
from qtwin.errors import Refusal
from qtwin.types import Aux, PyTree


def parse(
    spec: str, learning_rate: float, max_gradient_norm: float = 0.0, falls_over: int = 0
) -> optax.GradientTransformation:
    """The optimiser that ``spec`` asks for.

    ``rmsprop`` is the centred RMSProp of the Nature paper (decay 0.95 for both averages). Where its epsilon stands
    decides the curve: torch (MinAtar's own DQN) adds it outside the square root, the Nature code inside.

    Args:
      spec: ``adam[:EPS[:B1]]``, ``radam[:EPS]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]``.
      learning_rate: positive.
      max_gradient_norm: gradients are scaled down to this global norm; 0 leaves them as they are.
      falls_over: gradient steps in which the learning rate falls in a straight line to 0; 0 leaves it as it is.
    """
    kind, eps, inside, b1 = optimiser_choice(spec)
    if not learning_rate > 0:
        raise Refusal(f"the learning rate is a positive number, not {learning_rate}; write for example --lr 0.00025")
    rate: Any = optax.linear_schedule(learning_rate, 0.0, falls_over) if falls_over else learning_rate
    if kind == "radam":
        step = optax.radam(rate, eps=eps)
    elif kind == "adam":
        step = optax.adam(rate, b1=b1, eps=eps)
    elif kind == "sgd":
        step = optax.sgd(rate)
    else:
        step = optax.rmsprop(rate, decay=0.95, eps=eps, centered=True, eps_in_sqrt=inside)
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), step) if max_gradient_norm else step


def optimiser_of(c: Config) -> optax.GradientTransformation:
    """The optimiser that a config asks for: its ``optimiser``, ``learning_rate`` and ``max_gradient_norm``."""
    return parse(c.optimiser, c.learning_rate, c.max_gradient_norm)


def of_policy_update(c: Config, parts: tuple[str, ...]) -> optax.GradientTransformation:
    """The optimiser of policy improvement: the actor and, where it is learned, the temperature, each at its own rate.

    Args:
      c: names the optimiser, its rates, and the norm that the actor's gradient is kept to.
      parts: ``("actor",)`` or ``("actor", "temperature")``.
    """
    actor = parse(c.optimiser, c.actor_learning_rate or c.learning_rate, c.max_gradient_norm)
    each: dict[Any, Any] = {"actor": actor, "temperature": parse(c.optimiser, c.learning_rate)}
    each = {part: each[part] for part in parts}
    return optax.partition(each, lambda params: {part: jax.tree.map(lambda _: part, params[part]) for part in params})


class Traces(NamedTuple):
    """The eligibility traces: for each parameter the discounted sum of its gradients."""

    trace: PyTree


def obgd(learning_rate: float, decay: float, kappa: float = 2.0) -> optax.GradientTransformationExtraArgs:
    """Overshooting-bounded gradient descent (Elsayed et al. 2024, algorithm 3).

    z <- gamma lambda z + g; the step alpha is cut to 1 / (kappa max(|delta|, 1) |z|_1) where that is smaller, so that
    no step carries the value past its target; w <- w - alpha delta z, g the gradient of -Q(s, a).

    Args:
      learning_rate: alpha, 1 in the paper.
      decay: gamma lambda.
      kappa: how far below the bound.

    Returns:
      a transformation whose ``update`` takes ``aux`` with ``td_error`` [1] and ``ended`` [1], where the trace ends.
    """

    def init(params: PyTree) -> Traces:
        return Traces(jax.tree.map(jnp.zeros_like, params))

    def update(gradient: PyTree, state: Traces, params: PyTree = None, *, aux: Aux, **others) -> tuple[PyTree, Traces]:
        del params, others
        delta = aux.td_error[0]
        trace = jax.tree.map(lambda z, g: decay * z + g, state.trace, gradient)
        size = sum(jnp.sum(jnp.abs(z)) for z in jax.tree.leaves(trace))
        bound = learning_rate * kappa * jnp.maximum(jnp.abs(delta), 1.0) * size
        step = learning_rate / jnp.maximum(bound, 1.0)
        ended: Any = aux.ended
        goes_on = 1.0 - ended[0]
        return jax.tree.map(lambda z: -step * delta * z, trace), Traces(jax.tree.map(lambda z: goes_on * z, trace))

    updates: Any = update  # optax's type knows of no named extra argument
    return optax.GradientTransformationExtraArgs(init, updates)
