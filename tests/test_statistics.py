"""What a few seeds can tell: by hand, and against what rliable made of the same numbers (tests/fixtures)."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from qtwin.lab.findings import findings
from qtwin.measure import statistics

RLIABLE = json.loads((Path(__file__).parent / "fixtures" / "rliable.json").read_text(encoding="utf-8"))
X, Y = np.array(RLIABLE["x"]), np.array(RLIABLE["y"])


def test_interquartile_mean_by_hand():
    assert statistics.iqm(np.array([9, 1, 2, 3, 4, 5, 6, -70])) == 3.5  # of 2, 3, 4, 5
    assert statistics.iqm(np.array([1.0, 2.0, 6.0])) == 3.0
    np.testing.assert_array_equal(statistics.iqm(np.array([[1.0, 5.0], [3.0, 5.0]])), [2.0, 5.0])


def test_area_and_profile_by_hand():
    assert statistics.area([0, 1, 3], [0.0, 2.0, 4.0]) == pytest.approx((1 + 6) / 3)
    assert statistics.area([2, 4, 6], [1.0, 3.0, 1.0]) == 2.0, "a mean height, wherever the curve begins"
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
        found = statistics.bootstrap_interval(scores[:, 0])
        np.testing.assert_allclose(found, RLIABLE[f"iqm_{name}_first_interval"], atol=0.02)
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


def test_interquartile_mean_is_scipys_trimmed_mean():
    chance = np.random.default_rng(0)
    for count in range(1, 25):
        values = chance.normal(size=count)
        assert statistics.iqm(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25))


def test_the_t_interval_by_hand():
    """Of 1 to 5: mean 3, s = sqrt(2.5), and Student's quantile with four degrees of freedom is 2.7764."""
    low, high = statistics.interval(np.array([5.0, 1.0, 4.0, 2.0, 3.0]))
    half = 2.7764451052 * 2.5**0.5 / 5**0.5
    assert (low, high) == (pytest.approx(3 - half), pytest.approx(3 + half))


def test_which_interval_so_many_seeds_get_and_that_it_is_named():
    values = np.random.default_rng(0).normal(size=12)
    assert statistics.interval(values[:10]) == statistics.bootstrap_interval(values[:10]), "as it was for ten seeds"
    assert statistics.interval(values[:9]) == pytest.approx(statistics.t_interval(values[:9]))
    assert np.isnan(statistics.interval(values[:2])).all()
    assert np.isnan(statistics.band(values[:2, None])).all()
    assert statistics.interval(X[:5]) == statistics.bootstrap_interval(X[:5]), "several tasks: stratified, as it was"
    assert [statistics.method(n) for n in (1, 2, 3, 9, 10)] == ["", "", *["t interval"] * 2, "bootstrap interval"]
    assert statistics.described([1.0, 2.0, 3.0]).startswith("2.0 [-0.5, 4.5] (95% t interval, 3 seeds)")
    assert statistics.described([1.0]) == "1.0 (one seed, no interval)"
    assert "(95% bootstrap interval, 12 seeds)" in statistics.described(values)
    assert "too narrow below 10 seeds" in statistics.note(5)
    assert "no interval" in statistics.note(2)


def test_below_ten_seeds_an_interval_holds_what_it_says():
    """Normal returns, 600 samples each: 95 % within three standard errors; the bootstrap held 75 % with three seeds."""
    chance = np.random.default_rng(0)
    for seeds in (3, 5, 8):
        samples = chance.normal(size=(600, seeds))
        held = np.mean([low <= 0 <= high for low, high in map(statistics.interval, samples)])
        assert 0.92 < held < 0.98
    low, high = np.array([statistics.bootstrap_interval(s, 300) for s in chance.normal(size=(600, 3))]).T
    assert 0.68 < np.mean((low <= 0) & (high >= 0)) < 0.82


def test_the_interquartile_mean_lies_within_its_interval():
    chance = np.random.default_rng(0)
    for seeds in range(3, 10):
        for values in np.exp(chance.normal(scale=6, size=(300, seeds))):
            low, high = statistics.interval(values)
            assert low <= statistics.iqm(values) <= high


@pytest.fixture(scope="module", name="coverage")
def the_script_that_measured_the_intervals():
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "lab"))
    return importlib.import_module("coverage")


def test_bca_agrees_with_scipy(coverage):
    chance = np.random.default_rng(0)
    values = chance.lognormal(size=12)
    drawn = statistics.iqm(values[chance.integers(12, size=(40_000, 12))], axis=1)
    theirs = scipy.stats.bootstrap(
        (values,), lambda x, axis: statistics.iqm(x, axis), method="BCa", n_resamples=40_000, rng=1
    ).confidence_interval
    np.testing.assert_allclose(coverage.bca(values, drawn), theirs, rtol=0.03)


def test_the_trimmed_t_interval_by_hand(coverage):
    """Of 0 to 4 and an outlier for 4: one cut at either end; winsorised to 1, 1, 2, 3, 3, so s = 1, h = 3, n = 5."""
    low, high = coverage.trimmed_t(np.array([0.0, 1.0, 2.0, 3.0, 400.0]))
    half = 4.3026527297 * 1.0 / (0.6 * 5**0.5)
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_what_was_measured_bears_out_the_choice(coverage):
    """Below ten seeds t comes nearest to 95 % on average; at twenty the bootstrap does better than t."""
    rows = json.loads(coverage.RESULT.read_text(encoding="utf-8"))["rows"]

    def mean(method, seeds):
        return np.mean([row[method]["coverage"] for row in rows if row["seeds"] == seeds])

    for seeds in sorted({row["seeds"] for row in rows}):
        best = max(coverage.METHODS, key=lambda method: mean(method, seeds))
        if seeds < statistics.ENOUGH:
            assert mean("t", seeds) >= mean(best, seeds)
    assert mean("percentile", 3) < 0.78
    assert mean("percentile", 20) > mean("t", 20)


def cell(label, middle, low, high):
    final = {"iqm": middle, "low": low, "high": high, "seeds": [middle]}
    return {"label": label, "status": "done", "final": final, "returns": {"seeds": label}, "alarms": []}


def test_below_all_others_is_said_only_where_no_pair_overlaps():
    """The numbers of a study: two settings lie below the best one, but reach into the intervals of two others."""
    cells = [
        cell("max", 499.0, 480.0, 500.0), cell("minto:max", 480.0, 430.9, 500.0),
        cell("minto:mean", 479.0, 430.9, 500.0), cell("online", 420.0, 321.2, 471.2),
        cell("inverse-double", 380.0, 230.2, 469.5),
    ]  # fmt: skip
    said = " ".join(findings({"cells": cells}))
    assert "online and inverse-double end below max, with no overlap." in said
    assert "below all others" not in said
    cells[3:] = [cell("online", 420.0, 321.2, 430.8), cell("inverse-double", 380.0, 230.2, 469.5)]
    assert "below all others" not in " ".join(findings({"cells": cells}))
    cells[4] = cell("inverse-double", 300.0, 230.2, 430.8)
    assert "online and inverse-double end below all others, with no overlap." in findings({"cells": cells})


def test_whatever_is_said_of_two_settings_holds_of_every_pair():
    chance = np.random.default_rng(0)
    told = 0
    for _ in range(300):
        cells = []
        for name in "abcdef"[: chance.integers(2, 7)]:
            low, middle, high = np.sort(chance.uniform(0, 10, 1) + chance.uniform(0, 2, 3))
            cells.append(cell(name, middle, low, high))
        by_name = {each["label"]: each["final"] for each in cells}
        for sentence in findings({"cells": cells}):
            below, all_others, _ = sentence.rpartition(" below all others, with no overlap.")
            if all_others:
                names = below.replace(" and ", " ").replace(",", " ").replace(" ends", "").replace(" end", "").split()
                rest = set(by_name) - set(names)
                assert all(by_name[x]["high"] < by_name[y]["low"] for x in names for y in rest), sentence
                told += 1
    assert told > 30


def test_one_or_two_seeds_rank_nothing():
    said = findings({"cells": [cell("a", 2.0, None, None), cell("b", 1.0, None, None)]})
    assert said == ["a ends highest, at 2.0, but one seed cannot tell settings apart: there is no interval."]
