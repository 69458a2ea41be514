"""Collapse, where it must come and where it must not: the shape of SimSiam's ablations on a few digits."""

import dataclasses

import jax
import pytest

from qtwin.engine.fused import fused
from qtwin.request.siamese_defaults import defaults_for
from qtwin.run.siamese.train import method_of, nowhere
from qtwin.siamese.data import scattered_digits
from qtwin.siamese.features import judging

pytestmark = pytest.mark.optimised
LAST = 10  # gradient steps that the loss is averaged over
EPOCHS, IMAGES = 20, 700
# Of five seeds at these settings the spread was 0.96 to 0.98 with both, 0.38 to 0.59 without stop-gradient and 0.50 to
# 0.76 without predictor, and the loss -0.43 to -0.65, -0.79 to -0.85 and -0.61 to -0.65: what tells collapse is the
# spread, as a pair that learns comes to agree as well. The bounds lie between. Neighbours got worse with both, too.
CONFIG = dataclasses.replace(
    defaults_for("simsiam", "digits"), batch=32, epochs=EPOCHS, augment="crop:0.5+shift:6+colour", learning_rate=0.6
)


@pytest.fixture(scope="module")
def images():
    digits = scattered_digits()
    return digits._replace(train=digits.train[:IMAGES], train_labels=digits.train_labels[:IMAGES])


def learned(images, **ablation):
    """The untrained network's judgement, the trained one's, and its loss at the end."""
    config = dataclasses.replace(CONFIG, **ablation)
    engine, judge = fused(method_of(images.train, config), nowhere(), 1), judging(images, config)
    online = lambda state: jax.tree.map(lambda leaf: leaf[0], state.twin.online)  # noqa: E731
    state = engine.init([0])
    untrained = judge(online(state))
    state = engine.advance(state, EPOCHS * (IMAGES // config.batch) - LAST)
    before = float(state.tally.loss[0])
    state = engine.advance(state, LAST)
    return untrained, judge(online(state)), (float(state.tally.loss[0]) - before) / LAST


def test_with_stop_gradient_and_predictor_features_stay_spread_out(images):
    untrained, found, loss = learned(images)
    assert 0.9 < found.spread < 1.1, "within a tenth of 1 / sqrt(d)"
    assert -0.75 < loss < -0.3, "it learns to agree, and not on everything"
    assert found.effective_rank > 0.75 * untrained.effective_rank, "in every direction"


@pytest.mark.parametrize(
    ("ablation", "widest", "worst"),
    [({"stop_gradient": False}, 0.7, -0.7), ({"predictor": "none"}, 0.85, -0.5)],
    ids=["no stop", "no predictor"],
)
def test_without_either_they_collapse(images, ablation, widest, worst):
    _, found, loss = learned(images, **ablation)
    assert found.spread < widest, "far below 1 / sqrt(d)"
    assert loss < worst, "while they agree"
