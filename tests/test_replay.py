"""The ring and the latest against slow oracles in numpy: every sampled transition, and how often each is sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.config.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay import remember
from qtwin.replay.latest import latest
from qtwin.replay.priority import prioritised
from qtwin.replay.ring import Linked, ring
from qtwin.types import Timestep

GAMMA = 0.9
KINDS = (
    ((2,), jnp.float32),
    ((), jnp.int32),
    ((), jnp.float32),
    ((), jnp.float32),
    ((2,), jnp.float32),
    ((), jnp.bool_),
)
EXAMPLE = Timestep(*(jax.ShapeDtypeStruct(shape, kind) for shape, kind in KINDS))


def cycle(envs, transitions, warmup=0):
    return Cycle(envs, transitions, 1, transitions // envs, -(-warmup // envs))


def streams(envs, length, seed):
    """N random streams [T, N] with terminations and truncations; an observation is (environment, how many-th step)."""
    random = np.random.default_rng(seed)
    time, number = np.meshgrid(np.arange(length), np.arange(envs), indexing="ij")
    obs = np.stack([number, time], axis=-1).astype(np.float32)
    ends = random.random((length, envs))
    action, reward = random.integers(0, 4, ends.shape), random.normal(size=ends.shape)
    discount = np.where(ends < 0.1, 0.0, 1.0)
    return Timestep(
        obs, action.astype(np.int32), reward.astype(np.float32), discount.astype(np.float32),
        obs + np.float32([0, 0.5]), ends < 0.2,
    )  # fmt: skip


def n_step(data, t, n, steps):
    """The transition that starts in environment n at time t, step after step, as the definition reads."""
    total, discount = 0.0, 1.0
    for k in range(steps):
        total += discount * data.reward[t + k, n]
        discount *= GAMMA * data.discount[t + k, n]
        if data.last[t + k, n] or k == steps - 1:
            return data.obs[t, n], data.action[t, n], total, discount, data.next_obs[t + k, n]


def held(envs, length, capacity, steps):
    """What a ring may sample: the last ``capacity`` steps in the order in which they came, complete ones only."""
    order = [(t, n) for t in range(length) for n in range(envs)][-capacity:]
    return order[: len(order) - (steps - 1) * envs]


CASES = [
    (envs, steps, capacity, chunk, False)
    for envs, kinds in ((1, ((16, 1), (23, 2))), (3, ((24, 2), (25, 1))), (8, ((64, 1), (50, 2))))
    for steps in (1, 3, 5)
    for capacity, chunk in kinds
] + [(3, 2, 24, 1, False), (1, 1, 300, 2, True), (3, 5, 25, 1, True), (8, 3, 300, 2, True)]


@pytest.mark.parametrize(("envs", "steps", "capacity", "chunk", "alike"), CASES)
def test_the_ring_samples_what_the_slow_construction_gives_and_uniformly(envs, steps, capacity, chunk, alike):
    """And so does a prioritised one whose alpha is 0."""
    capacity = max(capacity, steps * envs)
    replay = ring(capacity, min(capacity, 16), GAMMA, steps)
    replay = prioritised(replay, 0.0, span=steps) if alike else replay
    turn = cycle(envs, chunk * envs, warmup=steps * envs)
    draw = jax.jit(jax.vmap(replay.sample, in_axes=(None, 0, None)))
    add = jax.jit(replay.add)
    state = replay.init(EXAMPLE, turn)
    length = 3 * capacity // envs + 7 & ~1  # around the ring about three times
    data = streams(envs, length, seed=capacity + steps)
    # Looked at while it fills and long after it has wrapped around.
    looks = {2 * ((steps + 1) // 2) + 2, length // 2 & ~1, length}
    for t in range(0, length, chunk):
        state = add(state, jax.tree.map(lambda column: column[t : t + chunk], data))
        done = t + chunk
        if done in looks:
            check(draw(state, jax.random.split(jax.random.key(done), 200), 0), data, envs, done, capacity, steps)


def check(batch, data, envs, length, capacity, steps):
    flat = jax.tree.map(lambda column: np.asarray(column).reshape(-1, *column.shape[2:]), batch)
    where = held(envs, length, capacity, steps)
    rank = {place: i for i, place in enumerate(where)}
    expected = [n_step(data, t, n, steps) for t, n in where]
    columns = [np.array(column) for column in zip(*expected, strict=True)]
    drawn = np.array([rank[int(time), int(number)] for number, time in flat.obs])
    for name, came, should in zip(flat._fields, flat[:5], columns, strict=False):
        np.testing.assert_allclose(came, should[drawn], rtol=1e-5, atol=1e-6, err_msg=name)
    counts, mean = np.bincount(drawn, minlength=len(where)), len(drawn) / len(where)
    freedom = len(where) - 1
    # Wilson and Hilferty's approximation of the chi-square quantile at 0.9999.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.72 * np.sqrt(2 / (9 * freedom))) ** 3 if freedom else 0.0
    assert ((counts - mean) ** 2 / mean).sum() <= limit


@pytest.mark.parametrize("linked", [False, True], ids=["ring", "linked"])
def test_no_return_goes_on_where_the_environments_were_begun_anew(linked):
    """Cut after 11 vector steps of 20: the newest steps count as truncated, no reward is added across or twice."""
    envs, steps, capacity, broken, length = 3, 4, 60, 11, 20
    replay = ring(capacity, 16, GAMMA, steps)
    replay = replay.ragged() if linked else replay
    data = streams(envs, length, seed=5)
    state = replay.init(EXAMPLE, cycle(envs, envs, warmup=steps * envs))
    add = jax.jit(replay.add)
    for t in range(length):
        chunk = jax.tree.map(lambda column, t=t: column[t : t + 1], data)
        goes_on = ~data.last[t - 1] if t not in (0, broken) else np.zeros(envs, bool)
        chunk = Linked(chunk, np.where(goes_on, envs, 0).astype(np.int32)[None]) if linked else chunk
        state = add(replay.cut(state) if t == broken else state, chunk)
    ended = data.last.copy()
    ended[broken - 1] = True
    draw = jax.jit(jax.vmap(replay.sample, in_axes=(None, 0, None)))
    check(
        draw(state, jax.random.split(jax.random.key(0), 200), 0),
        data._replace(last=ended),
        envs,
        length,
        capacity,
        steps,
    )


@pytest.mark.parametrize("envs", [1, 4])
def test_the_ring_holds_what_flashbax_holds(envs):
    flashbax = pytest.importorskip("flashbax")
    capacity, length = 32, 50
    other = flashbax.make_item_buffer(capacity, 1, 32, add_sequences=True, add_batches=True)
    ours = ring(capacity, 32, GAMMA)
    data = streams(envs, length, seed=1)
    item = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), EXAMPLE)
    theirs, state = other.init(item), ours.init(EXAMPLE, cycle(envs, envs))
    add, add_theirs = jax.jit(ours.add), jax.jit(other.add)
    for t in range(length):
        state = add(state, jax.tree.map(lambda column: column[t : t + 1], data))
        # [B, T] there, one environment's single step after another
        theirs = add_theirs(theirs, jax.tree.map(lambda column: column[t][:, None], data))
    drawn = jax.jit(jax.vmap(ours.sample, in_axes=(None, 0, None)))(state, jax.random.split(jax.random.key(0), 64), 0)
    keys = jax.random.split(jax.random.key(1), 64)
    with jax.numpy_rank_promotion("allow"):  # flashbax relies on it
        expected = jax.jit(jax.vmap(other.sample, in_axes=(None, 0)))(theirs, keys).experience
    expected = jax.tree.map(lambda column: column.reshape(-1, *column.shape[2:]), expected)

    def rows(obs, action, reward, discount, next_obs):
        columns = [np.asarray(c).reshape(-1, *np.shape(obs)[1:]) if np.ndim(c) > 1 else np.asarray(c)[:, None] for c in
                   (obs, action, reward, discount, next_obs)]  # fmt: skip
        return {tuple(row) for row in np.round(np.concatenate(columns, axis=1), 4).tolist()}

    flat = jax.tree.map(lambda column: column.reshape(-1, *column.shape[2:]), drawn)
    theirs = rows(expected.obs, expected.action, expected.reward, GAMMA * expected.discount, expected.next_obs)
    assert rows(*flat[:5]) == theirs
    assert len(theirs) == capacity


def test_the_latest_gives_each_transition_of_the_cycle_once_in_its_order():
    replay = latest(4, GAMMA)
    data = streams(2, 6, seed=0)
    state = replay.init(EXAMPLE, cycle(2, 12))
    for t in range(3):  # a warm-up comes one vector step at a time
        state = replay.add(state, jax.tree.map(lambda column: column[t : t + 1], data))
    np.testing.assert_array_equal(state.data.obs[-6:], data.obs[:3].reshape(-1, 2))
    state = replay.add(state, data)
    batches = [replay.sample(state, jax.random.key(0), jnp.int32(step)) for step in range(3)]
    together = jax.tree.map(lambda *columns: np.concatenate(columns), *batches)
    np.testing.assert_array_equal(together.obs, data.obs.reshape(-1, 2))
    np.testing.assert_array_equal(together.next_obs, data.next_obs.reshape(-1, 2))
    np.testing.assert_allclose(together.discount, GAMMA * data.discount.reshape(-1))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ring(31, 32), "holds 31 transitions and a batch needs 32"),
        (lambda: ring(32, 32, n_step=0), "n of at least 1"),
        (lambda: ring(8, 4).init(EXAMPLE, cycle(3, 9)), "one cycle with 3 environments needs 9"),
        (lambda: ring(8, 4, n_step=3).init(EXAMPLE, cycle(3, 3)), "one cycle with 3 environments needs 9"),
        (lambda: ring(99, 4, n_step=3).init(EXAMPLE, cycle(3, 3)), "need 9 transitions before .* and 3"),
        (lambda: latest(0), "at least one transition"),
        (lambda: latest(5).init(EXAMPLE, cycle(2, 4)), "the 4 transitions of one cycle and a batch needs 5"),
    ],
)  # fmt: skip
def test_memories_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(Refusal, match=sentence):
        make()


def test_a_config_chooses_its_memory(tmp_path):
    env, c = EnvSpec("gym:X-v0", (2,), "float32", 4), Config("X-v0")
    assert remember(env, c).capacity == 10_000
    assert remember(env, Config("X-v0", replay=0, batch=1)).capacity == 0
    for wrong, sentence in (
        ({"replay": 0, "batch": 1, "n_step": 3}, "so returns have 1 step, not --n-step 3"),
        ({"batch": 0}, "write --data FILE"),
        ({"data": str(tmp_path / "none")}, "does not exist"),
    ):
        with pytest.raises(Refusal, match=sentence):
            remember(env, Config("X-v0", **wrong))
