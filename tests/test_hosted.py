"""The hosted engine: law 7, exact counters, ragged environments, a lag of one regression that no clock can change."""

import functools
import re
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clockwork import clockwork, length, reward
from gymnasium.vector import AutoresetMode
from worlds import little_dqn, walk

from qtwin.acting.exploration import constant, epsilon_greedy
from qtwin.agents.dqn import dqn
from qtwin.algorithm import Agent, Algorithm
from qtwin.config.config import Config
from qtwin.engine.fused import fused
from qtwin.engine.hosted import Beside, hosted, programs
from qtwin.envs.base import Outcome
from qtwin.envs.catalog import resolve
from qtwin.envs.gym_envs import from_vector
from qtwin.envs.jax_on_host import host_of
from qtwin.envs.make import jax_env
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.net import from_functions
from qtwin.processes.collect_hosted import Episodes, Gatherer
from qtwin.rates import Rates, cycle_of
from qtwin.replay.latest import latest
from qtwin.replay.ring import Linked, ring
from qtwin.target_update import rules
from qtwin.types import Aux, Timestep


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, numbers(one), numbers(two))


@functools.cache
def counting(collect=4, regress=1, every=1, warmup=0, replay=64, batch=4, n_step=1, greedy=False) -> Algorithm:
    """A network of one number that each gradient step raises by 1; acts at random, or ``greedy`` gives that number."""

    def act(variables, obs, epsilon, key):
        if greedy:
            return jnp.broadcast_to(variables.params["count"].astype(jnp.int32), obs.shape[:1])
        return epsilon_greedy(jnp.zeros((obs.shape[0], 3)), jnp.float32(1.0), key)

    return Algorithm(
        agent=Agent(
            lambda key: from_functions(lambda key: {"count": jnp.float32(0.0)}, None).init(key),
            act,
            lambda twin, batch, key: (-twin.online.params["count"], Aux(batch.reward, batch.reward)),
        ),
        rates=Rates(collect, regress, rules.hard(every), warmup),
        replay=latest(batch) if replay == 0 else ring(replay, batch, 0.5, n_step),
        optimiser=optax.sgd(1.0),
        explore=constant(0.0),
    )


# Law 7


@pytest.mark.optimised  # the two programs of CartPole's physics round alike only as they are compiled for a run
@pytest.mark.parametrize(
    ("env", "algorithm", "envs"),
    [
        (walk(), little_dqn("soft:0.01", collect=6, regress=2, n_step=3, replay=61), 4),
        (walk(), little_dqn("until:0.1/7")._replace(replay=latest(2)), 4),
        (walk(), little_dqn("hard:3")._replace(explore=constant(0.3), zeta=2.0), 4),
        (None, None, 5),
    ],
    ids=["soft-n-step", "until-latest", "random-actions-that-last", "CartPole"],
)
def test_law_7_fused_is_hosted_without_overlap(env, algorithm, envs):
    """The same environment and seed: every byte of the whole state, after the warm-up and after every few cycles."""
    if env is None:
        spec = resolve("gymnax:CartPole-v1")
        env, algorithm = jax_env(spec), dqn(spec, Config("CartPole-v1", net="mlp:16", replay=500, batch=16))
    inside, outside = fused(algorithm, env, envs), hosted(algorithm, host_of(env, envs), overlap=False)
    assert inside.turn == outside.turn
    one, two = inside.init([7]), outside.init(7)
    for step in (0, 1, 2, 40):
        one = inside.advance(one, step) if step else inside.warm_up(one, 6)
        two = outside.advance(two, step) if step else outside.warm_up(two, 6)
        alone = jax.tree.map(lambda leaf: leaf[0], one)
        assert_same(alone._replace(world=(), key=()), two._replace(world=(), key=()))
        for field in ("obs", "returns", "lengths", "held"):
            assert_same(getattr(alone.world, field), getattr(two.world, field))
        assert int(two.world.env.vector_steps) * envs == int(two.clock.transitions)
    assert int(two.tally.episodes) > 5


# Counters


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize(
    ("envs", "rates"), [(1, (1, 1, 1)), (3, (4, 1, 2500)), (8, (10, 1, 5)), (10, (7, 3, 11)), (64, (256, 128, 10))]
)
def test_law_2_counters_are_exactly_what_the_ratios_say(envs, rates, mode, overlap):
    collect, regress, every = rates
    engine = hosted(counting(*rates, warmup=3 * envs, replay=1024), from_vector(clockwork(envs, mode)), overlap)
    state, cycles = engine.warm_up(engine.init(0), 3), 0
    assert [int(count) for count in state.clock] == [3 * envs, 0, 0, 0]
    for more in (1, 2, 5):
        state, cycles = engine.advance(state, more), cycles + more
        transitions, gradient_steps, moves, age = (int(count) for count in state.clock)
        assert transitions == 3 * envs + cycles * engine.turn.transitions
        assert gradient_steps * collect == (transitions - 3 * envs) * regress
        assert moves == gradient_steps // every
        assert age == gradient_steps % every
        stored = state.replay.size
        assert int(stored) == min(transitions, 1024)
        assert int(state.twin.online.params["count"]) == gradient_steps
    vector_steps = int(state.world.env.vector_steps)
    if mode is AutoresetMode.SAME_STEP:
        assert vector_steps * envs == transitions
    else:
        assert vector_steps * envs > transitions
    engine.close()


# What is stored


class Listener:
    """A `HostEnv` that writes down what happened, and may dawdle."""

    def __init__(self, env, pause=0.0):
        self.env, self.spec, self.num_envs, self.ragged = env, env.spec, env.num_envs, getattr(env, "ragged", False)
        self.heard, self.pause = [], pause
        self.rng = np.random.default_rng()

    def reset(self, seed):
        self.obs = self.env.reset(seed)
        return self.obs

    def step(self, actions):
        time.sleep(self.rng.random() * self.pause)
        obs, outcome, valid = self.env.step(actions)
        which = np.arange(self.num_envs) if valid is None else np.flatnonzero(valid)
        self.heard += [(self.obs[i], actions[i], *[field[i] for field in outcome]) for i in which]
        self.obs = obs
        return obs, outcome, valid

    def close(self):
        self.env.close()


def returns_of(index, episode, t, n_step, gamma):
    """By hand: the n-step transition that starts at a `Clockwork` step."""
    total, steps, end = 0.0, 0, length(index, episode)
    while steps < n_step and t + steps < end:
        total += gamma**steps * reward(index, episode, t + steps + 1)
        steps += 1
    terminal = t + steps == end and episode % 2 == 0
    return total, 0.0 if terminal else gamma**steps, [index, episode, t + steps]


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("n_step", "replay", "collect"), [(1, 60, 5), (3, 61, 10), (4, 40, 40)])
def test_the_replay_holds_the_transitions_that_were_and_no_other(mode, n_step, replay, collect):
    envs = 5
    env = Listener(from_vector(clockwork(envs, mode)))
    algorithm = counting(collect, warmup=(n_step + 1) * envs, replay=replay, n_step=n_step, batch=30)
    engine = hosted(algorithm, env, overlap=False)
    state = engine.warm_up(engine.init(0), n_step + 1)
    memory = algorithm.replay if mode is not AutoresetMode.NEXT_STEP or n_step == 1 else algorithm.replay.ragged()
    sample = jax.jit(memory.sample)
    for round in range(12):
        state = engine.advance(state, 1)
        kept = state.replay if memory is algorithm.replay else state.replay.ring
        transitions, size, head = int(state.clock.transitions), int(kept.size), int(kept.head)
        newest_first = [(head - 1 - k) % replay for k in range(size)]
        for k, slot in enumerate(newest_first):
            heard = env.heard[transitions - 1 - k]
            for column, value in zip(kept.data, (*heard[:5], heard[5]), strict=True):
                np.testing.assert_array_equal(np.asarray(column[slot]), value)
        oldest = [tuple(h[0]) for h in env.heard[transitions - size : transitions - (n_step - 1) * envs]]
        batch = numbers(sample(state.replay, jax.random.key(round), 0))
        seen = {tuple(obs) for obs in batch.obs}
        assert seen <= set(oldest)
        for obs, total, discount, next_obs in zip(batch.obs, batch.reward, batch.discount, batch.next_obs, strict=True):
            expected = returns_of(*(int(x) for x in obs), n_step, 0.5)
            assert total == pytest.approx(expected[0])
            assert discount == expected[1]
            assert next_obs.tolist() == expected[2]
    episodes = [h for h in env.heard[: int(state.clock.transitions)] if h[5]]
    assert abs(int(state.tally.episodes) - len(episodes)) <= envs  # the last ones may wait for the next chunk
    engine.close()


def test_every_step_that_is_complete_is_drawn_about_equally_often():
    env = from_vector(clockwork(5, AutoresetMode.NEXT_STEP))
    algorithm = counting(5, warmup=20, replay=60, n_step=3, batch=60)
    engine = hosted(algorithm, env, overlap=False)
    state = engine.advance(engine.warm_up(engine.init(0), 4), 20)
    sample = jax.jit(algorithm.replay.ragged().sample)
    drawn = np.concatenate([np.asarray(sample(state.replay, jax.random.key(k), 0).obs) for k in range(60)])
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 60 - 2 * 5
    assert abs(counts - 72).max() < 45  # 3600 draws of 50: 72 each, standard deviation 8.4


def test_termination_is_not_truncation_and_episodes_are_counted_once():
    for mode in AutoresetMode:
        engine = hosted(counting(collect=40, replay=400), from_vector(clockwork(4, mode)), overlap=True)
        state = engine.advance(engine.init(0), 10)
        rows = numbers(state.replay.data)
        episode = rows.obs[:, 1].astype(int)
        assert np.array_equal(rows.discount == 0.0, rows.last & (episode % 2 == 0))
        assert rows.last[rows.discount == 0.0].all()
        lengths = [length(*where) for where in {(int(i), int(e)) for i, e in rows.obs[rows.last][:, :2]}]
        total = [
            sum(reward(int(i), int(e), t + 1) for t in range(length(int(i), int(e))))
            for i, e in rows.obs[rows.last][:, :2]
        ]
        if mode is not AutoresetMode.NEXT_STEP:  # there some ends may still wait for the next chunk
            assert int(state.tally.episodes) == len(total) == len(lengths)
            assert float(state.tally.lengths) == sum(lengths)
            assert float(state.tally.returns) == pytest.approx(sum(total))
        engine.close()


# Overlap


def test_overlap_acts_with_the_network_as_it_was_one_regression_earlier():
    for overlap in (False, True):
        engine = hosted(counting(collect=4, regress=3, replay=400, greedy=True), host_of(walk(), 2), overlap)
        state = engine.init(0)
        for cycles in (1, 2, 4):  # how the run is cut into pieces changes nothing
            state = engine.advance(state, cycles)
        acted = np.asarray(state.replay.data.action)[:28].reshape(7, 4)
        lag = 1 if overlap else 0
        assert acted.tolist() == [[3 * max(cycle - lag, 0)] * 4 for cycle in range(7)]
        engine.close()


def test_overlap_gives_the_same_bits_however_slow_the_environments_are_and_however_the_run_is_cut():
    ends = []
    for pause, pieces in ((0.0, (12,)), (0.004, (12,)), (0.0, (1, 4, 7))):
        engine = hosted(little_dqn(collect=8, regress=2), Listener(host_of(walk(), 4), pause), overlap=True)
        state = engine.warm_up(engine.init(3), 4)
        for cycles in pieces:
            state = engine.advance(state, cycles)
        ends.append(numbers(state._replace(key=())))
        engine.close()
    assert_same(ends[0], ends[1])
    assert_same(ends[0], ends[2])
    assert int(ends[0].clock.gradient_steps) == 24


def test_what_runs_beside_the_collection_and_with_which_network_it_acts():
    network, device = {"w": jnp.zeros(3)}, jax.devices()[0]
    plain, overlapped = Beside.of(False, device), Beside.of(True, device)
    assert plain.acting(network) is network  # read before the regression takes it over
    copy = overlapped.acting(network)
    assert copy["w"].unsafe_buffer_pointer() != network["w"].unsafe_buffer_pointer()
    jax.tree.map(np.testing.assert_array_equal, copy, network)
    here, go_on = threading.get_ident(), threading.Event()
    assert plain.begin(threading.get_ident).result() == here
    waits = overlapped.begin(lambda: (go_on.wait(10), threading.get_ident()))
    assert not waits.done()
    go_on.set()
    assert waits.result()[0]
    assert waits.result()[1] != here
    for beside in (plain, overlapped):
        beside.close()


# Stop and resume


@pytest.mark.parametrize("overlap", [False, True])
def test_a_run_that_rejoins_at_its_checkpoints_may_be_stopped_there(overlap):
    algorithm = little_dqn(n_step=2)

    def fresh():
        engine = hosted(algorithm, host_of(walk(), 4), overlap)
        return engine, engine.warm_up(engine.init(5), 3)

    engine, state = fresh()
    state = engine.advance(state, 9)
    saved = numbers(state._replace(key=jax.random.key_data(state.key)))
    straight = engine.advance(engine.rejoin(state, 0), 9)

    other, state = fresh()
    loaded = jax.tree.map(jnp.asarray, saved._replace(key=jax.random.wrap_key_data(saved.key)))
    with pytest.raises(ValueError, match="call rejoin"):
        other.advance(loaded, 1)
    resumed = other.advance(other.rejoin(loaded, 0), 9)
    assert_same(straight._replace(key=()), resumed._replace(key=()))
    assert int(resumed.clock.transitions) == 12 + 18 * 4

    state = engine.rejoin(straight, 1)
    assert state.world.lengths.tolist() == [0] * 4
    again = engine.rejoin(state, 1)
    assert np.array_equal(state.world.obs, again.world.obs)
    starts = {tuple(np.ravel(engine.rejoin(again, boundary).world.obs)) for boundary in range(8)}
    assert len(starts) > 4


def test_a_tally_that_was_taken_can_be_filled_again():
    from qtwin.state import empty_tally

    engine = hosted(counting(), from_vector(clockwork(4, AutoresetMode.SAME_STEP)), overlap=False)
    state = engine.advance(engine.init(0), 3)
    state = engine.advance(state._replace(tally=empty_tally()), 2)
    assert int(state.tally.gradient_steps) == 2


# The machine


@pytest.mark.parametrize(
    ("config", "linked"),
    [
        (Config("CartPole-v1", replay=12_340, warmup=0), False),
        (Config("CartPole-v1", replay=12_341, warmup=20, n_step=3), True),
        (Config("CartPole-v1", replay=12_340, warmup=0, collect=40, regress=4), False),
    ],
    ids=["dqn", "linked-n-step-odd-size", "many"],
)
def test_the_compiled_calls_hold_no_copy_of_the_replay(config, linked):
    spec = resolve("gym:CartPole-v1")
    algorithm = dqn(spec, config)
    turn = cycle_of(algorithm.rates, config.envs)
    run = programs(algorithm, spec, turn, linked, "cpu")
    key = jax.random.key(0)
    state = run.start(key)._replace(key=())
    many, one = (chunk_of(spec, steps, config.envs, linked) for steps in (turn.vector_steps, 1))
    for lowered in (run.learn.lower(state, key, many, np.int32(1)), run.remember.lower(state, one, np.int32(1))):
        text = lowered.compile().as_text()
        assert f"[{config.replay}" in text, "the replay is in there"
        copies = re.findall(rf"= \S*\[{config.replay}[^=]*? copy(?:-start|-done)?\(.*", text)
        assert not copies, copies


def chunk_of(spec, steps, envs, linked):
    flat = np.zeros((steps, envs), np.float32)
    obs = np.zeros((steps, envs, *spec.obs_shape), spec.obs_dtype)
    chunk = Timestep(obs, flat.astype(np.int32), flat, flat, obs, flat.astype(bool))
    return Linked(chunk, flat.astype(np.int32)) if linked else chunk


def test_the_learner_lives_where_it_is_told_to():
    device = jax.devices()[1]
    engine = hosted(little_dqn(), host_of(walk(), 4), overlap=True, device=device)
    state = engine.advance(engine.warm_up(engine.init(0), 2), 2)
    assert {leaf.device for leaf in jax.tree.leaves((state.twin, state.replay, state.optimiser))} == {device}


def test_nothing_to_collect_is_refused():
    with pytest.raises(Refusal, match="write --collect"):
        hosted(counting(collect=0), from_vector(clockwork(2, AutoresetMode.SAME_STEP)), overlap=False)


class Scripted:
    """A `HostEnv` that reads its rows from a script of (last, valid) for two environments."""

    spec, num_envs = EnvSpec("test:scripted", (), "float32", 2), 2

    def __init__(self, script, ragged):
        self.script, self.ragged = iter(script), ragged

    def reset(self, seed):
        return np.zeros(2, np.float32)

    def step(self, actions):
        last, valid = (np.array(column, bool) for column in next(self.script))
        ones = np.ones(2, np.float32)
        return ones, Outcome(ones, ones, ones, last), valid


@pytest.mark.parametrize(
    ("script", "ragged", "says"),
    [
        ([((0, 0), (1, 1)), ((0, 0), (1, 0))], True, "middle of an episode"),
        ([((0, 1), (1, 1)), ((0, 0), (1, 0))], False, "has to say ragged=True"),
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_rows_that_break_the_contract_are_an_error(script, ragged, says, linked):
    def gather():
        from qtwin.engine.hosted import Outside

        keys = lambda key, first: (np.zeros((4, 2), np.uint32), ())  # noqa: E731
        gatherer = Gatherer(Scripted(script, ragged), keys, linked)
        world = gatherer.start(0, Outside(np.int32(0), ()), None)
        return gatherer.gather(lambda *_: (np.zeros(2, np.int32), ()), None, world, 0, 2, Episodes())

    with pytest.raises(ValueError, match=says):
        gather()
