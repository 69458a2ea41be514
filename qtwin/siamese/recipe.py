"""What the methods share: their networks' shapes, their optimiser and their rates."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from qtwin.algorithm import Agent
from qtwin.config.siamese import SiameseConfig
from qtwin.nets.encoders import encoder_network, head_network
from qtwin.nets.names import widths_choice
from qtwin.nets.net import Net
from qtwin.rates import Rates
from qtwin.siamese.catalog import METHODS
from qtwin.siamese.views import steps_of_pass
from qtwin.target_update import specs
from qtwin.types import Array, Variables


def widths_of(c: SiameseConfig) -> tuple[int, ...]:
    """The widths of the projector's layers."""
    return widths_choice(c.projector, f"--projector is written WIDTH,WIDTH,..., not '{c.projector}'; write 128,128")


def encoder_and_projector(images: Array, c: SiameseConfig) -> tuple[Net, Net]:
    """images [B, H, W, C] -> features [B, D], and features -> projections [B, P]."""
    encoder, features = encoder_network(images.shape[1:], c.encoder)
    output = c.batch_norm == "all" or (c.batch_norm == "default" and METHODS[c.method].norm_on_output)
    return encoder, head_network(features, widths_of(c), c.batch_norm != "none", output)


def predictor(c: SiameseConfig) -> Net:
    """projections [B, P] -> predictions [B, P]: two layers, the hidden one ``c.bottleneck`` wide."""
    size = widths_of(c)[-1]
    hidden = c.bottleneck or max(size // 4, 1)
    return head_network(size, (hidden, size), c.batch_norm != "none", c.batch_norm == "all")


def gradient_steps(c: SiameseConfig, images: int) -> int:
    """The length of a run: whole batches in a pass over the images, times passes. [gradient steps]"""
    return c.epochs * steps_of_pass(images, c.batch)


def rates_of(c: SiameseConfig, images: int) -> Rates:
    """Nothing is collected; a gradient step per cycle, and the target follows."""
    return Rates(0, 1, specs.parse(c.target, gradient_steps(c, images)))


def sgd(c: SiameseConfig, steps: int) -> optax.GradientTransformation:
    """SGD with momentum and weight decay, its rate falling along a cosine over ``steps`` gradient steps.

    The predictor's rate stays as it is, unless it is to fall as well or not to learn (Chen & He 2021, table 1).
    """

    def rule(rate: float | Callable) -> optax.GradientTransformation:
        return optax.chain(optax.add_decayed_weights(c.weight_decay), optax.sgd(rate, c.momentum))

    rate = c.learning_rate * c.batch / 256
    falling = rule(optax.cosine_decay_schedule(rate, steps))
    of_predictor = {"learned": rule(rate), "fixed": optax.set_to_zero()}.get(c.predictor, falling)
    return optax.partition(
        {"others": falling, "predictor": of_predictor},
        lambda params: {
            part: jax.tree.map(lambda _: "predictor" if part == "predictor" else "others", leaves)
            for part, leaves in params.items()
        },
    )


def looking(init: Callable[[Array], Variables], loss: Callable) -> Agent:
    """An agent that looks at images and does nothing: its one action is 0."""
    return Agent(init, lambda variables, obs, explore, key: jnp.zeros(obs.shape[0], jnp.int32), loss)
