"""Siamese for RL: a second target beside the first, sequences from the replay, and the self-predictive losses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import little_dqn, walk

from qtwin import rng
from qtwin.agent import Sibling
from qtwin.engine.cycle import targets
from qtwin.engine.fleet import FusedFleet
from qtwin.engine.fused import fused
from qtwin.engine.hosted import host_of, hosted
from qtwin.errors import Refusal
from qtwin.processes import target_specs
from qtwin.processes.regress import optimiser_state
from qtwin.run import checkpoint
from qtwin.twin import twin


def same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


# A second target


def siblings(spec, **more):
    """`little_dqn` with a loss beside its own: the first layer stays near where its sibling's is."""
    chosen = little_dqn(**more)

    def loss(twin, batch, key):
        td_loss, aux = chosen.agent.loss(twin, batch, key)
        self_loss = jnp.mean((batch.obs @ (twin.online.params["one"] - 0.9 * twin.sibling.params["one"])) ** 2)
        return td_loss + 0.1 * self_loss, aux._replace(self_loss=self_loss)

    sibling = Sibling(("one",), target_specs.parse(spec, 40))
    return chosen._replace(agent=chosen.agent._replace(loss=loss), sibling=sibling)


def test_two_targets_each_move_at_their_own_rate():
    engine = fused(siblings("hard:3", target="hard:5"), walk(), 4)
    state = engine.warm_up(engine.init([0]), 2)
    for count in range(1, 17):
        before = numbers(state.twin)
        state = engine.advance(state, 1)
        one = state.twin.online.params["one"]
        same(state.twin.follower.params["one"], one if count % 5 == 0 else before.follower.params["one"])
        same(
            state.twin.sibling_follower.params["one"], one if count % 3 == 0 else before.sibling_follower.params["one"]
        )
    assert set(state.twin.sibling_follower.params) == {"one"}
    assert [int(number[0]) for number in state.clock] == [72, 16, 3, 1]
    assert float(state.tally.self_loss[0]) > 0


def test_a_sibling_that_is_tied_is_one_that_copies_at_every_step():
    """Law 5 for the second target."""
    ends = {}
    for spec in ("tied", "hard:1", "soft:1"):
        engine = fused(siblings(spec), walk(), 4)
        ends[spec] = engine.advance(engine.warm_up(engine.init([0]), 2), 20).twin
    for spec in ("hard:1", "soft:1"):
        same(ends["tied"].online, ends[spec].online)
        same(ends[spec].sibling_follower.params["one"], ends[spec].online.params["one"])
    assert ends["tied"].sibling_follower is None
    same(ends["tied"].sibling, ends["tied"].online)


def test_law_6_for_the_sibling():
    """No gradient reaches it, the optimiser holds no leaf of it, and it shares no buffer with the others."""
    chosen = siblings("soft:0.01")
    online = chosen.agent.init(rng.root(0))
    pair = twin(online, chosen.rates.target_update, sibling=chosen.sibling)
    through = lambda kept: jnp.sum(dataclasses.replace(pair, sibling_follower=kept).sibling.params["one"] ** 2)  # noqa: E731
    assert not jax.grad(through)(pair.sibling_follower).params["one"].any()
    tied = twin(online, chosen.rates.target_update, sibling=Sibling((), target_specs.parse("tied")))
    through = lambda params: jnp.sum(tied.learn(online._replace(params=params)).sibling.params["one"] ** 2)  # noqa: E731
    assert not jax.grad(through)(online.params)["one"].any()
    count = lambda tree: sum(np.size(leaf) for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert count(optimiser_state(chosen, online.params)) == 2 * count(online.params) + 1
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(pair)]
    assert len(set(places)) == len(places)


def test_without_a_sibling_the_state_has_no_leaf_of_one():
    engine = fused(little_dqn(), walk(), 4)
    state = engine.init([0])
    assert jax.tree.leaves((state.sibling, state.twin.sibling_follower, state.tally.self_loss)) == []


def test_a_sibling_cannot_wait_for_the_regression():
    with pytest.raises(Refusal, match=r"'until:0\.1/50' came"):
        targets(siblings("until:0.1/50"))


def test_law_7_and_law_8_with_a_sibling(tmp_path):
    """Fused is hosted without overlap, and a run that is saved and loaded ends as one that went on, byte for byte."""
    chosen = siblings("cosine:0.5", n_step=2)
    straight, engine = FusedFleet(chosen, walk(), 4, (7, 8)), hosted(chosen, host_of(walk(), 4), overlap=False)
    other = engine.warm_up(engine.init(7), 2)
    straight.warm_up(2)
    straight.advance(9)
    checkpoint.write(tmp_path, 9, 0, straight.seeds, [straight.snapshot(i) for i in range(2)])
    straight.take_tallies()
    straight.advance(11)
    other = engine.advance(other, 9)
    other = engine.advance(other._replace(tally=jax.tree.map(jnp.zeros_like, other.tally)), 11)
    one, two = straight.snapshot(0), numbers(other._replace(key=()))
    assert int(one.sibling) == 20  # moves that the cosine has counted
    same(one._replace(world=(), key=()), two._replace(world=()))

    resumed = FusedFleet(chosen, walk(), 4, (7, 8))
    path, manifest = checkpoint.newest(tmp_path)
    resumed.restore(checkpoint.read(path, manifest, [resumed.snapshot(i) for i in range(2)]))
    resumed.take_tallies()
    resumed.advance(11)
    for i in range(2):
        same(straight.snapshot(i), resumed.snapshot(i))


def test_seeds_in_lanes_share_the_clock_of_a_sibling():
    engine = fused(siblings("hard:3"), walk(), 4, jax.devices()[:1], lanes=2)
    state = engine.advance(engine.warm_up(engine.init([4, 5]), 2), 9)
    same(state.twin.sibling_follower.params["one"], state.twin.online.params["one"])
