"""Random actions that last (ez-greedy): how long they are drawn to last, and that they are taken so long."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin import state
from qtwin.acting import exploration

ENVS, GREEDY = 50, 3


def played(exponent, epsilon, steps, held=None):
    """So many vector steps: the actions [T, N], and what was under way before each and at the end, [T + 1, N]."""
    act = exploration.ez_greedy(lambda variables, obs, epsilon, key: jnp.full(ENVS, GREEDY, jnp.int32), exponent, 3)

    def step(held, key):
        action, after = act(None, None, jnp.float32(epsilon), key, held)
        return after, (action, after)

    held = held or exploration.nothing_held(ENVS, exponent)
    _, (actions, after) = jax.lax.scan(step, held, jax.random.split(jax.random.key(0), steps))
    return np.asarray(actions), *(np.concatenate([one[None], many]) for one, many in zip(held, after, strict=True))


def test_lengths_have_the_zeta_distribution():
    drawn = np.asarray(exploration.lengths(2.0, jax.random.key(3), 200_000))
    assert drawn.dtype == np.int32
    assert drawn.min() == 1
    assert drawn.max() <= exploration.LONGEST
    mass = np.arange(1, exploration.LONGEST + 1) ** -2.0
    shares = np.append(mass[:50], mass[50:].sum()) / mass.sum()
    counts = np.bincount(np.minimum(drawn, 51), minlength=52)[1:]
    expected = 200_000 * shares
    assert ((counts - expected) ** 2 / expected).sum() < 86.7  # chi-square, 50 degrees of freedom, 0.999


def test_a_random_action_is_taken_as_long_as_was_drawn_and_none_begins_meanwhile():
    actions, held, left = played(1.5, 0.3, 2_000)
    busy = left[:-1] > 0
    assert (actions[busy] == held[:-1][busy]).all()
    assert (left[1:][busy] == left[:-1][busy] - 1).all()
    began = ~busy & (actions != GREEDY)
    assert abs(began.sum() / (~busy).sum() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / (~busy).sum())
    counts, expected = np.bincount(actions[began], minlength=3), began.sum() / 3
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 degrees of freedom, 0.999
    assert (left[1:][~busy & ~began] == 0).all()
    lasting = left[1:][began] + 1
    assert abs((lasting == 1).mean() - 1 / 2.592) < 0.02  # 1 / zeta(1.5), which is 2.612; 2.592 of it up to the cut


@pytest.mark.parametrize(("epsilon", "random"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25)])
def test_under_a_steep_exponent_it_is_epsilon_greedy(epsilon, random):
    actions, _, left = played(60.0, epsilon, 1_000)
    assert not left.any()
    assert abs((actions != GREEDY).mean() - random) <= 4 * np.sqrt(random * (1 - random) / actions.size)


def test_what_is_under_way_goes_on_when_epsilon_is_0():
    under_way = state.Held(jnp.full(ENVS, 1, jnp.int32), jnp.arange(ENVS, dtype=jnp.int32))
    actions, _, _ = played(2.0, 0.0, 60, under_way)
    np.testing.assert_array_equal((actions == 1).sum(axis=0), np.arange(ENVS))
    np.testing.assert_array_equal((actions == GREEDY).sum(axis=0), 60 - np.arange(ENVS))
