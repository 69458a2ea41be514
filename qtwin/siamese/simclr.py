"""SimCLR: Chen et al., "A simple framework for contrastive learning of visual representations", 2020."""

from __future__ import annotations

import jax.numpy as jnp

from qtwin.acting import exploration
from qtwin.algorithm import Algorithm
from qtwin.config.siamese import SiameseConfig
from qtwin.nets.encoders import in_a_row, on_both
from qtwin.nets.net import side_by_side
from qtwin.siamese import losses, recipe
from qtwin.siamese.views import augmentation_of, views
from qtwin.types import Array, Aux


def simclr(images: Array, c: SiameseConfig) -> Algorithm:
    """SimCLR on ``images`` [M, H, W, C], with SGD in the place of LARS."""

    # NETWORK: f = projector(encoder(x))
    encoder, projector = recipe.encoder_and_projector(images, c)
    parts = {"encoder": encoder, "projector": projector}
    project = on_both(in_a_row(**parts))

    # TARGET: none. The twins are one and both learn: other images' views hold them apart, not a stop-gradient

    # LOSS: each view's other view is to be told from the 2B - 2 views of other images (equation 1)
    def loss(twin, batch, key):
        z, stats = project(twin.online, batch, key)
        similar = jnp.sum(losses.normalised(z[0]) * losses.normalised(z[1]), axis=-1)
        return losses.nt_xent(*z, c.temperature), Aux(1 - similar, similar, stats)

    # RATES: a gradient step per batch
    return Algorithm(
        agent=recipe.looking(side_by_side(**parts), loss),
        rates=recipe.rates_of(c, len(images)),
        replay=views(images, augmentation_of(c.augment), c.batch),
        optimiser=recipe.sgd(c, recipe.gradient_steps(c, len(images))),
        explore=exploration.constant(0.0),
        stats_policy=c.stats_policy,
        target_parts=("encoder", "projector"),
    )
