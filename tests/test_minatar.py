"""MinAtar's games as MinAtar has them: against episodes that it has played itself; and its sticky actions."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.envs import gymnax_envs
from qtwin.envs.catalog import resolve
from qtwin.envs.gymnax_specs import MINATAR_STICKY, is_minatar
from qtwin.envs.make import jax_env

PLAYED = dict(np.load(Path(__file__).parent / "fixtures" / "minatar.npz"))  # made by fixtures/make_minatar.py
FIRST = {"breakout": 2, "space_invaders": 1}  # how many ways an episode begins


def episodes_of(game):
    """What MinAtar played: actions [E, T], obs [E, T + 1, ...], reward [E, T] and over [E, T]."""
    shape = PLAYED[f"{game}_shape"]
    obs = np.unpackbits(PLAYED[f"{game}_obs"], count=int(shape.prod())).reshape(shape).astype(bool)
    return (PLAYED[f"{game}_actions"].astype(np.int32), obs, PLAYED[f"{game}_reward"], PLAYED[f"{game}_over"])


def without_repeats(monkeypatch, name):
    monkeypatch.setattr(gymnax_envs, "MINATAR_STICKY", 0.0)
    return jax_env(resolve(name))


@pytest.mark.parametrize(("game", "name"), [("breakout", "Breakout-v0"), ("space_invaders", "SpaceInvaders-v0")])
def test_the_game_is_minatars(game, name, monkeypatch):
    """The same actions bring the same observations, rewards and ends, a new wall of bricks among them."""
    env = without_repeats(monkeypatch, f"minatar:{name}")
    starts = [env.reset(jax.random.key(seed)) for seed in range(20)]

    def step(state, action):
        state, _, outcome = env.step(jax.random.key(0), state, action)
        return state, outcome

    play = jax.jit(lambda state, actions: jax.lax.scan(step, state, actions)[1])
    begun = set()
    for actions, obs, reward, over in zip(*episodes_of(game), strict=True):
        (state, first), *_ = [start for start in starts if np.array_equal(start[1], obs[0])]
        begun.add(np.asarray(first).tobytes())
        outcome = jax.device_get(play(state, actions))
        length = int(over.argmax()) + 1 if over.any() else len(actions)
        np.testing.assert_array_equal(outcome.next_obs[:length], obs[1 : length + 1])
        np.testing.assert_array_equal(outcome.reward[:length], reward[:length])
        np.testing.assert_array_equal(outcome.discount[:length] == 0.0, over[:length])
    assert len(begun) == FIRST[game]


def test_freeway_is_minatars(monkeypatch):
    """As above; the cars, whose speeds MinAtar drew, are put in at the start and whenever the road was crossed."""
    env = without_repeats(monkeypatch, "minatar:Freeway-v0")

    def step(carry, given):
        (inner, last), crossed = carry
        action, cars = given
        inner = inner.replace(cars=jnp.where(crossed, cars, inner.cars))
        state, _, outcome = env.step(jax.random.key(0), (inner, last), action)
        return (state, outcome.reward > 0), outcome

    play = jax.jit(lambda carry, given: jax.lax.scan(step, carry, given)[1])
    state, _ = env.reset(jax.random.key(0))
    for cars, actions, obs, reward, over in zip(PLAYED["freeway_inside"], *episodes_of("freeway"), strict=True):
        outcome = jax.device_get(play((state, jnp.bool_(True)), (actions, cars[:-1])))
        assert not over.any()
        assert reward.sum() > 2
        np.testing.assert_array_equal(outcome.reward, reward)
        # On the step that crosses the road the speeds are new and drawn, here others than there.
        shown = np.where(reward[:, None, None, None] > 0, np.arange(7) < 2, True)
        np.testing.assert_array_equal(outcome.next_obs & shown, obs[1:] & shown)


def test_asterix_is_minatars(monkeypatch):
    """As above; what appeared there, and in which row, is put in when it is due here."""
    monkeypatch.setattr(gymnax_envs, "PREPARED", {})
    env = without_repeats(monkeypatch, "minatar:Asterix-v0")

    def step(state, given):
        inner, last = state
        action, there = given
        due = inner.spawn_timer == 0
        entities = jnp.where(due, there, inner.entities)
        timer = jnp.where(due, inner.spawn_speed, inner.spawn_timer)
        state, _, outcome = env.step(
            jax.random.key(0), (inner.replace(entities=entities, spawn_timer=timer), last), action
        )
        return state, outcome

    play = jax.jit(lambda state, given: jax.lax.scan(step, state, given)[1])
    state, first = env.reset(jax.random.key(0))
    for there, actions, obs, reward, over in zip(PLAYED["asterix_inside"], *episodes_of("asterix"), strict=True):
        np.testing.assert_array_equal(first, obs[0])
        outcome = jax.device_get(play(state, (actions, there[:-1])))
        length = int(over.argmax()) + 1 if over.any() else len(actions)
        assert length > 200
        np.testing.assert_array_equal(outcome.next_obs[:length], obs[1 : length + 1])
        np.testing.assert_array_equal(outcome.reward[:length], reward[:length])
        np.testing.assert_array_equal(outcome.discount[:length] == 0.0, over[:length])


def test_what_appears_in_asterix_takes_a_free_row_and_no_other():
    """A third of it is treasure, it comes from either side, and where no row is free nothing happens."""
    state, _ = jax_env(resolve("minatar:Asterix-v0")).reset(jax.random.key(0))
    taken = jnp.array([3, 4, 1, 0, 1])
    for free in ((), (2,), (0, 5, 7)):
        entities = jnp.where(jnp.isin(jnp.arange(8), jnp.array(free, int))[:, None], 0, taken[None])
        crowded = state[0].replace(entities=entities, spawn_timer=jnp.int32(0), spawn_speed=jnp.int32(6))
        after = jax.vmap(gymnax_envs.spawned, in_axes=(0, None))(jax.random.split(jax.random.key(1), 3_000), crowded)
        assert (after.spawn_timer == 6).all()
        new = (np.asarray(after.entities) != np.asarray(entities)).any(axis=-1)  # [3000, 8]
        assert (new.sum(axis=1) == bool(free)).all()
        assert set(np.flatnonzero(new.any(axis=0))) == set(free)
        if free:
            counts = new.sum(axis=0)[list(free)] / 3_000
            np.testing.assert_allclose(counts, 1 / len(free), atol=0.04)
            column, row, rightwards, gold, there = np.asarray(after.entities)[new].T
            assert ((column == 0) == rightwards).all()
            assert ((column == 9) != rightwards).all()
            np.testing.assert_array_equal(row, np.nonzero(new)[1] + 1)
            assert there.all()
            assert abs(gold.mean() - 1 / 3) < 0.04
            assert abs(rightwards.mean() - 1 / 2) < 0.04
    early = state[0].replace(spawn_timer=jnp.int32(1))
    jax.tree.map(np.testing.assert_array_equal, gymnax_envs.spawned(jax.random.key(0), early), early)


def test_one_action_in_ten_is_the_last_one_again():
    """Left and right are asked for in turn; what is taken instead is the last action taken, itself perhaps a repeat."""
    env = jax_env(resolve("minatar:SpaceInvaders-v0"))
    state, _ = env.reset(jax.random.key(0))
    assert int(state[1]) == 0
    keys = jax.random.split(jax.random.key(1), 4_000)
    wanted = jnp.where(jnp.arange(4_000) % 2 == 0, 1, 3)

    def step(last, given):
        key, action = given
        (_, taken), *_ = env.step(key, (state[0], last), action)
        return taken, taken

    _, taken = jax.jit(lambda: jax.lax.scan(step, jnp.int32(5), (keys, wanted)))()
    taken, wanted = np.asarray(taken), np.asarray(wanted)
    before = np.concatenate([[5], taken[:-1]])
    assert ((taken == wanted) | (taken == before)).all()
    # Where the last action was the wanted one, chance made no difference; elsewhere one in ten is the last one.
    told = wanted != before
    repeated = (taken == before)[told]
    spread = np.sqrt(MINATAR_STICKY * (1 - MINATAR_STICKY) / told.sum())
    assert abs(repeated.mean() - MINATAR_STICKY) < 4 * spread


def test_what_is_taken_is_what_the_game_sees():
    """Breakout's paddle, one vector step at a time: it moves by the action taken, not by the one asked for."""
    env = jax_env(resolve("minatar:Breakout-v0"))
    step = jax.jit(env.step)
    state, obs = env.reset(jax.random.key(0))
    repeats = 0
    for t in range(60):
        here = int(np.argmax(np.asarray(obs)[9, :, 0]))
        asked = 1 if t % 2 else 3
        state, obs, outcome = step(jax.random.key(t), state, jnp.int32(asked))
        taken = int(state[1])
        repeats += taken != asked
        there = int(np.argmax(np.asarray(outcome.next_obs)[9, :, 0]))
        assert there == min(9, max(0, here + {0: 0, 1: -1, 3: 1}[taken]))
    assert repeats > 0


def test_the_last_action_outlives_its_episode():
    """MinAtar does not forget it when an episode ends."""
    env = jax_env(resolve("minatar:Breakout-v0"))
    step = jax.jit(env.step)
    state, _ = env.reset(jax.random.key(0))
    for t in range(200):
        state, _, outcome = step(jax.random.key(t), state, jnp.int32(1))
        if outcome.last:
            assert int(state[1]) == 1
            return
    raise AssertionError("the ball should have been missed")


@pytest.mark.parametrize("name", ["Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"])
def test_both_are_known_as_minatars(name):
    gymnax, own = resolve(f"minatar:{name}"), resolve(f"minatar:{name}-v0")
    assert is_minatar(gymnax)
    assert is_minatar(own)
    assert not is_minatar(resolve("Catch"))
    assert own.num_actions == 6
    assert (own.obs_shape, own.obs_dtype) == (gymnax.obs_shape, gymnax.obs_dtype)
    assert own.time_limit == (2_500 if name == "Freeway" else 27_000)


def test_its_time_limit_is_its_own():
    """gymnax ends the game after 1,000 steps at the latest, unless it is told another limit."""
    state, _ = jax_env(resolve("minatar:SpaceInvaders-v0")).reset(jax.random.key(0))
    late = (state[0].replace(time=jnp.int32(1_000)), state[1])
    _, _, outcome = jax.jit(jax_env(resolve("minatar:SpaceInvaders-v0")).step)(jax.random.key(0), late, jnp.int32(0))
    assert not outcome.last
    late = (state[0].replace(time=jnp.int32(26_999)), state[1])
    _, _, outcome = jax.jit(jax_env(resolve("minatar:SpaceInvaders-v0")).step)(jax.random.key(0), late, jnp.int32(0))
    assert outcome.last
    assert outcome.discount == 1.0
