"""What is no finite number is never learned from, in any engine; and what is finite is learned from as ever."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import little_dqn, walk

from qtwin.engine.fleet import FusedFleet
from qtwin.engine.hosted import host_of
from qtwin.engine.hosted_fleet import HostedFleet
from qtwin.errors import Diverged
from qtwin.processes import guard
from qtwin.processes.regress import guarded_step, optimiser_state
from qtwin.rates import plan
from qtwin.run.checkpoint import named_leaves
from qtwin.run.logs import Screen
from qtwin.run.loop import Watch, loop, marks
from qtwin.run.saver import Saver
from qtwin.twin import twin
from qtwin.types import Transition

BATCHES = ["nan", "inf", "gradient"]


@pytest.mark.parametrize("how", BATCHES)
def test_an_update_that_is_not_finite_moves_nothing(how):
    algorithm = little_dqn()
    online = algorithm.agent.init(jax.random.key(0))
    pair = twin(online, algorithm.rates.target_update)
    state = optimiser_state(algorithm, online.params)
    rows = jnp.ones((8, 2))
    batch = Transition(rows, jnp.zeros(8, jnp.int32), jnp.ones(8), jnp.ones(8) * 0.9, rows)
    if how == "gradient":  # finite loss, infinite slope
        base = algorithm.agent.loss

        def loss(pair, batch, key):
            value, aux = base(pair, batch, key)
            return value + jnp.sqrt(jnp.sum(pair.online.params["two"]) * 0.0), aux

        algorithm = algorithm._replace(agent=algorithm.agent._replace(loss=loss))
    else:
        batch = batch._replace(reward=batch.reward.at[3].set(float(how)))
    step = jax.jit(lambda pair, state: guarded_step(algorithm, pair, state, batch, jax.random.key(1), jnp.int32(0)))
    value, _, after, after_state, fine = step(pair, state)
    assert not fine
    assert np.isfinite(value) == (how == "gradient")
    before_leaves, after_leaves = named_leaves((pair, state)), named_leaves((after, after_state))
    assert all(before_leaves[name].tobytes() == after_leaves[name].tobytes() for name in before_leaves)


@pytest.mark.parametrize("shape", [(), (3,), (1, 1), (5, 4), (3, 3, 2, 7), (0,)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 0.0])
def test_the_check_sees_every_number(shape, value):
    check = jax.jit(guard.finite)
    leaf = np.ones(shape, np.float32)
    other = np.ones((4, 2), np.float32)
    assert check(jnp.float32(1.0), {"a": leaf, "b": other})
    for place in np.ndindex(*shape):
        spoilt = leaf.copy()
        spoilt[place] = value
        assert bool(check(jnp.float32(1.0), {"a": spoilt, "b": other})) == np.isfinite(value)
    assert bool(check(jnp.float32(value), {"a": leaf})) == np.isfinite(value)


def spoil(state, rows, value):
    """The replay with rewards that no environment gave."""
    ring = state.replay
    reward = np.array(ring.data.reward)
    reward[rows] = value
    data = ring.data._replace(reward=jnp.asarray(reward))
    return state._replace(replay=dataclasses.replace(ring, data=data))


@pytest.mark.parametrize("engine", ["fused", "hosted"])
def test_a_poisoned_replay_never_reaches_the_networks(engine):
    """Some rewards are no numbers: updates that draw one are counted and not applied, the others are, and the target
    follows a finite network."""
    algorithm = little_dqn(replay=64, collect=4)
    if engine == "fused":
        fleet = FusedFleet(algorithm, walk(), 4, (0,))
    else:
        fleet = HostedFleet(algorithm, lambda envs: host_of(walk(), envs), 4, (0,))
    fleet.warm_up(fleet.turn.warmup_vector_steps)
    fleet.advance(20)
    fleet.restore([spoil(fleet.snapshot(0), [3, 40], np.nan)])
    fleet.re_make(0)
    fleet.advance(10)
    (faults,) = fleet.faults()
    assert 0 < faults.skipped < 10
    state = fleet.snapshot(0)
    for name, leaf in named_leaves((state.twin, state.optimiser, state.tally, state.memory)).items():
        assert np.isfinite(leaf).all(), name
    assert fleet.clocks()[0].gradient_steps == 30  # the rates are exact all the same
    fleet.close()


def test_ten_in_a_row_go_back_once_and_then_stop(tmp_path):
    algorithm = little_dqn(replay=64, collect=4)
    fleet = FusedFleet(algorithm, walk(), 4, (0,))
    said = []
    screen = Screen(1, 0, True)
    screen.say = said.append
    saver = Saver(tmp_path, fleet, screen)
    went_back = []

    def save(cycles):
        written = saver.save(cycles)
        if cycles >= 10:  # after the checkpoint everything that is remembered goes bad, each time
            fleet.restore([spoil(fleet.snapshot(0), slice(None), np.inf)])
        return written

    def go_back(why):
        cycles = saver.go_back(why)
        went_back.append((cycles, named_leaves(fleet.snapshot(0).key), fleet.faults()[0].rolled_back))
        fleet.restore([spoil(fleet.snapshot(0), slice(None), np.inf)])
        return cycles

    spending = plan(algorithm.rates, 4, 8 + 4 * 200)
    pauses = marks(spending, 1, "20")
    with pytest.raises(Diverged, match="after the run had gone back"):
        loop(fleet, spending, pauses, screen, None, Watch(save, go_back))
    ((cycles, _, times),) = went_back
    assert cycles == 10
    assert times == 1
    assert any("back to the checkpoint at cycle 10" in line for line in said)
    fleet.close()
