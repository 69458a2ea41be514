"""A target that moves softly, but no further in one gradient step than a bound."""

from __future__ import annotations

import qtwin


def bounded(tau: float, most: float) -> qtwin.TargetUpdate:
    """Moves the fraction ``tau`` of the way to the online network, at most the distance ``most``."""
    if not 0 < tau <= 0.5 or not most > 0:
        raise qtwin.Refusal(
            f"bounded:TAU:MOST takes a fraction up to 0.5 and a distance above 0, not {tau} and {most}; write for"
            " example bounded:0.1:0.5"
        )

    def move(memory, online, target):
        import jax
        import jax.numpy as jnp

        gap = jax.tree.map(lambda new, old: new - old, online, target)
        length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gap)))
        fraction = jnp.minimum(tau, most / jnp.maximum(length, 1e-12))
        return memory, jax.tree.map(lambda old, way: old + fraction * way, target, gap)

    return qtwin.TargetUpdate(
        spec=f"bounded:{tau:g}:{most:g}", every=1, tau=tau, tied=False, init=lambda params: (),
        watch=lambda memory, loss: memory, due=lambda memory, clock: True, move=move,
    )  # fmt: skip


RECORD = qtwin.TargetRuleInfo(
    "bounded",
    form="bounded:TAU:MOST",
    about="moves the fraction TAU of the way every gradient step, at most the distance MOST",
    paper="",
    make=bounded,
    example="bounded:0.1:0.5",
    least=2,
    most=2,
    marks=":",
)
qtwin.register(RECORD)
