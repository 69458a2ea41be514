"""Collapse, where it must come and where it must not: the shape of SimSiam's ablations on a few digits."""

import dataclasses

import jax
import pytest

from qtwin.engine.fused import fused
from qtwin.siamese.data import scattered_digits
from qtwin.siamese.defaults import defaults_for
from qtwin.siamese.features import judging
from qtwin.siamese.run import method_of, nowhere

LAST = 10  # gradient steps that the loss is averaged over
CONFIG = dataclasses.replace(
    defaults_for("simsiam", "digits"), batch=64, epochs=25, augment="crop:0.5+shift:6+colour", learning_rate=0.6
)


@pytest.fixture(scope="module")
def images():
    digits = scattered_digits()
    return digits._replace(train=digits.train[:700], train_labels=digits.train_labels[:700])


def learned(images, **ablation):
    """The untrained network's judgement, the trained one's, and its loss at the end."""
    config = dataclasses.replace(CONFIG, **ablation)
    engine, judge = fused(method_of(images.train, config), nowhere(), 1), judging(images, config)
    online = lambda state: jax.tree.map(lambda leaf: leaf[0], state.twin.online)  # noqa: E731
    state = engine.init([0])
    untrained = judge(online(state))
    state = engine.advance(state, 25 * (700 // 64) - LAST)
    before = float(state.tally.loss[0])
    state = engine.advance(state, LAST)
    return untrained, judge(online(state)), (float(state.tally.loss[0]) - before) / LAST


def test_with_stop_gradient_and_predictor_features_stay_spread_out(images):
    untrained, found, loss = learned(images)
    assert 0.9 < found.spread < 1.1, "within a tenth of 1 / sqrt(d)"
    assert -0.75 < loss < -0.3, "it learns to agree, and not on everything"
    assert found.effective_rank > 0.75 * untrained.effective_rank, "in every direction"


@pytest.mark.parametrize(
    ("ablation", "most"),
    [({"stop_gradient": False}, 0.6), ({"predictor": "none"}, 0.8)],
    ids=["no stop", "no predictor"],
)
def test_without_either_they_collapse(images, ablation, most):
    untrained, found, loss = learned(images, **ablation)
    assert loss < -0.68, "towards -1"
    assert found.spread < most, "far below 1 / sqrt(d)"
    assert found.knn < untrained.knn - 0.05, "worse than before it learned anything"
