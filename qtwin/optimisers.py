"""Optimisers by name; optax's, with the one choice that decides curves said aloud."""

from __future__ import annotations

import jax
import optax

from qtwin.config import Config
from qtwin.errors import Refusal
from qtwin.names import optimiser_choice


def parse(spec: str, learning_rate: float, max_gradient_norm: float = 0.0) -> optax.GradientTransformation:
    """The optimiser that ``spec`` asks for.

    ``rmsprop`` is the centred RMSProp of the Nature paper (decay 0.95 for both averages). Where its epsilon stands
    decides the curve: torch (MinAtar's own DQN) adds it outside the square root, the Nature code inside.

    Args:
      spec: ``adam[:EPS[:B1]]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]``.
      learning_rate: positive.
      max_gradient_norm: gradients are scaled down to this global norm; 0 leaves them as they are.
    """
    kind, eps, inside, b1 = optimiser_choice(spec)
    if not learning_rate > 0:
        raise Refusal(f"the learning rate is a positive number, not {learning_rate}; write for example --lr 0.00025")
    if kind == "adam":
        step = optax.adam(learning_rate, b1=b1, eps=eps)
    elif kind == "sgd":
        step = optax.sgd(learning_rate)
    else:
        step = optax.rmsprop(learning_rate, decay=0.95, eps=eps, centered=True, eps_in_sqrt=inside)
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), step) if max_gradient_norm else step


def of_improvement(c: Config, parts: tuple[str, ...]) -> optax.GradientTransformation:
    """The optimiser of policy improvement: the actor and, where it is learned, the temperature, each at its own rate.

    Args:
      c: names the optimiser, its rates, and the norm that the actor's gradient is kept to.
      parts: ``("actor",)`` or ``("actor", "temperature")``.
    """
    actor = parse(c.optimiser, c.actor_learning_rate or c.learning_rate, c.max_gradient_norm)
    each = {"actor": actor, "temperature": parse(c.optimiser, c.learning_rate)}
    each = {part: each[part] for part in parts}
    return optax.partition(each, lambda params: {part: jax.tree.map(lambda _: part, params[part]) for part in params})
