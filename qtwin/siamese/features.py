"""Features of images, and how good they are: what a run is judged by at each log point and at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.config.siamese import SiameseConfig
from qtwin.nets.encoders import encoder_network, in_a_row
from qtwin.siamese import augment, judge, recipe
from qtwin.siamese.data import Images
from qtwin.siamese.views import as_floats, augmentation_of
from qtwin.types import Array, Variables

CHUNK = 256  # images encoded at a time
RANKED = 2_000  # images whose features the effective rank is measured on: a singular value decomposition of all is slow


class Judgement(NamedTuple):
    """How good a network's features are.

    Attributes:
      knn: share of the test images that their 20 nearest neighbours label rightly; nan where there are no labels.
      spread: the collapse meter, `qtwin.siamese.judge.spread` of the projections of one batch of views, normalised by
        that batch as while learning: 1 spread out, 0 collapsed.
      effective_rank: of the features, `qtwin.siamese.judge.effective_rank`.
    """

    knn: float
    spread: float
    effective_rank: float


def featuriser(image_shape: tuple[int, ...], encoder: str) -> Callable[[Variables, Array], np.ndarray]:
    """``(encoder's variables, images [M, H, W, C]) -> features [M, D]``, the images some at a time."""
    net, size = encoder_network(image_shape, encoder)
    apply = jax.jit(lambda variables, x: net.apply(variables, as_floats(x)))

    def features(variables: Variables, images: Array) -> np.ndarray:
        out = np.empty((len(images), size), np.float32)
        for start in range(0, len(images), CHUNK):
            part = images[start : start + CHUNK]
            whole = np.concatenate([part, np.zeros((CHUNK - len(part), *part.shape[1:]), part.dtype)])
            out[start : start + CHUNK] = np.asarray(apply(variables, whole))[: len(part)]
        return out

    return features


def judging(images: Images, c: SiameseConfig) -> Callable[[Variables], Judgement]:
    """``online variables -> Judgement``, on the same images and views each time."""
    features = featuriser(images.train.shape[1:], c.encoder)
    encoder, projector = recipe.encoder_and_projector(images.train, c)
    project = in_a_row(encoder=encoder, projector=projector)
    probe, key = images.train[: c.batch], rng.root(np.uint32(0))

    @jax.jit
    def projections(variables: Variables, probe: Array) -> Array:
        first, _ = augment.two_views(augmentation_of(c.augment), key, as_floats(jnp.asarray(probe)))
        return project.learn(variables, first, key)[0]

    def judge_features(variables: Variables) -> Judgement:
        encoder_alone = variables.part("encoder")
        known = features(encoder_alone, images.train)
        knn = np.nan
        if images.train_labels is not None:
            guessed = judge.nearest_neighbours(known, images.train_labels, features(encoder_alone, images.test))
            knn = float(np.mean(guessed == images.test_labels))
        spread = judge.spread(projections(variables, probe))
        return Judgement(knn, spread, float(judge.effective_rank(known[:RANKED])))

    return judge_features


def linear_accuracy(features: Callable, variables: Variables, images: Images) -> float:
    """Share of the test images that a linear probe on the encoder's features labels rightly; nan without labels."""
    if images.train_labels is None:
        return float("nan")
    known, asked = features(variables, images.train), features(variables, images.test)
    return float(np.mean(judge.linear_probe(known, images.train_labels, asked) == images.test_labels))


def of_raw_pixels(images: Images) -> float:
    """Share of the test images that the nearest neighbours of their bare pixels label rightly; nan without labels."""
    if images.train_labels is None:
        return float("nan")
    flat = [np.asarray(as_floats(x)).reshape(len(x), -1) for x in (images.train, images.test)]
    return float(np.mean(judge.nearest_neighbours(flat[0], images.train_labels, flat[1]) == images.test_labels))
