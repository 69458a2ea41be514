"""What is no finite number is never learned from, in any engine; and what is finite is learned from as ever."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import little_dqn, walk

from qtwin import rng
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.engine.hosted_fleet import HostedFleet
from qtwin.envs.base import JaxEnv
from qtwin.envs.guard import Guarded
from qtwin.envs.jax_on_host import host_of
from qtwin.errors import Broken, Diverged
from qtwin.processes import finite_updates
from qtwin.processes.collect import begin
from qtwin.processes.nonfinite import finite_returns
from qtwin.processes.regress import guarded_step, optimiser_state
from qtwin.rates import plan
from qtwin.run.checkpoint import named_leaves
from qtwin.run.checkpoint_manager import Saver
from qtwin.run.logs import Screen
from qtwin.run.loop import Course, Observer, Watch, loop
from qtwin.run.pauses import marks
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
    check = jax.jit(finite_updates.finite)
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
        loop(fleet, Course(spending, pauses), Observer(screen), Watch(save, go_back))
    ((cycles, _, times),) = went_back
    assert cycles == 10
    assert times == 1
    assert any("back to the checkpoint at cycle 10" in line for line in said)
    fleet.close()


def breaking(field, value, at, always=False):
    """`walk` in which every third environment or so gives ``value`` as ``field`` in its ``at``-th step; ``always`` from
    then on, another one's first step included."""
    sound = walk()

    def reset(key):
        state, obs = sound.reset(key)
        return (state, jnp.int32(0), jax.random.randint(jax.random.fold_in(key, 7), (), 0, 3) == 0), obs

    def step(key, state, action):
        inner, count, chosen = state
        inner, obs, outcome = sound.step(key, inner, action)
        bad = (chosen & (count + 1 == at)) | (always & (count + 1 >= at))
        spoil = lambda x: jnp.where(bad, jnp.full_like(x, value), x)  # noqa: E731
        if field == "obs":
            obs = spoil(obs)
        else:
            outcome = outcome._replace(**{field: spoil(getattr(outcome, field))})
        return (inner, count + 1, chosen), obs, outcome

    return JaxEnv(sound.spec, reset, step)


FOUND = [("reward", np.nan, 9, "nan as reward"), ("next_obs", np.inf, 10, "inf as next_obs"),
         ("reward", -np.inf, 12, "-inf as reward"), ("obs", np.nan, 8, "nan as obs")]  # fmt: skip


def first_broken(env, envs, seed):
    """Which environment breaks first: those that were chosen at the start."""
    return int(np.argmax(np.asarray(begin(env, envs, rng.root(np.uint32(seed))).env[2])))


@pytest.mark.parametrize(("field", "value", "at", "said"), FOUND)
def test_an_environment_in_jax_that_gives_no_finite_number_is_named_and_nothing_of_it_stored(field, value, at, said):
    algorithm, env, envs, seed = little_dqn(replay=64, collect=8), breaking(field, value, at), 4, 1
    fleet = FusedFleet(algorithm, env, envs, (seed,))
    spending = plan(algorithm.rates, envs, 8 + 8 * 20)
    with pytest.raises(Broken) as stopped:
        loop(fleet, Course(spending, marks(spending, 1, "1")), Observer(Screen(1, 0, True)))
    (faults,) = fleet.faults()
    # What is to be acted on next is found where it is acted on, one vector step later.
    assert faults.broken_at == at + (field == "obs")
    assert faults.broken_env == first_broken(env, envs, seed)
    assert f"environment {faults.broken_env} of test:walk gave {said} at vector step {faults.broken_at}" in str(
        stopped.value
    )
    for name, leaf in named_leaves(fleet.snapshot(seed_index=0).replay).items():
        assert np.isfinite(leaf).all(), name
    fleet.close()


def test_an_environment_in_jax_on_the_host_is_named_likewise():
    env = Guarded(host_of(breaking("reward", np.nan, 3), 4))
    env.reset(1)
    env.step(np.zeros(4, np.int32))
    env.step(np.zeros(4, np.int32))
    with pytest.raises(Broken, match="test:walk gave nan as reward at step 3"):
        env.step(np.zeros(4, np.int32))


# Vector steps 9 and 10 are the first and the second of a chunk of two.
@pytest.mark.parametrize(("at", "field"), [(9, "reward"), (10, "next_obs"), (9, "obs")])
def test_one_that_is_dropped_is_replaced_and_its_episode_truncated(at, field):
    algorithm, envs, seed = little_dqn(replay=64, collect=8, n_step=2), 4, 1
    env = breaking(field, np.nan, at)
    fleet = FusedFleet(algorithm, env, envs, (seed,), drop=True)
    fleet.warm_up(fleet.turn.warmup_vector_steps)
    fleet.advance(6)
    (faults,), which = fleet.faults(), first_broken(env, envs, seed)
    chosen = np.asarray(begin(env, envs, rng.root(np.uint32(seed))).env[2])
    assert faults.broken_at == 0
    assert faults.lost == fleet.lost()[0] >= chosen.sum() > 0
    data = jax.tree.map(lambda leaf: leaf[:56].reshape(14, envs, *leaf.shape[1:]), fleet.snapshot(0).replay.data)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(data))
    assert data.last[at - 2, which], "the step before the one that was lost is its episode's last"
    assert data.discount[at - 2, which] == 1.0 or abs(data.next_obs[at - 2, which, 0]) >= 3, "truncated"
    assert (data.obs[at - 1, which, 1], data.next_obs[at - 1, which, 1]) == (0, 1), "then another one's first step"
    for t, n in zip(*np.nonzero(~data.last[:-1]), strict=True):  # no step crosses an episode
        np.testing.assert_array_equal(data.next_obs[t, n], data.obs[t + 1, n])
    fleet.close()


def test_where_another_one_is_broken_too_the_run_stops():
    algorithm, env = little_dqn(replay=64, collect=8), breaking("reward", np.nan, 1, always=True)
    fleet = FusedFleet(algorithm, env, 4, (0,), drop=True)
    spending = plan(algorithm.rates, 4, 8 + 8 * 20)
    with pytest.raises(Broken, match="gave nan as reward at vector step 1,"):
        loop(fleet, Course(spending, marks(spending, 1, "1")), Observer(Screen(1, 0, True)))
    fleet.close()


def test_an_evaluation_that_is_not_finite_stops_the_run_or_is_cut():
    algorithm, envs = little_dqn(replay=64, collect=8), 4
    env = breaking("reward", np.inf, 2)
    fleet = FusedFleet(algorithm, env, envs, (0,), episodes=16)
    assert not np.isfinite(fleet.evaluate(0)).all()
    fleet.close()
    fleet = FusedFleet(algorithm, env, envs, (0,), episodes=16, drop=True)
    assert np.isfinite(fleet.evaluate(0)).all()
    fleet.close()
    with pytest.raises(Broken, match="had the return inf"):
        finite_returns(np.array([[1.0, np.inf]]), "test:walk")
