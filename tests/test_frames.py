"""The frame replay beside a slow construction: every sampled stack, return and discount, whatever the stream."""

import collections
import errno
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qtwin.acting.exploration import constant
from qtwin.algorithm import Agent, Algorithm
from qtwin.config.config import Config
from qtwin.engine.host_programs import programs
from qtwin.engine.hosted_fleet import HostedFleet
from qtwin.envs.base import Outcome
from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.processes.collect_hosted import Episodes, Gatherer
from qtwin.rates import Cycle, Rates
from qtwin.replay.frame_packer import Framer
from qtwin.replay.frames import Framed, FrameRing, FrameRow, frame_ring
from qtwin.replay.mapped import Mapped
from qtwin.replay.priority import prioritised
from qtwin.replay.room import replay_bytes, room_for, room_on_disk
from qtwin.replay.size import bytes_per_frame, bytes_per_transition
from qtwin.request.retention import parse_keep
from qtwin.request.train import build
from qtwin.rng import root
from qtwin.run.checkpoint import named_leaves
from qtwin.run.checkpoint_manager import Saver
from qtwin.run.logs import Screen
from qtwin.storage import block_store
from qtwin.target_update import specs
from qtwin.td.targets import max_target, q_of_action
from qtwin.types import Aux, Timestep, Transition, Variables

GAMMA = 0.9
SIDE = 2  # frames of 2x2 bytes, which spell the number of the frame


def world(stack):
    return EnvSpec("gym:Script-v0", (SIDE, SIDE, stack), "uint8", 5, engine="hosted", stack=stack)


def picture(number):
    return np.frombuffer(int(number).to_bytes(4, "big"), np.uint8).reshape(SIDE, SIDE)


def number(frame):
    return int.from_bytes(np.ascontiguousarray(frame).tobytes(), "big")


class Script:
    """N environments that play a random script: deaths, lives lost inside a stack, time limits; frames by number."""

    def __init__(self, envs, stack, seed, ragged=False):
        self.spec, self.num_envs, self.ragged = world(stack), envs, ragged
        self.random, self.frames = np.random.default_rng(seed), 0
        self.stacks, self.told = [[] for _ in range(envs)], [[] for _ in range(envs)]
        self.resets_now = np.zeros(envs, bool)

    def _frame(self):
        self.frames += 1
        return picture(self.frames)

    def _begin(self, i):
        self.stacks[i] = [self._frame() for _ in range(self.spec.stack)]

    def _obs(self):
        return np.stack([np.stack(frames, axis=-1) for frames in self.stacks])

    def reset(self, seed):
        for i in range(self.num_envs):
            self._begin(i)
        self.fresh = np.ones(self.num_envs, bool)
        return self._obs()

    def step(self, actions):
        """What happened is kept in ``told``: of each environment (obs, action, reward, discount, next_obs, last)."""
        before, valid = self._obs(), ~self.resets_now
        fate = self.random.choice(
            ["goes on", "dies", "loses a life", "time is up"], self.num_envs, p=[0.82, 0.06, 0.07, 0.05]
        )
        reward = self.random.integers(-3, 4, self.num_envs).astype(np.float32)
        discount = np.where((fate == "dies") | (fate == "loses a life"), 0.0, 1.0).astype(np.float32)
        last, over = (fate != "goes on") & valid, ((fate == "dies") | (fate == "time is up")) & valid
        for i in np.flatnonzero(valid):
            self.stacks[i] = [*self.stacks[i][1:], self._frame()]
        next_obs = self._obs()
        for i in np.flatnonzero(valid):
            self.told[i].append((before[i], actions[i], reward[i], discount[i], next_obs[i], last[i]))
        if self.ragged:
            for i in np.flatnonzero(self.resets_now):
                self._begin(i)
            self.fresh, self.resets_now = ~valid, over
        else:
            for i in np.flatnonzero(over):
                self._begin(i)
            self.fresh = over
        obs = self._obs()
        return obs, Outcome(reward, discount, next_obs, last), valid if self.ragged else None

    def close(self):
        pass


def slow(told, n_step):
    """Every transition of one environment that is complete, by the number of the frame acted on."""
    found = {}
    for t, (obs, action, *_) in enumerate(told):
        ret, discount, then = 0.0, 1.0, None
        for k in range(n_step):
            if t + k == len(told):
                break
            _, _, reward, going_on, next_obs, last = told[t + k]
            ret, discount, then = ret + GAMMA**k * reward, GAMMA ** (k + 1) * going_on, next_obs
            if last:
                break
        if t + k < len(told):
            found[number(obs[..., -1])] = (obs, action, ret, discount, then)
    return found


def play(
    envs, stack, n_step, capacity, vector_steps, seed, ragged=False, chunk=2, batch=250, folder=None,
    wrapped=lambda replay: replay, after=lambda replay, state, rows: state,
):  # fmt: skip
    script = Script(envs, stack, seed, ragged)
    replay = wrapped(frame_ring(script.spec, capacity, batch, GAMMA, n_step))
    keys = lambda key, first: (np.zeros((256, 1)), ())  # noqa: E731
    gatherer = Gatherer(script, keys, False, replay.framer())
    from qtwin.engine.hosted import Outside

    state = replay.init(
        Timestep(None, jax.ShapeDtypeStruct((), jnp.int32), None, None, None, None),
        Cycle(envs, chunk * envs, 1, chunk, 4),
    )
    disk = None if folder is None else Mapped(folder, replay.bulk.shape, replay.bulk.dtype)
    if disk is not None:
        disk.begin()
        state = replay.bulk.take(state)[0]
    place = gatherer.start(0, Outside(np.int32(0), ()), None)
    add, sample = jax.jit(replay.add, donate_argnums=0), jax.jit(replay.sample)
    act = lambda *_: (script.random.integers(0, 5, envs), ())  # noqa: E731
    for t in range(vector_steps // chunk):
        rows, place = gatherer.gather(act, None, place, t * chunk * envs, chunk, Episodes())
        if disk is not None:
            rows, frames = replay.bulk.take_rows(rows)
            jax.block_until_ready(state)
            disk.write(frames, int(replay.bulk.head(state)))
        state = after(replay, add(state, rows), rows)
    return script, state if disk is None else replay.bulk.give(state, disk.array), sample


CASES = [(1, 4, 1, False), (3, 4, 3, False), (8, 4, 1, False), (3, 4, 3, True), (8, 1, 3, True)]
CASES = [(*case, False) for case in CASES] + [(3, 4, 3, True, True)]


@pytest.mark.parametrize(("envs", "stack", "n_step", "ragged", "on_disk"), CASES)
def test_every_sample_is_what_a_slow_construction_gives(envs, stack, n_step, ragged, on_disk, tmp_path):
    capacity = 311 + 40 * envs  # no multiple of anything; the stream wraps around it several times
    folder = tmp_path if on_disk else None
    script, state, sample = play(envs, stack, n_step, capacity, 6 * capacity // envs, 7 + envs, ragged, folder=folder)
    expected = {}
    for told in script.told:
        expected |= slow(told, n_step)
    seen = collections.Counter()
    for draw in range(80):  # 20,000 samples in each case, 100,000 in all
        batch = jax.tree.map(np.asarray, sample(state, root(draw), 0))
        for obs, action, reward, discount, next_obs in zip(*batch[:5], strict=True):
            which = number(obs[..., -1])
            wanted = expected[which]
            seen[which] += 1
            np.testing.assert_array_equal(obs, wanted[0])
            assert action == wanted[1]
            assert reward == pytest.approx(wanted[2], rel=1e-6, abs=1e-6)
            assert discount == pytest.approx(wanted[3], rel=1e-6)
            np.testing.assert_array_equal(next_obs, wanted[4])
    # All that the ring still holds whole is drawn, equally often: the newest transitions of every environment too.
    newest = {number(told[-n_step][0][..., -1]) for told in script.told}
    assert newest & set(expected) <= set(seen)
    mean, times = 20_000 / len(seen), np.array(list(seen.values()))
    assert np.sum((times - mean) ** 2 / mean) < len(seen) + 5 * np.sqrt(2 * len(seen))
    rows = capacity - (stack + n_step) * 2 * envs
    share = sum(len(told) for told in script.told) / script.frames
    assert len(seen) > 0.93 * share * rows


def test_a_chunk_written_at_once_is_the_same_as_row_by_row_and_around_the_end():
    """Episodes of three frames; transitions are complete from an episode's second frame on."""
    ring = FrameRing(world(1), 12, 1, GAMMA, 1, 0)
    state = ring.init(Timestep(None, jax.ShapeDtypeStruct((), jnp.int32), None, None, None, None), Cycle(1, 1, 1, 1, 1))
    add, states = jax.jit(ring.add), [state, state]
    for begin in range(0, 20, 5):
        n = np.arange(begin, begin + 5)
        frames, first = np.stack([picture(i) for i in n])[..., None], n % 3 == 0
        rows = FrameRow(
            frames, n.astype(np.int32), n.astype(np.float32), np.ones(5, np.float32), n % 3 == 2, ~first,
            np.where(first, 0, 1).astype(np.int32),
        )  # fmt: skip
        padded = jax.tree.map(lambda column: np.concatenate([column, column[:1]]), rows)
        chunks = Framed(rows, np.int32(5)), Framed(padded, np.int32(5))
        states = [add(state, chunk) for state, chunk in zip(states, chunks, strict=True)]
        jax.tree.map(np.testing.assert_array_equal, *states)
    state, ranks = states[0], jnp.arange(12)
    slots = (state.head - state.size + ranks) % 12
    newest = state.data.reward[slots].astype(int).tolist()
    assert newest == list(range(8, 20))  # the oldest's own first frame is gone
    can = ring.complete(state, ranks).tolist()
    assert can == [n % 3 != 0 and n > 8 for n in newest]
    reward, discount, end = ring.returns(state, slots[1:4])
    assert (reward.tolist(), end.tolist()) == ([9, 10, 11], slots[1:4].tolist())
    np.testing.assert_allclose(discount, GAMMA)
    assert [number(frame) for frame in ring.stacks(state, slots)] == newest


@pytest.mark.parametrize(
    ("envs", "stack", "n_step", "ragged", "on_disk"),
    [(3, 4, 3, False, False), (2, 4, 1, False, True), (3, 4, 3, True, False)],
)
def test_priorities_over_frames_are_of_the_complete_transitions_and_of_no_other(
    envs, stack, n_step, ragged, on_disk, tmp_path
):
    """After every chunk all that are complete can be drawn, new ones with the largest priority, others with theirs."""
    capacity, expected, random = 311 + 40 * envs, {}, np.random.default_rng(0)
    ring = FrameRing(world(stack), capacity, 8, GAMMA, n_step, 0)
    every = jax.jit(lambda memory: ring.complete(memory, jnp.arange(capacity)))
    update = jax.jit(lambda replay, *given: replay.update(*given), static_argnums=0)

    def look(replay, state, rows):
        memory, written = state.memory, {(int(state.memory.head) - 1 - i) % capacity for i in range(int(rows.count))}
        ranks = np.flatnonzero(np.asarray(every(memory))[: int(memory.size)])
        complete = ((int(memory.head) - int(memory.size) + ranks) % capacity).tolist()
        leaves = np.asarray(state.tree[0]).ravel()[:capacity]
        assert np.flatnonzero(leaves).tolist() == sorted(complete)
        known = {slot: expected[slot] for slot in complete if slot in expected and slot not in written}
        largest = float(state.largest)
        assert {slot: float(leaves[slot]) for slot in complete} == {slot: known.get(slot, largest) for slot in complete}
        np.testing.assert_allclose(state.tree[-1].sum(), leaves.sum(), rtol=1e-5)
        slots = jnp.asarray(random.choice(complete, 8))
        batch = Transition(*[None] * 5, weight=None, slot=slots)
        aux = Aux(jnp.asarray(random.uniform(0.1, 2.0, 8), jnp.float32), jnp.zeros(8))
        state = update(replay, state, batch, aux)
        leaves = np.asarray(state.tree[0]).ravel()
        expected.clear()
        expected.update({slot: float(leaves[slot]) for slot in complete})
        return state

    script, state, sample = play(
        envs, stack, n_step, capacity, 3 * capacity // envs // 2, 3 + envs, ragged,
        folder=tmp_path if on_disk else None, wrapped=lambda plain: prioritised(plain, 1.0, (0.4, 1.0), 100, n_step),
        after=look,
    )  # fmt: skip
    told, seen = {}, set()
    for each in script.told:
        told |= slow(each, n_step)
    for draw in range(8):
        batch = jax.tree.map(np.asarray, sample(state, root(draw), 0))
        for obs, action, reward, discount, next_obs in zip(*batch[:5], strict=True):
            wanted = told[number(obs[..., -1])]
            seen.add(number(obs[..., -1]))
            np.testing.assert_array_equal(obs, wanted[0])
            np.testing.assert_array_equal(next_obs, wanted[4])
            assert (action, reward, discount) == (wanted[1], pytest.approx(wanted[2]), pytest.approx(wanted[3]))
    assert len(seen) > 0.7 * len(expected)


def linear_dqn(envs, replay):
    """Q-learning on the pixels themselves."""

    def loss(twin, batch, key):
        q = q_of_action(values(twin.online, batch.obs), batch.action)
        td_error = max_target(batch.reward, batch.discount, values(twin.target, batch.next_obs)) - q
        return jnp.mean(td_error**2), Aux(td_error, q)

    def values(variables, obs):
        return (obs.reshape(len(obs), -1) / 255.0) @ variables.params["w"]

    def act(variables, obs, epsilon, key):
        return jnp.argmax(values(variables, obs), axis=-1)

    agent = Agent(lambda key: Variables({"w": jnp.ones((4 * SIDE**2, 5)) * 0.01}, {}), act, loss)
    rates = Rates(2 * envs, 2, specs.parse("hard:3"), 16)
    return Algorithm(agent, rates, replay, optax.sgd(0.01), constant(0.0))


def test_frames_on_the_disk_change_no_bit_and_a_run_goes_on_from_one_to_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(block_store, "BLOCK_BYTES", 256)
    replay = frame_ring(world(4), 300, 8, GAMMA, 3)
    algorithm = linear_dqn(3, replay)

    def fleet(folder, vector_steps=8):
        made = HostedFleet(algorithm, lambda envs: Script(envs, 4, 5), 3, (0,), 1, frames=folder)
        saver = Saver(tmp_path / "checkpoints", made, Screen(1, 0, True))
        made.warm_up(vector_steps)
        return made, saver

    (memory, _), (disk, saver) = fleet(None), fleet(tmp_path)
    for each in (memory, disk):
        each.advance(70)  # past the end of the ring
        each.re_make(7)
    one, two = memory.snapshot(0), disk.snapshot(0)
    assert named_leaves(one).keys() == named_leaves(two).keys()
    for name, leaf in named_leaves(one).items():
        np.testing.assert_array_equal(leaf, named_leaves(two)[name], err_msg=name)
    assert int(one.replay.size) == 300
    assert saver.save(70)
    del one, two
    for each in fleet(None), fleet(tmp_path):  # resumed either way
        started, its_saver = each
        assert its_saver.go_on() == 70
        for name, leaf in named_leaves(started.snapshot(0)._replace(world=())).items():
            np.testing.assert_array_equal(leaf, named_leaves(disk.snapshot(0)._replace(world=()))[name], err_msg=name)
        started.advance(2)
        started.close()
    for each in (memory, disk):
        each.close()
    assert not list(tmp_path.glob(".frames*"))


def test_a_program_that_reads_from_the_disk_makes_no_copy_of_it(tmp_path):
    replay = frame_ring(world(4), 307, 8, GAMMA, 3)
    algorithm = linear_dqn(3, replay)
    turn = Cycle(3, 6, 2, 2, 16)
    run = programs(algorithm, world(4), turn, False, "cpu", outside=True)
    key = root(0)
    state = run.start(key)._replace(world=(), key=())
    column = jnp.zeros(replay.bulk.shape, replay.bulk.dtype)
    for program, more in ((run.regress_once, ()), (run.regress_all, (np.int32(2),))):
        text = program.lower(state, column, key, *more).compile().as_text()
        assert f"[{307}," in text
        assert not re.findall(r"= \S*\[307[^=]*? copy(?:-start|-done)?\(.*", text)


def test_priorities_over_frames_copy_neither_rows_nor_sums():
    replay = prioritised(frame_ring(world(4), 40_007, 8, GAMMA, 3), 0.5, (0.4, 1.0), 100, 3)
    run = programs(linear_dqn(3, replay), world(4), Cycle(3, 6, 2, 2, 16), False, "cpu")
    key, state = root(0), run.start(root(0))._replace(world=(), key=())
    rows = jax.tree.map(lambda column: np.zeros((8, *column.shape[1:]), column.dtype), state.replay.memory.data)
    remember = run.remember.lower(state, Framed(rows, np.int32(6)), np.int32(6))
    for lowered in (remember, run.regress_all.lower(state, (), key, np.int32(2))):
        text = lowered.compile().as_text()
        assert "[40007," in text
        assert "[313," in text  # rows of sums
        assert not re.findall(r"= \S*\[(?:40007|313)[^=]*? copy(?:-start|-done)?\(.*", text)


def test_a_disk_without_room_is_refused_before_anything_runs(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Refusal, match=r"no room for 1,200 bytes of frames .* write a smaller --replay"):
        Mapped(tmp_path, (300, 2, 2, 1), "uint8").begin()
    assert not list(tmp_path.iterdir())


def test_a_row_takes_a_frame_and_little_more():
    atari = EnvSpec("ale:Pong", (84, 84, 4), "uint8", 6, engine="hosted", stack=4)
    assert bytes_per_frame(atari) == 84 * 84 + 22
    state = jax.eval_shape(
        lambda: frame_ring(atari, 1000, 32).init(
            Timestep(None, jax.ShapeDtypeStruct((), jnp.int32), None, None, None, None), Cycle(1, 4, 1, 4, 4)
        )
    )
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state.data, state.ahead)))
    assert held == 1000 * bytes_per_frame(atari)


def test_a_memory_too_small_for_its_stacks_is_refused():
    replay = frame_ring(world(4), 60, 8)
    with pytest.raises(Refusal, match=r"holds 60 frames .* write --replay \d+"):
        replay.init(None, Cycle(8, 8, 1, 1, 1))


def test_the_framer_hands_on_by_the_number_of_steps():
    framer = Framer(FrameRow, Framed, world(4))
    obs = np.arange(2 * 16, dtype=np.uint8).reshape(2, 2, 2, 4)
    framer.start(obs)
    step = Timestep(obs, np.int32([1, 2]), np.zeros(2, "f4"), np.ones(2, "f4"), obs + 1, np.array([False, True]))
    framer.add(step, np.arange(2), obs + 100, np.array([False, True]))
    rows, count = framer.take(2)
    assert count == 10  # two stacks of four, then the steps; the new stack of the second waits
    assert rows.step.tolist() == [False] * 8 + [True] * 2 + [False] * 6
    assert rows.behind[:10].tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 5, 2]
    np.testing.assert_array_equal(rows.frame[3, ..., 0], obs[0, ..., 3])
    np.testing.assert_array_equal(rows.frame[9, ..., 0], obs[1, ..., 3] + 1)
    framer.add(step, np.arange(2), obs, np.zeros(2, bool))
    rows, count = framer.take(2)
    assert count == 6
    assert rows.behind[:6].tolist() == [0, 1, 1, 1, 6, 2]


def test_what_a_replay_takes_is_told_and_refused_where_there_is_no_room():
    atari = EnvSpec("ale:Pong", (84, 84, 4), "uint8", 6, engine="hosted", stack=4)
    million = Config("ale:Pong", replay=1_000_000)
    assert replay_bytes(atari, million) == 1_000_000 * (7056 + 22)
    assert room_for(atari, million, 1, 20 * 10**9) == "replay 7.08 GB (1,000,000 frames), 20 GB of memory free"
    with pytest.raises(Refusal, match=r"3 x 7.08 GB .1,000,000 frames., and 20 GB .* --replay 890000 or fewer"):
        room_for(atari, million, 3, 20 * 10**9)
    assert room_for(atari, million, 1, 10**9, on_disk=True).startswith("replay 22 MB (1,000,000 frames, their images")
    cartpole = resolve("CartPole-v1")
    assert bytes_per_transition(cartpole) == 2 * 4 * 4 + 4 + 4 + 4 + 1
    assert room_for(cartpole, Config("CartPole-v1"), 1, None) == "replay 450 kB (10,000 transitions)"
    assert replay_bytes(cartpole, Config("CartPole-v1", replay=0)) == 0


def test_what_a_run_takes_of_the_disk_is_told_and_refused_where_there_is_no_room():
    atari = EnvSpec("ale:Pong", (84, 84, 4), "uint8", 6, engine="hosted", stack=4)
    million, free = Config("ale:Pong", replay=1_000_000), 40 * 10**9
    # Three checkpoints at once share the blocks that have not changed: twice 200,000 new frames beside a million.
    assert "checkpoints up to 9.91 GB, 40 GB free" in room_on_disk(atari, million, 1, free, 3, 200_000, "runs/a", False)
    told = "on the disk images 7.06 GB, checkpoints up to 21.2 GB, 40 GB free"
    assert room_on_disk(atari, million, 1, free, 3, 10**7, "runs/a", True) == told
    with pytest.raises(
        Refusal, match=r"take 7.06 GB of the disk, and .* 7.08 GB, and 10 GB are free at runs/a; .*670000"
    ):
        room_on_disk(atari, million, 1, 10**10, 3, 10**7, "runs/a", True)
    assert [parse_keep(keep).at_once(5) for keep in ("last:2", "last:9", "last:1,best:1", "last:1,every:2")] == [
        3,
        5,
        3,
        5,
    ]


@pytest.mark.parametrize(("env", "more", "says"), [
    ("CartPole-v1", {}, "observations that are no images"),
    ("ale:Pong", {"replay": 0, "batch": 4, "net": "nature"}, "no replay"),
])  # fmt: skip
def test_frames_on_the_disk_where_there_are_none_are_refused(env, more, says):
    with pytest.raises(Refusal, match=says):
        build(env, frames="disk", settings=more)
