"""MoCo: He et al., "Momentum contrast for unsupervised visual representation learning", 2020; v2 of the same year."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from qtwin.acting import exploration
from qtwin.algorithm import Algorithm
from qtwin.config.siamese import SiameseConfig
from qtwin.nets.encoders import in_a_row
from qtwin.nets.net import side_by_side
from qtwin.siamese import losses, recipe
from qtwin.siamese.views import augmentation_of, views
from qtwin.types import Array, Aux, Variables


def moco(images: Array, c: SiameseConfig) -> Algorithm:
    """MoCo v2 on ``images`` [M, H, W, C]: a dictionary that is a queue, with keys from a slowly following twin.

    The queue is part of the online network's statistics: carried from step to step, saved with the run. The paper
    shuffles the keys' batch over several accelerators, so that batch norm cannot give a pair away; on one there is
    nothing to shuffle over.
    """

    # NETWORK: f = projector(encoder(x)), the query encoder online and the key encoder its target
    encoder, projector = recipe.encoder_and_projector(images, c)
    project = in_a_row(encoder=encoder, projector=projector)
    size = recipe.widths_of(c)[-1]

    def init(key):
        network, queue = jax.random.split(key)
        begun = side_by_side(encoder=encoder, projector=projector)(network)
        keys = losses.normalised(jax.random.normal(queue, (c.queue, size)))
        return Variables(begun.params, {**begun.stats, "queue": {"keys": keys, "oldest": jnp.int32(0)}})

    # TARGET: the keys k = f_target(x) of the second view
    def target(twin, batch, key):
        keys, stats = project.learn(twin.target, batch.second, key)
        return losses.normalised(keys), stats

    # LOSS: L = -log(exp(q k+ / T) / (exp(q k+ / T) + sum over the queue of exp(q k_i / T))) (equation 1)
    def loss(twin, batch, key):
        queue = twin.online.stats["queue"]
        query, stats = project.learn(twin.online, batch.first, key)
        keys, target_stats = target(twin, batch, key)
        similar = losses.cosine(query, keys)
        slots = (queue["oldest"] + jnp.arange(c.batch)) % c.queue
        later = {"keys": queue["keys"].at[slots].set(keys), "oldest": (queue["oldest"] + c.batch) % c.queue}
        nce = losses.info_nce(query, keys, queue["keys"], c.temperature)
        return nce, Aux(1 - similar, similar, {**stats, "queue": later}, target_stats)

    # RATES: a gradient step per batch, the key encoder a little way after each of them (equation 2)
    return Algorithm(
        agent=recipe.looking(init, loss),
        rates=recipe.rates_of(c, len(images)),
        replay=views(images, augmentation_of(c.augment), c.batch),
        optimiser=recipe.sgd(c, recipe.gradient_steps(c, len(images))),
        explore=exploration.constant(0.0),
        stats_policy=c.stats_policy,
        target_parts=("encoder", "projector"),
    )
