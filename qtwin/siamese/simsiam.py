"""SimSiam: Chen & He, "Exploring simple Siamese representation learning", 2021."""

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


def simsiam(images: Array, c: SiameseConfig) -> Algorithm:
    """SimSiam on ``images`` [M, H, W, C], and its ablations: no stop-gradient, another predictor, other batch norms."""

    # NETWORK: f = projector(encoder(x)), and on the online side alone a predictor h
    encoder, projector = recipe.encoder_and_projector(images, c)
    parts = {"encoder": encoder, "projector": projector}
    project = on_both(in_a_row(**parts))
    if c.predictor == "none":
        predict = on_both(in_a_row())
    else:
        parts["predictor"] = recipe.predictor(c)
        predict = on_both(in_a_row(predictor=parts["predictor"]))

    # TARGET: z = f_target(x) of both views; tied, the very same f behind a stop-gradient
    def target(twin, batch, key):
        return project(twin.target if c.stop_gradient else twin.online, batch, key)

    # LOSS: L = D(p1, sg z2) / 2 + D(p2, sg z1) / 2 with p = h(f(x)) and D = -cos (equation 2, algorithm 1)
    def loss(twin, batch, key):
        z, stats = project(twin.online, batch, key)
        p, stats = predict(Variables(twin.online.params, stats), z, key)
        z_target, target_stats = target(twin, batch, key)
        similar = losses.agreement(p, z_target, c.symmetric, c.stop_gradient)
        return -jnp.mean(similar), Aux(1 - similar, similar, stats, target_stats)

    # RATES: a gradient step per batch, the twins tied
    return Algorithm(
        agent=recipe.looking(side_by_side(**parts), loss),
        rates=recipe.rates_of(c, len(images)),
        replay=views(images, augmentation_of(c.augment), c.batch),
        optimiser=recipe.sgd(c, recipe.gradient_steps(c, len(images))),
        explore=exploration.constant(0.0),
        stats_policy=c.stats_policy,
        target_parts=("encoder", "projector"),
    )
