"""BYOL: Grill et al., "Bootstrap your own latent: a new approach to self-supervised learning", 2020."""

from __future__ import annotations

import jax.numpy as jnp

from qtwin.acting import exploration
from qtwin.algorithm import Algorithm
from qtwin.config.siamese import SiameseConfig
from qtwin.nets.encoders import in_a_row, on_both
from qtwin.nets.net import side_by_side
from qtwin.siamese import losses, recipe
from qtwin.siamese.views import augmentation_of, views
from qtwin.types import Array, Aux, Variables


def byol(images: Array, c: SiameseConfig) -> Algorithm:
    """BYOL on ``images`` [M, H, W, C], with SGD in the place of LARS."""

    # NETWORK: f = projector(encoder(x)), and on the online side alone a predictor q
    encoder, projector = recipe.encoder_and_projector(images, c)
    parts = {"encoder": encoder, "projector": projector}
    project = on_both(in_a_row(**parts))
    if c.predictor == "none":
        predict = on_both(in_a_row())
    else:
        parts["predictor"] = recipe.predictor(c)
        predict = on_both(in_a_row(predictor=parts["predictor"]))

    # TARGET: z' = f_target(x) of both views, by a network that follows softly (equation 1)
    def target(twin, batch, key):
        return project(twin.target, batch, key)

    # LOSS: L = 2 - 2 cos(q(f(v)), sg z'(v')) + the same with the views exchanged (equation 2)
    def loss(twin, batch, key):
        z, stats = project(twin.online, batch, key)
        q, stats = predict(Variables(twin.online.params, stats), z, key)
        z_target, target_stats = target(twin, batch, key)
        similar = losses.agreement(q, z_target, c.symmetric)
        views_predicted = 2 if c.symmetric else 1
        return views_predicted * jnp.mean(2 - 2 * similar), Aux(1 - similar, similar, stats, target_stats)

    # RATES: a gradient step per batch, the target after each of them
    return Algorithm(
        agent=recipe.looking(side_by_side(**parts), loss),
        rates=recipe.rates_of(c, len(images)),
        replay=views(images, augmentation_of(c.augment), c.batch),
        optimiser=recipe.sgd(c, recipe.gradient_steps(c, len(images))),
        explore=exploration.constant(0.0),
        stats_policy=c.stats_policy,
        target_parts=("encoder", "projector"),
    )
