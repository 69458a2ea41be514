"""What a few seeds can tell: by hand, and against what rliable made of the same numbers (tests/fixtures)."""

import json
from pathlib import Path

import numpy as np
import pytest

from qtwin.lab import statistics

RLIABLE = json.loads((Path(__file__).parent / "fixtures" / "rliable.json").read_text())
X, Y = np.array(RLIABLE["x"]), np.array(RLIABLE["y"])


def test_interquartile_mean_by_hand():
    assert statistics.iqm(np.array([9, 1, 2, 3, 4, 5, 6, -70])) == 3.5  # of 2, 3, 4, 5
    assert statistics.iqm(np.array([1.0, 2.0, 6.0])) == 3.0
    np.testing.assert_array_equal(statistics.iqm(np.array([[1.0, 5.0], [3.0, 5.0]])), [2.0, 5.0])


def test_area_and_profile_by_hand():
    assert statistics.area([0, 1, 3], [0.0, 2.0, 4.0]) == pytest.approx((1 + 6) / 3)
    assert statistics.area([5], [2.0]) == 2.0
    np.testing.assert_array_equal(statistics.profile([1.0, 2.0, 3.0, 3.0], [0, 2, 3]), [1, 0.5, 0])
    assert statistics.probability_of_improvement([1, 2], [1, 0]) == pytest.approx(3.5 / 4)


def test_areas_of_several_curves_and_of_two_points_by_hand():
    np.testing.assert_array_equal(statistics.area([1, 3], [[2.0, 4.0], [5.0, 5.0], [0.0, 1.0]]), [3.0, 5.0, 0.5])
    np.testing.assert_array_equal(statistics.area([5], [[2.0], [7.0]]), [2.0, 7.0])


def test_one_task_is_an_axis_of_length_one():
    one, same = (X[:, 0], Y[:, 0]), (X[:, :1], Y[:, :1])
    assert statistics.probability_of_improvement(*one) == statistics.probability_of_improvement(*same)
    np.testing.assert_allclose(statistics.improvement_interval(*one), statistics.improvement_interval(*same))
    assert statistics.improvement_interval([1.0, 2.0, 3.0], [4.0, 5.0]) == (0.0, 0.0)


def test_agrees_with_rliable():
    """Points exactly; intervals to what the bootstrap's own chance leaves open."""
    for name, scores in (("x", X), ("y", Y)):
        assert statistics.iqm_of_all(scores) == pytest.approx(RLIABLE[f"iqm_{name}"], rel=1e-9)
        np.testing.assert_allclose(statistics.interval(scores), RLIABLE[f"iqm_{name}_interval"], atol=0.02)
        assert statistics.iqm(scores[:, 0]) == pytest.approx(RLIABLE[f"iqm_{name}_first"], rel=1e-9)
        np.testing.assert_allclose(statistics.interval(scores[:, 0]), RLIABLE[f"iqm_{name}_first_interval"], atol=0.02)
    thresholds = np.array(RLIABLE["thresholds"])
    np.testing.assert_allclose(statistics.profile(X, thresholds), RLIABLE["profile"], rtol=1e-9)
    np.testing.assert_allclose(statistics.profile_band(X, thresholds), RLIABLE["profile_interval"], atol=0.021)
    assert statistics.probability_of_improvement(X, Y) == pytest.approx(RLIABLE["improvement"], rel=1e-9)
    np.testing.assert_allclose(statistics.improvement_interval(X, Y), RLIABLE["improvement_interval"], atol=0.02)


def test_a_band_holds_its_curve_and_is_the_interval_where_there_is_one_point():
    curves = np.random.default_rng(0).normal(size=(9, 4)).cumsum(axis=1)
    low, high = statistics.band(curves)
    middle = statistics.iqm(curves)
    assert ((low < middle) & (middle < high)).all()
    one = statistics.band(curves[:, :1])
    np.testing.assert_allclose(np.ravel(one), statistics.interval(curves[:, 0]), atol=0.1)
