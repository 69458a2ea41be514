"""TD targets, losses and exploration against arithmetic done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.acting import exploration
from qtwin.errors import Refusal
from qtwin.td import targets
from qtwin.td.losses import LOSSES

REWARD = jnp.array([1.0, -2.0, 0.5])
DISCOUNT = jnp.array([0.9, 0.0, 0.81])  # one step on; terminal; two steps on
Q_TARGET = jnp.array([[1.0, 3.0, 2.0], [5.0, 5.0, 9.0], [-1.0, -4.0, -2.0]])
Q_ONLINE = jnp.array([[4.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])


def test_max_target():
    # 1 + 0.9 * 3; -2 + 0; 0.5 + 0.81 * -1
    np.testing.assert_allclose(targets.max_target(REWARD, DISCOUNT, Q_TARGET), [3.7, -2.0, -0.31], rtol=1e-6)


def test_double_target_takes_the_online_networks_choice_and_the_target_networks_value():
    # the online network chooses actions 0, 1 and 1 (the first of equals): 1 + 0.9 * 1; -2 + 0; 0.5 + 0.81 * -4
    np.testing.assert_allclose(
        targets.double_target(REWARD, DISCOUNT, Q_TARGET, Q_ONLINE), [1.9, -2.0, -2.74], rtol=1e-6
    )


def test_value_target():
    # 1 + 0.9 * 2; -2 + 0; 0.5 + 0.81 * -1; and the same for each of two quantiles
    value = jnp.array([2.0, 7.0, -1.0])
    np.testing.assert_allclose(targets.value_target(REWARD, DISCOUNT, value), [2.8, -2.0, -0.31], rtol=1e-6)
    quantiles = jnp.stack([value, value + 1], axis=1)
    should = [[2.8, 3.7], [-2.0, -2.0], [-0.31, 0.5]]
    np.testing.assert_allclose(targets.value_target(REWARD, DISCOUNT, quantiles), should, rtol=1e-6)


def test_maxmin_target_takes_the_least_of_the_networks_then_the_best_of_the_actions():
    # Least of the two networks: (0, 2), (5, 1) and (-3, -2). 1 + 0.9 * 2; -2 + 0; 0.5 + 0.81 * -2
    q = jnp.array([[[0.0, 3.0], [5.0, 9.0], [-3.0, 4.0]], [[8.0, 2.0], [6.0, 1.0], [0.0, -2.0]]])
    np.testing.assert_allclose(targets.maxmin_target(REWARD, DISCOUNT, q), [2.8, -2.0, -1.12], rtol=1e-6)


def test_munchausen_target_by_hand():
    # Two actions at tau 1, q (0, log 3): pi is (1/4, 3/4), and sum pi (q - log pi) is log of the sum, log 4.
    q, one = jnp.array([[0.0, jnp.log(3.0)]]), jnp.ones(1)
    for action, log_pi in ((0, np.log(0.25)), (1, np.log(0.75))):
        came = targets.munchausen_target(one, 0.5 * one, q, q, jnp.array([action]), 0.9, 1.0, -1.0)
        np.testing.assert_allclose(came, 1 + 0.9 * max(log_pi, -1.0) + 0.5 * np.log(4), rtol=1e-6)


def test_munchausen_target_is_the_paper_in_numpy_and_without_its_bonus_soft_then_plain_q_learning():
    random = np.random.default_rng(0)
    q_next, q_here = random.normal(size=(2, 64, 5)) * 3
    reward, discount, action = random.normal(size=64), 0.99 * (random.random(64) > 0.2), random.integers(0, 5, 64)
    alpha, tau, least = 0.9, 0.03, -1.0

    def tau_log_pi(q):  # appendix B.1's stable form: q - v - tau log sum exp((q - v) / tau)
        v = q.max(axis=1, keepdims=True)
        return q - v - tau * np.log(np.exp((q - v) / tau).sum(axis=1, keepdims=True))

    soft = (np.exp(tau_log_pi(q_next) / tau) * (q_next - tau_log_pi(q_next))).sum(axis=1)
    bonus = np.clip(tau_log_pi(q_here)[np.arange(64), action], least, 0)
    columns = [jnp.asarray(column, jnp.float32) for column in (reward, discount, q_next, q_here)]

    def came(**settings):
        return targets.munchausen_target(*columns, jnp.asarray(action), **settings)

    np.testing.assert_allclose(came(), reward + alpha * bonus + discount * soft, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(came(alpha=0.0), reward + discount * soft, rtol=1e-4, atol=1e-4)
    plain = targets.max_target(*columns[:3])
    np.testing.assert_allclose(came(alpha=0.0, tau=1e-4), plain, rtol=1e-3, atol=1e-3)


def test_no_gradient_passes_through_a_target():
    for function in (
        lambda q: targets.max_target(REWARD, DISCOUNT, q),
        lambda q: targets.double_target(REWARD, DISCOUNT, q, Q_ONLINE),
        lambda q: targets.double_target(REWARD, DISCOUNT, Q_TARGET, q),
        lambda q: targets.value_target(REWARD, DISCOUNT, q),
        lambda q: targets.munchausen_target(REWARD, DISCOUNT, q, q, jnp.array([2, 0, 1])),
    ):
        np.testing.assert_array_equal(jax.grad(lambda q, f=function: f(q).sum())(Q_TARGET), np.zeros((3, 3)))


def test_the_values_of_the_actions_taken():
    np.testing.assert_array_equal(targets.q_of_action(Q_TARGET, jnp.array([2, 0, 1])), [2.0, 5.0, -4.0])


TD_ERROR = jnp.array([0.5, -1.0, 3.0, 0.0])


@pytest.mark.parametrize(
    ("name", "value", "gradient"),
    [
        ("half-mse", (0.125 + 0.5 + 4.5) / 4, [0.125, -0.25, 0.75, 0.0]),
        ("mse", (0.25 + 1 + 9) / 4, [0.25, -0.5, 1.5, 0.0]),
        ("huber", (0.125 + 0.5 + 2.5) / 4, [0.125, -0.25, 0.25, 0.0]),
    ],
)
def test_losses_and_their_gradients(name, value, gradient):
    came, slope = jax.value_and_grad(LOSSES[name])(TD_ERROR)
    np.testing.assert_allclose(came, value, rtol=1e-6)
    np.testing.assert_allclose(slope, gradient, rtol=1e-6)


def test_epsilon_greedy_takes_the_first_of_equals_and_draws_uniformly():
    q = jnp.array([[0.0, 2.0, 2.0], [3.0, 1.0, 2.0]])
    np.testing.assert_array_equal(exploration.epsilon_greedy(q, jnp.float32(0.0), jax.random.key(0)), [1, 0])
    many = jnp.broadcast_to(q[:1], (30_000, 3))
    for epsilon, shares in ((1.0, [1 / 3, 1 / 3, 1 / 3]), (0.3, [0.1, 0.8, 0.1])):
        actions = exploration.epsilon_greedy(many, jnp.float32(epsilon), jax.random.key(1))
        assert actions.dtype == jnp.int32
        counts, expected = np.bincount(actions, minlength=3), 30_000 * np.array(shares)
        assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 degrees of freedom, 0.999


@pytest.mark.parametrize(
    ("spec", "at", "epsilon"),
    [
        ("1:0.05:50%", [0, 25_000, 50_000, 90_000], [1.0, 0.525, 0.05, 0.05]),
        ("1:0.1:1_000", [0, 500, 1000], [1.0, 0.55, 0.1]),
        ("0.4:0:100%", [0, 75_000, 100_000], [0.4, 0.1, 0.0]),
        ("0.1", [0, 7, 100_000], [0.1, 0.1, 0.1]),
        ("0", [0], [0.0]),
    ],
)
def test_epsilon_falls_in_a_straight_line(spec, at, epsilon):
    schedule = exploration.parse(spec, 100_000)
    np.testing.assert_allclose([schedule(jnp.int32(t)) for t in at], epsilon, atol=1e-6)


@pytest.mark.parametrize(
    "spec", ["", "1:0.05", "2", "-0.1", "1:0.05:110%", "1:0.05:2.5", "1:nan:10", "a:b:c", "1:0:-5"]
)
def test_exploration_that_makes_no_sense_is_refused(spec):
    with pytest.raises(Refusal):
        exploration.parse(spec, 1000)
