"""Law 4: fitted Q-iteration with a table on a finite MDP is value iteration, sweep by sweep."""

import gymnasium
import numpy as np
import pytest

from qtwin.agents.catalog import algorithm
from qtwin.config.config import Config
from qtwin.engine.fused import fused
from qtwin.envs.gymnax_envs import gymnax_env
from qtwin.envs.spec import EnvSpec
from qtwin.run.record import enumerate_outcomes

SPEC = EnvSpec("gymnax:FrozenLake-misc", (), "int32", 4, num_states=16)
GAMMA = 0.99
PAIRS = 11 * 4  # states that are neither hole nor goal, and actions


def model():
    """Gymnasium's own: P [S, A, S'], R [S, A]; nothing follows a terminal state."""
    P, R = np.zeros((16, 4, 16)), np.zeros((16, 4))
    table = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True).unwrapped.P
    terminal = {then for a in table.values() for row in a.values() for _, then, _, done in row if done}
    for s in set(table) - terminal:
        for a, outcomes in table[s].items():
            for probability, then, reward, done in outcomes:
                P[s, a, then] += 0.0 if done else probability
                R[s, a] += probability * reward
    return P, R


def value_iteration(sweeps):
    P, R = model()
    q = np.zeros((16, 4))
    for _ in range(sweeps):
        q = R + GAMMA * P @ q.max(axis=1)
        yield q


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return enumerate_outcomes(SPEC, tmp_path_factory.mktemp("data") / "lake.safetensors")[0]


def offline(lake, steps_per_sweep, target=None):
    # The whole data set in each batch, and a learning rate that undoes the mean over the pairs of state and action: one
    # gradient step of half the squared error is then the exact projection onto the table.
    c = Config(
        "FrozenLake-v1", agent="fqi", net="table", discount=GAMMA, loss="half-mse", optimiser="sgd",
        learning_rate=PAIRS, collect=0, regress=steps_per_sweep, target=target or f"hard:{steps_per_sweep}", batch=0,
        explore="0", envs=1, data=str(lake),
    )  # fmt: skip
    program = fused(algorithm(SPEC, c), gymnax_env(SPEC, "FrozenLake-misc"), c.envs)
    assert program.turn.transitions == 0
    return program, program.init([0])


def table(state):
    return np.asarray(state.twin.online.params["table"])[0]


@pytest.mark.parametrize("steps_per_sweep", [1, 5])
def test_every_sweep_is_a_sweep_of_value_iteration(lake, steps_per_sweep):
    program, state = offline(lake, steps_per_sweep)
    for sweep, q in enumerate(value_iteration(60), start=1):
        state = program.advance(state, 1)
        np.testing.assert_allclose(table(state), q, rtol=1e-5, atol=1e-6, err_msg=f"sweep {sweep}")
        assert np.all(np.asarray(state.clock.target_updates) == sweep)


def test_the_optimal_values_of_slippery_frozen_lake_are_reached(lake):
    *_, optimal = value_iteration(5000)
    np.testing.assert_allclose(optimal[0].max(), 0.5420, atol=1e-4)  # as tabulated for gamma 0.99
    program, state = offline(lake, 1)
    state = program.advance(state, 1500)
    np.testing.assert_allclose(table(state), optimal, atol=1e-4)


def test_sweeps_that_end_when_converged_reach_them_too(lake):
    *_, optimal = value_iteration(5000)
    program, state = offline(lake, 1000, target="until:0.5/1000")
    state = program.advance(state, 300)
    sweeps = int(np.asarray(state.clock.target_updates).ravel()[0])
    assert 1000 < sweeps < 300_000 / 100  # a window of 100 gradient steps at least, and far fewer than 1000
    np.testing.assert_allclose(table(state), optimal, atol=1e-4)
