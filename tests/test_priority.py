"""Prioritised replay: exact sums, exact frequencies, importance weights, and priorities that are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from qtwin.config.option_specs import prioritise_choice
from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.priority import prioritised
from qtwin.replay.ring import ring
from qtwin.replay.sum_tree import CHILDREN, at, draw, empty, put, put_in_a_row
from qtwin.types import Aux, Timestep

SCALARS = Timestep(*(jax.ShapeDtypeStruct((), kind) for kind in ["f4", "i4", "f4", "f4", "f4", "?"]))


@pytest.mark.optimised
def test_after_ten_million_updates_every_sum_is_that_of_its_children():
    leaves, batch = 20_000, 2_000

    def body(i, tree):
        where, what = jax.random.split(jax.random.fold_in(jax.random.key(0), i))
        slots = jax.random.randint(where, (batch,), 0, leaves)
        values = jnp.exp(jnp.linspace(-9.0, 9.0, leaves)[slots] + jax.random.uniform(what, (batch,)))
        values = jnp.where(jnp.arange(batch) % 7 == 0, 0.0, values)
        return put(tree, slots, values)

    tree = jax.jit(lambda n: jax.lax.fori_loop(0, n, body, empty(leaves)))(10_000_000 // batch)
    level = np.asarray(tree[0], np.float64)
    assert level.sum() > 0
    for above in tree[1:]:
        level = level.sum(axis=1)
        np.testing.assert_allclose(np.asarray(above).reshape(-1)[: len(level)], level, rtol=1e-6)
        level = np.pad(level, (0, above.size - len(level))).reshape(above.shape)


@pytest.mark.parametrize("count", [1, 4, 5, 130, 1000])
def test_what_is_put_in_a_row_is_summed_wherever_the_row_begins(count):
    """Of 1,000 leaves in eight rows, across the ends of rows and around the end of all."""
    values = np.arange(1, count + 1, dtype=np.float32)
    before = put_in_a_row(empty(1000), jnp.int32(0), jnp.full(1000, 7.0), 1000)
    program = jax.jit(lambda first: put_in_a_row(before, first, jnp.asarray(values), 1000))
    for first in (0, 1, 127, 128, 300, 895, 998):
        should = np.full(1024, 7.0)
        should[1000:] = 0.0
        should[(first + np.arange(count)) % 1000] = values
        leaves, sums = program(jnp.int32(first))
        np.testing.assert_array_equal(np.ravel(leaves), should)
        np.testing.assert_array_equal(sums[0, :8], should.reshape(8, CHILDREN).sum(axis=1))


def limit(freedom):
    return chi2.ppf(0.9999, freedom)


@pytest.mark.parametrize("stratified", [True, False], ids=["stratified", "plain"])
def test_a_transition_comes_as_often_as_its_priority_says_and_never_with_none(stratified):
    leaves, batch, batches = 700, 32, 4_000
    random = np.random.default_rng(0)
    values = np.where(random.random(leaves) < 0.3, 0.0, random.exponential(size=leaves) ** 2).astype(np.float32)
    tree = put_in_a_row(empty(leaves), jnp.int32(0), jnp.asarray(values), leaves)

    def one(key):
        first, rest = jax.random.split(key)
        start = jax.random.uniform(first, (batch,))
        return draw(tree, (jnp.arange(batch) + start) / batch if stratified else start, rest)

    slots, chosen = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), batches))
    np.testing.assert_array_equal(chosen, values[np.asarray(slots)])
    counts = np.bincount(np.asarray(slots).ravel(), minlength=leaves)
    assert not counts[values == 0].any()
    expected = batch * batches * np.float64(values) / np.float64(values).sum()
    often = expected > 5
    assert ((counts - expected)[often] ** 2 / expected[often]).sum() < limit(often.sum())


def test_the_edges_of_a_draw_are_never_a_leaf_that_is_none():
    tree = put(empty(3 * CHILDREN), jnp.array([5, 2 * CHILDREN + 7]), jnp.array([1e-20, 1e20]))
    edges = jnp.array([0.0, 0.5, 1.0 - 2**-24, 1.0])
    program = jax.jit(draw)
    slots, _ = program(tree, edges, jax.random.key(0))
    assert set(np.asarray(slots).tolist()) <= {5, 2 * CHILDREN + 7}
    one = put(empty(3 * CHILDREN), jnp.array([3]), jnp.array([2.0]))
    np.testing.assert_array_equal(program(one, edges, jax.random.key(0))[0], [3, 3, 3, 3])
    halves = put(empty(3 * CHILDREN), jnp.array([5, 2 * CHILDREN + 7]), jnp.array([1.0, 1.0]))  # [0, 1/2) and [1/2, 1)
    shares = jnp.array([0.0, 0.49, 0.5, 0.99])
    np.testing.assert_array_equal(program(halves, shares, jax.random.key(0))[0], [5, 5, 263, 263])


def filled(alpha, beta=(0.4, 1.0), over=2):
    replay = prioritised(ring(200, 8), alpha, beta, over)
    chunk = Timestep(*(jnp.zeros((200, 1), leaf.dtype) for leaf in SCALARS))
    state = replay.init(SCALARS, Cycle(1, 200, 1, 200, 0))
    replay = replay._replace(add=jax.jit(replay.add), sample=jax.jit(replay.sample), update=jax.jit(replay.update))
    return replay, replay.add(state, chunk._replace(reward=jnp.arange(200.0)[:, None]))


def test_weights_are_the_papers_and_beta_goes_to_its_end():
    alpha, priorities = 0.6, np.linspace(0.0, 3.0, 8)
    replay, state = filled(alpha)
    batch = replay.sample(state, jax.random.key(0), 0)
    np.testing.assert_array_equal(batch.weight, np.ones(8))  # all new, all alike
    np.testing.assert_array_equal(batch.reward, batch.slot)
    for beta in (0.7, 1.0):  # one of two updates, both of them
        batch = batch._replace(slot=jnp.arange(8) * 20)
        state = replay.update(state, batch, Aux(jnp.asarray(-priorities), jnp.zeros(8)))
        leaves = np.asarray(state.tree[0], np.float64).reshape(-1)[:200]
        np.testing.assert_allclose(leaves[::20][:8], (priorities + 1e-6) ** alpha, rtol=1e-5)
        drawn = replay.sample(state, jax.random.key(1), 0)
        probability = leaves[np.asarray(drawn.slot)] / leaves.sum()
        weight = (200 * probability) ** -beta
        np.testing.assert_allclose(drawn.weight, weight / weight.max(), rtol=1e-4)
    new = replay.add(state, Timestep(*(jnp.zeros((1, 1), leaf.dtype) for leaf in SCALARS)))
    assert float(at(new.tree, jnp.array([0]))[0]) == pytest.approx((3.0 + 1e-6) ** alpha)  # the largest there has been


def test_weights_by_hand_where_priorities_differ():
    """Priorities 1, 2, 4, 8, again and again, with alpha 1, and beta from 0 to 1 over two updates: (1 / p)**beta, of
    which the largest in the batch is 1. After the second update nothing is drawn below 2, which then has weight 1.
    """
    replay = prioritised(ring(64, 64), 1.0, (0.0, 1.0), 2)
    chunk = Timestep(*(jnp.zeros((64, 1), leaf.dtype) for leaf in SCALARS))
    state = replay.add(replay.init(SCALARS, Cycle(1, 64, 1, 64, 0)), chunk)
    update, sample = jax.jit(replay.update), jax.jit(replay.sample)
    batch = sample(state, jax.random.key(0), 0)._replace(slot=jnp.arange(64))
    by_hand = [([1, 2, 4, 8], [1, 0.5**0.5, 0.5, 0.125**0.5]), ([0, 2, 4, 8], [0, 1, 0.5, 0.25])]  # beta 1/2, beta 1
    for priority, weight in by_hand:
        state = update(state, batch, Aux(jnp.array(priority * 16, jnp.float32), jnp.zeros(64)))
        drawn = sample(state, jax.random.key(1), 0)
        kind = np.asarray(drawn.slot) % 4
        assert set(kind.tolist()) == {each for each in range(4) if priority[each]}
        np.testing.assert_allclose(drawn.weight, np.array(weight)[kind], rtol=1e-4)


def test_beta_goes_from_its_beginning_to_its_end_and_stays_there():
    """Priorities 1 and 16, and beta 1/4 to 3/4 over two updates: the weight 16**-beta is 1/4, 1/8 and then 1/8."""
    replay = prioritised(ring(32, 32), 1.0, (0.25, 0.75), 2)
    chunk = Timestep(*(jnp.zeros((32, 1), leaf.dtype) for leaf in SCALARS))
    state = replay.add(replay.init(SCALARS, Cycle(1, 32, 1, 32, 0)), chunk)
    update, sample = jax.jit(replay.update), jax.jit(replay.sample)
    batch = sample(state, jax.random.key(0), 0)._replace(slot=jnp.arange(32))
    for weight in (1 / 4, 1 / 8, 1 / 8):
        state = update(state, batch, Aux(jnp.array([1.0, 16.0] * 16), jnp.zeros(32)))
        drawn = sample(state, jax.random.key(1), 0)
        odd = np.asarray(drawn.slot) % 2 == 1
        assert 0 < odd.sum() < 32
        np.testing.assert_allclose(drawn.weight, np.where(odd, weight, 1.0), rtol=1e-4)


def test_each_of_a_batch_comes_from_a_share_of_its_own_unless_asked_otherwise():
    """Eight rows of 128 transitions, all alike: the i-th of eight comes from the i-th row (appendix B.2.1)."""
    chunk = Timestep(*(jnp.zeros((8 * CHILDREN, 1), leaf.dtype) for leaf in SCALARS))
    for options, alone in (({}, True), ({"stratified": False}, False)):
        replay = prioritised(ring(8 * CHILDREN, 8), 0.6, **options)
        state = replay.add(replay.init(SCALARS, Cycle(1, 8 * CHILDREN, 1, 8 * CHILDREN, 0)), chunk)
        keys = jax.random.split(jax.random.key(0), 20)
        rows = jax.jit(jax.vmap(lambda key: replay.sample(state, key, 0).slot // CHILDREN))(keys)
        assert bool((rows == jnp.arange(8)[None]).all()) is alone


def test_a_priority_that_is_none_changes_nothing_and_one_given_twice_is_the_larger():
    replay, state = filled(1.0)
    batch = replay.sample(state, jax.random.key(0), 0)._replace(slot=jnp.array([1, 2, 3, 4, 5, 5, 6, 6]))
    priority = jnp.array([jnp.nan, -1.0, jnp.inf, 0.0, 0.5, 0.25, 2.0, 3.0])  # the larger first, and last
    state = replay.update(state, batch, Aux(jnp.zeros(8), jnp.zeros(8), priority=priority))
    came = np.asarray(at(state.tree, jnp.arange(1, 7)))
    np.testing.assert_allclose(came, [1.0, 1.0, 1.0, 1e-6, 0.5, 3.0], rtol=1e-5)
    assert float(state.largest) == pytest.approx(3.0)


def test_a_memory_that_a_cycle_with_those_that_wait_would_fill_is_refused():
    """Five environments and three steps: 5 transitions of a cycle, and the 2 * 5 before them that wait."""
    with pytest.raises(Refusal, match="are 15; write --replay 15 or more"):
        prioritised(ring(14, 4, n_step=3), 0.6, span=3).init(SCALARS, Cycle(5, 5, 1, 1, 3))
    assert prioritised(ring(15, 4, n_step=3), 0.6, span=3).init(SCALARS, Cycle(5, 5, 1, 1, 3)).tree[0].shape == (1, 128)


def test_how_it_is_written():
    assert prioritise_choice("0.6:0.4") == (0.6, 0.4, 1.0)
    assert prioritise_choice("0.5:0.5:0.5") == (0.5, 0.5, 0.5)
    for wrong in ("0.6", "a:b", "-0.1:0.4", "0.6:nan", "1.5:0.4", "0.6:0.4:1:1"):
        with pytest.raises(Refusal, match=r"0\.6:0\.4"):
            prioritise_choice(wrong)
