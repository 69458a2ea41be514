"""Augmentations: what each does to an image in which it can be seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.siamese import augment
from qtwin.siamese.views import augmentation_of

RNG, KEY = np.random.default_rng(0), jax.random.key(0)
IMAGE = jnp.asarray(RNG.uniform(size=(12, 10, 3)), jnp.float32)
ALL = {
    "crop": augment.resized_crop(), "flip": augment.flip, "shift": augment.shift(2), "colour": augment.colour(),
    "grey": augment.greyscale, "blur": augment.blur(),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_an_image_stays_an_image(name):
    for seed in range(5):
        out = ALL[name](jax.random.key(seed), IMAGE)
        assert out.shape == IMAGE.shape
        assert out.dtype == jnp.float32
        assert 0.0 <= out.min() <= out.max() <= 1.0 + 1e-6


def test_a_shift_is_a_piece_of_the_image_with_its_border_repeated():
    padded = np.pad(IMAGE, ((2, 2), (2, 2), (0, 0)), mode="edge")
    pieces = {padded[i : i + 12, j : j + 10].tobytes(): (i, j) for i in range(5) for j in range(5)}
    drawn = {pieces[np.asarray(ALL["shift"](jax.random.key(seed), IMAGE)).tobytes()] for seed in range(60)}
    assert len(drawn) > 15


def test_a_crop_of_everything_is_the_image_itself():
    crop = augment.resized_crop(1.0, 1.0, 1.0)
    np.testing.assert_allclose(crop(jax.random.key(0), IMAGE), IMAGE, atol=1e-5)


def test_a_crop_of_a_slope_is_a_gentler_slope():
    """On an image that rises by 1 a pixel, a part of half the width rises by 1/2: bilinear interpolation is exact."""
    slope = jnp.broadcast_to(jnp.arange(16.0)[None, :, None] / 16, (16, 16, 1))
    out = np.asarray(augment.resized_crop(0.25, 0.25, 1.0)(jax.random.key(1), slope))[:, :, 0]
    np.testing.assert_allclose(np.diff(out, axis=1)[:, 2:-2] * 16, 0.5, atol=1e-4)


def test_a_crop_stays_inside_of_the_image():
    """Of nearly all of the area, and wider or taller than the image: what sticks out is cut, so no zero is seen."""
    crop = jax.jit(jax.vmap(augment.resized_crop(0.9, 1.0), in_axes=(0, None)))
    np.testing.assert_allclose(crop(jax.random.split(KEY, 200), jnp.ones((6, 9, 1))), 1.0, rtol=1e-5)


def test_a_turn_is_a_rotation_about_the_centre_with_zeros_beyond_the_border():
    """An image of its own places, channels (row, column, 1): each pixel of the view says where it came from, and that
    is its own place turned about the centre (4, 6) by one angle. Bilinear interpolation of such an image is exact."""
    rows, columns = np.meshgrid(np.arange(9.0), np.arange(13.0), indexing="ij")
    image = jnp.asarray(np.stack([rows, columns, np.ones((9, 13))], axis=-1), jnp.float32)
    views = np.asarray(jax.jit(jax.vmap(augment.turn(30.0), in_axes=(0, None)))(jax.random.split(KEY, 200), image))
    y, x, angles = rows - 4, columns - 6, []
    for view in views:
        np.testing.assert_allclose(view[4, 6], [4, 6, 1], atol=1e-4)  # the centre stays
        angle = np.arctan2(4 - view[4, 8, 0], view[4, 8, 1] - 6)  # (0, 2) from the centre came from 2 (-sin, cos)
        from_y = np.cos(angle) * y - np.sin(angle) * x + 4
        from_x = np.sin(angle) * y + np.cos(angle) * x + 6
        inside = (from_y >= 0) & (from_y <= 8) & (from_x >= 0) & (from_x <= 12)
        np.testing.assert_allclose(view[inside], np.stack([from_y, from_x, np.ones_like(y)], -1)[inside], atol=1e-3)
        beyond = (from_y <= -1) | (from_y >= 9) | (from_x <= -1) | (from_x >= 13)
        assert not view[beyond].any()
        angles.append(np.degrees(angle))
    assert -30 <= min(angles) < -27
    assert 27 < max(angles) <= 30
    assert abs(np.mean(angles)) < 5 * 30 / np.sqrt(3 * 200), "uniform: a deviation of 30 / sqrt(3)"


def test_flips_come_half_of_the_time():
    flipped = [bool((augment.flip(jax.random.key(i), IMAGE) == IMAGE[:, ::-1]).all()) for i in range(100)]
    assert 30 < sum(flipped) < 70
    assert all(flipped[i] or (augment.flip(jax.random.key(i), IMAGE) == IMAGE).all() for i in range(100))


def test_grey_is_luminance_and_colourless():
    out = np.asarray(augment.greyscale(jax.random.key(0), IMAGE))
    np.testing.assert_allclose(out[..., 0], np.asarray(IMAGE) @ [0.299, 0.587, 0.114], rtol=1e-5)
    assert (out[..., 0] == out[..., 2]).all()


def test_colour_of_no_strength_changes_nothing():
    np.testing.assert_allclose(augment.colour(0, 0, 0)(jax.random.key(0), IMAGE), IMAGE, atol=1e-6)


def test_a_blur_keeps_a_flat_image_and_spreads_a_point_evenly():
    flat = jnp.full((9, 9, 1), 0.3)
    np.testing.assert_allclose(ALL["blur"](jax.random.key(0), flat), flat, rtol=1e-5)
    out = np.asarray(ALL["blur"](jax.random.key(3), jnp.zeros((9, 9, 1)).at[4, 4].set(1.0)))[:, :, 0]
    assert out.sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(out, out.T, atol=1e-7)
    np.testing.assert_allclose(out, out[::-1], atol=1e-7)


def test_a_blur_is_a_gaussian_of_a_deviation_drawn_uniformly():
    point = jnp.zeros((9, 9, 1)).at[4, 4].set(1.0)
    weights = np.exp([-4.5, -2.0, -0.5, 0.0, -0.5, -2.0, -4.5])  # exp(-o^2 / 2) at -3 to 3, for a deviation of 1
    out = np.asarray(augment.blur(1.0, 1.0)(KEY, point))[1:8, 1:8, 0]
    np.testing.assert_allclose(out, np.outer(weights, weights) / weights.sum() ** 2, rtol=1e-5)
    out = np.asarray(jax.jit(jax.vmap(augment.blur(), in_axes=(0, None)))(jax.random.split(KEY, 400), point))
    with np.errstate(divide="ignore"):  # the middle over its neighbour is exp(1 / 2 sigma^2)
        sigma = (0.5 / np.log(out[:, 4, 4, 0] / out[:, 4, 5, 0])) ** 0.5
    assert 1.95 < sigma.max() < 2.0 + 1e-3
    for share in (0.25, 0.5, 0.75):  # of [0.1, 2], to five deviations
        assert abs((sigma < 0.1 + 1.9 * share).mean() - share) < 5 * np.sqrt(share * (1 - share) / 400)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("crop", [augment.resized_crop(0.2)]),
        ("crop:0.5", [augment.resized_crop(0.5)]),
        ("shift:2", [augment.shift(2)]),
        ("turn:20", [augment.turn(20.0)]),
        ("colour", [augment.sometimes(augment.colour(0.4, 0.4, 0.4), 0.8)]),
        ("colour:0.1", [augment.sometimes(augment.colour(0.1, 0.1, 0.1), 0.8)]),
        ("grey", [augment.sometimes(augment.greyscale, 0.2)]),
        ("flip+crop:0.3", [augment.flip, augment.resized_crop(0.3)]),
    ],
)
def test_the_augment_option_asks_for_these_steps(text, steps):
    both = [jax.jit(jax.vmap(step, in_axes=(0, None))) for step in (augmentation_of(text), augment.compose(*steps))]
    one, other = (program(jax.random.split(KEY, 20), IMAGE) for program in both)
    np.testing.assert_array_equal(one, other)


def test_two_views_differ_and_each_image_has_draws_of_its_own():
    images = jnp.broadcast_to(IMAGE[None], (4, *IMAGE.shape))
    program = jax.jit(lambda key, x: augment.two_views(augment.compose(ALL["crop"], augment.flip), key, x))
    one, two = program(jax.random.key(0), images)
    seen = {np.asarray(view).tobytes() for view in (*one, *two)}
    assert len(seen) == 8
    again = program(jax.random.key(0), images)[0]
    np.testing.assert_array_equal(one, again)


def test_sometimes_is_as_often_as_asked():
    step = augment.sometimes(lambda key, image: image * 0, 0.25)
    zeros = [bool((step(jax.random.key(i), IMAGE) == 0).all()) for i in range(200)]
    assert 30 < sum(zeros) < 70


def drawn(step, image, count):
    """``count`` draws of an augmentation, one program for all of them. [count, H, W, C]"""
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(step, in_axes=(0, None)))(keys, jnp.asarray(image, jnp.float32)))


@pytest.mark.parametrize("pixels", [1, 4])
def test_a_shift_goes_as_far_to_every_side_and_each_way_as_often(pixels):
    """DrQ pads by 4 and cuts the image's size out: 9 x 9 places (Yarats et al. 2021, section 3.1). Every pixel says
    where it came from; the middle one of the result is ``pixels`` away from each border at most."""
    size = 2 * pixels + 3
    rows = np.broadcast_to(np.arange(size)[:, None, None], (size, size, 1))
    image = np.concatenate([rows, rows.swapaxes(0, 1)], axis=2)
    middle = drawn(augment.shift(pixels), image, 4000)[:, size // 2, size // 2] - size // 2
    places, seen = np.unique(middle.astype(int), axis=0, return_counts=True)
    assert len(places) == (2 * pixels + 1) ** 2
    assert places.min() == -pixels
    assert places.max() == pixels
    expected = 4000 / len(places)
    assert np.abs(seen - expected).max() < 5 * np.sqrt(expected), "uniform, to five deviations"


def test_saturation_blends_a_colour_with_its_own_grey():
    """torchvision's adjust_saturation: f x + (1 - f) grey(x), f uniform in [1 - s, 1 + s]. The grey of (0.6, 0.4, 0.2)
    is 0.299 * 0.6 + 0.587 * 0.4 + 0.114 * 0.2 = 0.437, that of (0.2, 0.3, 0.5) is 0.2929; no f up to 1.4 leaves
    [0, 1]."""
    colours, greys = np.array([[0.6, 0.4, 0.2], [0.2, 0.3, 0.5]]), np.array([[0.437], [0.2929]])
    out = drawn(augment.colour(0, 0, 0.4), colours[None], 2000)[:, 0]
    factor = (out[:, 0, 0] - 0.437) / (0.6 - 0.437)
    np.testing.assert_allclose(out, greys + factor[:, None, None] * (colours - greys), atol=1e-5)
    assert_uniform(factor, 0.6, 1.4)


def test_brightness_is_a_factor_and_contrast_a_distance_from_the_mean_grey():
    """torchvision's: f x, and f x + (1 - f) mean(grey(x)). Of 0.25 and 0.5 the mean is 0.375."""
    image = np.array([0.25, 0.5])[None, :, None]
    out = drawn(augment.colour(0.4, 0, 0), image, 2000)[:, 0, :, 0]
    np.testing.assert_allclose(out[:, 1], 2 * out[:, 0], rtol=1e-5)
    assert_uniform(out[:, 0] / 0.25, 0.6, 1.4)
    out = drawn(augment.colour(0, 0.4, 0), image, 2000)[:, 0, :, 0]
    np.testing.assert_allclose(out.mean(axis=1), 0.375, rtol=1e-5)
    assert_uniform((out[:, 1] - out[:, 0]) / 0.25, 0.6, 1.4)


def assert_uniform(values, least, most):
    """2,000 numbers: within the bounds, within a hundredth of both, and a quarter of them in each quarter (5 sd)."""
    assert least - 1e-4 < values.min() < least + (most - least) / 100
    assert most - (most - least) / 100 < values.max() < most + 1e-4
    quarters = np.histogram(values, 4, (least - 1e-4, most + 1e-4))[0]
    assert np.abs(quarters - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75), quarters


def test_a_crop_has_the_area_and_the_aspect_that_were_asked_for():
    """torchvision's RandomResizedCrop: w = sqrt(area aspect), h = sqrt(area / aspect), the aspect uniform in its
    logarithm between 3/4 and 4/3, the area uniform. On an image that rises by 1 from left to right, and in another
    channel by 1 from top to bottom, a crop rises by its width and by its height."""
    rise = np.arange(64) / 64
    image = np.stack(np.broadcast_arrays(rise[None, :], rise[:, None]), axis=2)
    for least, most in ((0.25, 0.25), (0.2, 0.6)):
        out = drawn(augment.resized_crop(least, most), image, 2000)
        wide = (out[:, 32, 40, 0] - out[:, 32, 24, 0]) * 4  # 16 pixels of 64, far from the border
        tall = (out[:, 40, 32, 1] - out[:, 24, 32, 1]) * 4
        assert_uniform(np.log(wide / tall), np.log(3 / 4), np.log(4 / 3))
        if least == most:
            np.testing.assert_allclose(wide * tall, 0.25, rtol=1e-3)
        else:
            assert_uniform(wide * tall, 0.2, 0.6)
    # All of the image is within reach: the middle of a crop of a quarter goes from a quarter to three quarters.
    middle = drawn(augment.resized_crop(0.25, 0.25, 1.0), image, 2000)[:, 32, 32] + 0.5 / 64 / 2
    for axis in (0, 1):
        assert_uniform(middle[:, axis], 0.25, 0.75)


@pytest.mark.parametrize(("name", "often"), [("grey", 0.2), ("colour", 0.8), ("blur", 0.5), ("flip", 0.5)])
def test_a_step_of_the_augment_option_comes_as_often_as_the_papers_say(name, often):
    """BYOL, appendix B, and SimCLR, appendix A: colours in 0.8 of the views, grey in 0.2, a flip in 0.5; SimCLR and
    SimSiam blur half of them (BYOL all of one view and a tenth of the other)."""
    changed = (drawn(augmentation_of(name), IMAGE, 2000) != np.asarray(IMAGE)).any(axis=(1, 2, 3)).mean()
    assert abs(changed - often) < 5 * np.sqrt(often * (1 - often) / 2000)
