"""The frame replay beside a slow construction: every sampled stack, return and discount, whatever the stream."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.config import Config
from qtwin.envs.base import Outcome
from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.processes.framing import Framer
from qtwin.processes.gather import Episodes, Gatherer
from qtwin.rates import Cycle
from qtwin.replay.frames import Framed, FrameRow, frame_ring
from qtwin.replay.size import bytes_per_frame, bytes_per_transition, replay_bytes, room_for
from qtwin.rng import root
from qtwin.types import Timestep

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


def play(envs, stack, n_step, capacity, vector_steps, seed, ragged=False, chunk=2, batch=250):
    script = Script(envs, stack, seed, ragged)
    replay = frame_ring(script.spec, capacity, batch, GAMMA, n_step)
    keys = lambda key, first: (np.zeros((256, 1)), ())  # noqa: E731
    gatherer = Gatherer(script, keys, False, replay.framer())
    from qtwin.engine.hosted import Outside

    state = replay.init(
        Timestep(None, jax.ShapeDtypeStruct((), jnp.int32), None, None, None, None),
        Cycle(envs, chunk * envs, 1, chunk, 4),
    )
    place = gatherer.start(0, Outside(np.int32(0), ()), None)
    add, sample = jax.jit(replay.add, donate_argnums=0), jax.jit(replay.sample)
    act = lambda variables, obs, key, at: script.random.integers(0, 5, envs)  # noqa: E731
    for t in range(vector_steps // chunk):
        rows, place = gatherer.gather(act, None, place, t * chunk * envs, chunk, Episodes())
        state = add(state, rows)
    return script, state, sample


CASES = [(1, 4, 1, False), (3, 4, 3, False), (8, 4, 1, False), (3, 4, 3, True), (8, 1, 3, True)]


@pytest.mark.parametrize(("envs", "stack", "n_step", "ragged"), CASES)
def test_every_sample_is_what_a_slow_construction_gives(envs, stack, n_step, ragged):
    capacity = 311 + 40 * envs  # no multiple of anything; the stream wraps around it several times
    script, state, sample = play(envs, stack, n_step, capacity, 6 * capacity // envs, 7 + envs, ragged)
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
    cartpole = resolve("CartPole-v1")
    assert bytes_per_transition(cartpole) == 2 * 4 * 4 + 4 + 4 + 4 + 1
    assert room_for(cartpole, Config("CartPole-v1"), 1, None) == "replay 450 kB (10,000 transitions)"
    assert replay_bytes(cartpole, Config("CartPole-v1", replay=0)) == 0
