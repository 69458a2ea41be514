"""The fused engine's tally: returns and lengths of the episodes that ended are what the environments gave."""

import jax
import jax.numpy as jnp
import numpy as np
from worlds import little_dqn, walk

from qtwin import rng
from qtwin.engine.fused import new_state
from qtwin.envs.base import Outcome
from qtwin.processes.collect import account, collect
from qtwin.rates import cycle_of
from qtwin.state import World, empty_tally


def test_three_environments_by_hand():
    """Episodes of 1 + 2 = 3, of 10 + 20 + 30 = 60 and of 100, then again 100; others are under way at the end."""
    rewards = [[1, 10, 100], [2, 20, 100], [4, 30, 500], [8, 40, 900]]
    ends = [[0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]
    world = World((), jnp.zeros(3), jnp.zeros(3), jnp.zeros(3, jnp.int32))
    tally = empty_tally()
    for reward, end in zip(rewards, ends, strict=True):
        outcome = Outcome(jnp.float32(reward), jnp.ones(3), jnp.zeros(3), jnp.array(end, bool))
        world, tally = account(world, tally, (), jnp.zeros(3), outcome)
    assert (int(tally.episodes), float(tally.returns), float(tally.lengths)) == (4, 3 + 60 + 100 + 100, 2 + 3 + 1 + 1)
    np.testing.assert_array_equal(world.returns, [4 + 8, 40, 500 + 900])
    np.testing.assert_array_equal(world.lengths, [2, 1, 2])


def test_several_environments_over_several_chunks():
    """A walk that ends at different times in each of five; counted again, in Python, from what is remembered."""
    envs, steps = 5, 11
    made = little_dqn()
    turn = cycle_of(made.rates, envs)
    made = made._replace(replay=made.replay._replace(add=lambda state, chunk: chunk))
    state = new_state(made, walk(), turn, rng.root(3))
    process = jax.jit(collect(made, walk(), envs, steps))
    episodes, under_way = [], [[] for _ in range(envs)]
    for _ in range(3):
        state = process(state._replace(replay=()))
        for rewards, lasts in zip(np.asarray(state.replay.reward), np.asarray(state.replay.last), strict=True):
            for env in range(envs):
                under_way[env].append(float(rewards[env]))
                if lasts[env]:
                    episodes.append(under_way[env])
                    under_way[env] = []
    assert len({len(episode) for episode in episodes}) > 2
    assert int(state.tally.episodes) == len(episodes)
    assert float(state.tally.returns) == sum(map(sum, episodes))
    assert float(state.tally.lengths) == sum(map(len, episodes))
    np.testing.assert_array_equal(state.world.returns, [sum(rewards) for rewards in under_way])
    np.testing.assert_array_equal(state.world.lengths, [len(rewards) for rewards in under_way])
