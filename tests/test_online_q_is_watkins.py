"""Law 3: at rates (1, 1, 1) with a table, the engine is Watkins' Q-learning, step by step. Law 5: so are its twins."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.agents.catalog import algorithm
from qtwin.config.config import Config
from qtwin.engine.fused import fused
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec

STATES, ACTIONS, LIMIT = 7, 3, 12  # the last state is terminal
SPEC = EnvSpec("test:random-mdp", (), "int32", ACTIONS, num_states=STATES, time_limit=LIMIT)
STEPS, ALPHA, GAMMA = 600, 0.3, 0.95
ONLINE = Config(
    "random-mdp", agent="online_q", net="table", discount=GAMMA, loss="half-mse", optimiser="sgd",
    learning_rate=ALPHA, collect=1, regress=1, target="tied", warmup=0, replay=0, batch=1, explore="0.5", envs=1,
    steps=STEPS,
)  # fmt: skip


def random_mdp():
    """A stochastic world: the odds of where an action leads, and what it pays, are drawn once and for all."""
    random = np.random.default_rng(0)
    then = jnp.asarray(random.dirichlet(np.full(STATES, 0.5), (STATES, ACTIONS)), jnp.float32)
    reward = jnp.asarray(random.normal(size=(STATES, ACTIONS)), jnp.float32)

    def step(key, state, action):
        at, time = state
        draw, begin = jax.random.split(key)
        reached = jax.random.choice(draw, STATES, p=then[at, action]).astype(jnp.int32)
        terminal = reached == STATES - 1
        last = terminal | (time + 1 >= LIMIT)
        start = jax.random.randint(begin, (), 0, STATES - 1)
        after = jnp.where(last, start, reached)
        outcome = Outcome(reward[at, action], 1.0 - terminal, reached, last)
        return (after, jnp.where(last, 0, time + 1)), after, outcome

    return JaxEnv(SPEC, lambda key: ((jnp.int32(0), jnp.int32(0)), jnp.int32(0)), step)


def watkins(transitions):
    """Q(s, a) += alpha (r + gamma max_a' Q(s', a') - Q(s, a)), one transition after another."""
    q = np.zeros((STATES, ACTIONS), np.float64)
    tables = []
    for obs, action, reward, discount, next_obs in transitions:
        target = reward + GAMMA * discount * q[next_obs].max()
        q[obs, action] += ALPHA * (target - q[obs, action])
        tables.append(q.copy())
    return np.array(tables)


def run(c):
    """One cycle at a time: the transition that was learned from and both tables after it."""
    program = fused(algorithm(SPEC, c), random_mdp(), c.envs)
    state = program.init([0])
    transitions, online, target = [], [], []
    for _ in range(STEPS):
        state = program.advance(state, 1)
        row = jax.tree.map(lambda leaf: np.asarray(leaf)[0, 0], state.replay.data)
        transitions.append((int(row.obs), int(row.action), float(row.reward), float(row.discount), int(row.next_obs)))
        online.append(np.asarray(state.twin.online.params["table"])[0])
        target.append(np.asarray(state.twin.target.params["table"])[0])
    assert np.all(np.asarray(state.clock.gradient_steps) == STEPS)
    assert np.all(np.asarray(state.clock.transitions) == STEPS)
    return transitions, np.array(online), np.array(target)


@pytest.fixture(scope="module")
def tied():
    return run(ONLINE)


def test_the_engine_is_watkins_loop_at_every_step(tied):
    transitions, online, _ = tied
    terminal = [discount == 0 for *_, discount, _ in transitions]
    assert 20 < sum(terminal) < STEPS / 2
    assert len({(s, a, after) for s, a, _, _, after in transitions}) > 2 * len({(s, a) for s, a, *_ in transitions})
    assert (online[-1, : STATES - 1] != 0).all()  # everything was tried
    np.testing.assert_allclose(online, watkins(transitions), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["hard:1", "soft:1"])
def test_tied_is_hard_1_is_soft_1_bit_for_bit(tied, target):
    transitions, online, target_variables = run(dataclasses.replace(ONLINE, target=target))
    assert transitions == tied[0]
    np.testing.assert_array_equal(online, tied[1])
    np.testing.assert_array_equal(target_variables, tied[2])
    np.testing.assert_array_equal(target_variables, online)
