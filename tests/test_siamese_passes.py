"""A pass over the images is a pass: each is shown once, in an order drawn from the run's key and the pass alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qtwin.acting import exploration
from qtwin.algorithm import Agent, Algorithm
from qtwin.config.siamese import SiameseConfig
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.errors import Refusal
from qtwin.rates import Rates
from qtwin.run.siamese.train import _passes, nowhere
from qtwin.siamese.recipe import gradient_steps
from qtwin.siamese.views import Gallery, steps_of_pass, views
from qtwin.target_update import specs
from qtwin.types import Aux, Variables

COUNT, BATCH = 20, 6  # three batches in a pass, two images left over
IMAGES = np.arange(COUNT, dtype=np.uint8)[:, None, None, None]  # each says which it is: [20, 1, 1, 1]
KEY = jax.random.key(7)


def numbered(batch=BATCH, images=IMAGES):
    """The images with no augmentation, so that a view says which image it is of."""
    return views(images, lambda key, image: image, batch)


@pytest.fixture(scope="module", name="rows")
def what_each_gradient_step_reads():
    """``(key, counts) -> [len(counts), 2, B]``, each of them drawn on its own."""
    replay = numbered()
    one = jax.jit(lambda key, count: jnp.stack(replay.sample_at(Gallery(jnp.asarray(IMAGES)), key, count)))

    def read(key, counts):
        found = [np.asarray(one(key, jnp.int32(count)))[..., 0, 0, 0] * 255 for count in counts]
        return np.rint(np.stack(found)).astype(int)

    return read


def test_a_pass_shows_each_image_once_and_leaves_out_only_what_fills_no_batch(rows):
    seen = rows(KEY, range(3 * 6))[:, 0].reshape(6, 3 * BATCH)  # six passes
    for order in seen:
        assert len(set(order)) == 18, "no image twice in a pass"
    assert len({tuple(order) for order in seen}) == 6, "each pass in an order of its own"
    assert len({tuple(sorted(order)) for order in seen}) > 1, "and not always without the same two images"


def test_both_views_of_a_pair_are_of_one_image(rows):
    first, second = rows(KEY, range(6)).transpose(1, 0, 2)
    np.testing.assert_array_equal(first, second)


def test_what_a_step_reads_does_not_depend_on_what_was_drawn_before(rows):
    """A run that is resumed in the middle of a pass goes on with the images that the pass has left."""
    whole = rows(KEY, range(12))
    np.testing.assert_array_equal(rows(KEY, range(7, 12)), whole[7:])
    assert (rows(jax.random.key(8), range(12)) != whole).any(), "another seed, another order"


def test_each_image_is_shown_in_each_place_of_a_pass_as_often(rows):
    """200 passes: an image comes first in 10 of them on average; 30 would be a chance of one in a million."""
    firsts = np.bincount([rows(KEY, [3 * number])[0, 0, 0] for number in range(200)], minlength=COUNT)
    assert firsts.max() < 30
    assert (firsts > 0).sum() > 15


@pytest.mark.parametrize("batch", [21, 0, -1])
def test_a_batch_that_no_pass_can_fill_is_refused(batch):
    with pytest.raises(Refusal, match="20 images"):
        numbered(batch)
    with pytest.raises(Refusal, match="20 images"):
        gradient_steps(SiameseConfig(batch=batch), COUNT)
    assert steps_of_pass(20, 20) == 1
    assert gradient_steps(SiameseConfig(batch=BATCH, epochs=4), COUNT) == 12
    said = "4 passes of 3 gradient steps, 6 images each; the 2 left over differ from pass to pass"
    assert _passes(SiameseConfig(batch=BATCH, epochs=4), COUNT) == said


def tally_of_images():
    """An algorithm whose parameter of an image goes down by 1 each time a gradient step shows the image."""

    def loss(twin, batch, key):
        del key
        which = jnp.rint(batch.first[:, 0, 0, 0] * 255).astype(jnp.int32)
        shown = jnp.sum(twin.online.params["seen"][which])
        return shown, Aux(jnp.zeros(which.shape), jnp.zeros(which.shape))

    init = lambda key: Variables({"seen": jnp.zeros(18)}, {})  # noqa: E731
    act = lambda variables, obs, explore, key: jnp.zeros(obs.shape[0], jnp.int32)  # noqa: E731
    return Algorithm(
        agent=Agent(init, act, loss), rates=Rates(0, 1, specs.parse("hard:2", 12)),
        replay=numbered(images=IMAGES[:18]), optimiser=optax.sgd(1.0), explore=exploration.constant(0.0),
    )  # fmt: skip


def test_the_engine_shows_each_image_once_in_a_pass_also_where_it_was_stopped_in_the_middle():
    """Two seeds; what they have seen is counted by the gradient itself. 18 images are three batches of 6."""

    def fleet():
        return FusedFleet(tally_of_images(), nowhere(), 1, (0, 1), 1, lambda variables, at: np.zeros(1))

    def seen(of):
        return [-np.rint(of.variables(i).params["seen"]).astype(int) for i in range(2)]

    whole, rest = fleet(), fleet()
    whole.advance(4)  # a pass and a third of one
    halfway = seen(whole)
    assert all(set(each) == {1, 2} and (each == 2).sum() == 6 for each in halfway)
    assert (halfway[0] != halfway[1]).any(), "each seed has an order of its own"
    rest.restore([whole.snapshot(i) for i in range(2)])
    rest.advance(2)
    assert all((each == 2).all() for each in seen(rest)), "the second pass is completed, not begun again"
