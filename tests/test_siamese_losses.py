"""Siamese losses by hand and against numpy; no gradient reaches the target's branch. Judges on features made up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.siamese import judge, losses

RNG = np.random.default_rng(0)


def rows(count=5, size=4):
    return jnp.asarray(RNG.normal(size=(count, size)), jnp.float32)


def cos(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def test_agreement_by_hand():
    """One view predicts its other exactly (cos 1), the other points away at a right angle (cos 0): half of 1 + 0."""
    p1, z2 = jnp.array([[3.0, 0.0]]), jnp.array([[0.5, 0.0]])
    p2, z1 = jnp.array([[0.0, 2.0]]), jnp.array([[1.0, 0.0]])
    assert losses.agreement((p1, p2), (z1, z2))[0] == pytest.approx(0.5)
    assert losses.agreement((p1, p2), (z1, z2), symmetric=False)[0] == pytest.approx(1.0)


def test_agreement_is_what_numpy_says():
    p1, p2, z1, z2 = (rows() for _ in range(4))
    expected = (cos(p1, z2) + cos(p2, z1)) / 2
    np.testing.assert_allclose(losses.agreement((p1, p2), (z1, z2)), expected, rtol=1e-5)


def test_info_nce_is_what_numpy_says():
    q, k, queue = rows(), rows(), rows(7)
    like = np.exp(cos(q, k) / 0.2)
    unlike = np.exp(cos(np.asarray(q)[:, None], np.asarray(queue)[None]) / 0.2).sum(axis=1)
    expected = -np.log(like / (like + unlike)).mean()
    assert losses.info_nce(q, k, queue, 0.2) == pytest.approx(expected, rel=1e-4)


def test_nt_xent_is_what_numpy_says_pair_by_pair():
    z1, z2 = rows(3), rows(3)
    z, expected = np.concatenate([z1, z2]), []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        weight = {j: np.exp(cos(z[i], z[j]) / 0.5) for j in others}
        expected.append(-np.log(weight[(i + 3) % 6] / sum(weight.values())))
    assert losses.nt_xent(z1, z2, 0.5) == pytest.approx(np.mean(expected), rel=1e-4)


def test_no_gradient_reaches_the_target_branch_unless_it_is_let_through():
    p, z = (rows(), rows()), (rows(), rows())
    for stopped in (True, False):
        of_p, of_z = jax.grad(lambda p, z, s=stopped: losses.agreement(p, z, True, s).sum(), argnums=(0, 1))(p, z)
        assert all(np.abs(g).max() > 0 for g in of_p)
        assert all((g == 0).all() == stopped for g in of_z)


def test_no_gradient_reaches_keys_and_queue():
    gradients = jax.grad(losses.info_nce, argnums=(0, 1, 2))(rows(), rows(), rows(7), 0.2)
    assert np.abs(gradients[0]).max() > 0
    assert (gradients[1] == 0).all()
    assert (gradients[2] == 0).all()


def test_a_row_of_zeros_has_no_direction_and_no_gradient():
    assert losses.cosine(jnp.zeros((1, 3)), jnp.ones((1, 3)))[0] == 0.0
    assert np.isfinite(jax.grad(lambda p: losses.cosine(p, jnp.ones((1, 3)))[0])(jnp.zeros((1, 3)))).all()


def test_the_spread_tells_a_cloud_from_a_point():
    cloud = RNG.normal(size=(4_000, 64))
    assert judge.spread(cloud) == pytest.approx(1.0, abs=0.02)
    assert judge.spread(np.ones((100, 64))) == pytest.approx(0.0, abs=1e-3)


def test_the_effective_rank_counts_the_singular_values_that_matter():
    basis = np.linalg.qr(RNG.normal(size=(50, 50)))[0]
    features = basis[:, :3] * np.array([5.0, 3.0, 1.9]) @ np.linalg.qr(RNG.normal(size=(10, 10)))[0][:3]
    assert judge.effective_rank(features) == 3
    assert judge.effective_rank(features, delta=0.25) == 2  # the first two hold 8 of 9.9
    assert judge.effective_rank(np.zeros((4, 4))) == 0


def test_nearest_neighbours_and_the_linear_probe_find_two_clouds():
    centres = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    labels = RNG.integers(0, 2, 200)
    features = centres[labels] + RNG.normal(size=(200, 3))
    for find in (judge.nearest_neighbours, judge.linear_probe):
        found = find(features[:100], labels[:100], features[100:])
        assert (found == labels[100:]).mean() > 0.95, find.__name__


def test_nearer_neighbours_weigh_more():
    """Two neighbours of label 1 at a right angle, one of label 0 next to the image: exp(1 / T) against 2 exp(0)."""
    train, labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), np.array([0, 1, 1])
    assert judge.nearest_neighbours(train, labels, np.array([[2.0, 0.0]]), k=3)[0] == 0
    assert judge.nearest_neighbours(train, labels, np.array([[2.0, 0.0]]), k=3, temperature=1e6)[0] == 1
