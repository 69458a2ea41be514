"""Diagnostics of the twin: equal to numpy on arrays, over-estimation equal to what is known, alarms in words."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_train import train
from worlds import little_dqn, walk

from qtwin import diagnostics
from qtwin.agent import Agent
from qtwin.engine.fleet import FusedFleet
from qtwin.engine.fused import greedy_episodes
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec
from qtwin.foresight import Foresight, judged
from qtwin.lab.alarms import alarms
from qtwin.processes.target_specs import parse
from qtwin.run.diagnose import reading_marks
from qtwin.twin import Twin
from qtwin.types import Variables

RNG = np.random.default_rng(0)
FEATURES = np.maximum(RNG.normal(size=(64, 3)) @ RNG.normal(size=(3, 20)) + 0.01 * RNG.normal(size=(64, 20)), 0)
FEATURES[:, :4] *= 1e-3


def test_the_measures_equal_numpy():
    singular = np.linalg.svd(FEATURES, compute_uv=False)
    rank = next(k for k in range(1, 21) if singular[:k].sum() >= 0.99 * singular.sum())
    assert int(diagnostics.effective_rank(jnp.asarray(FEATURES))) == rank
    assert 3 < rank < 20
    score = np.abs(FEATURES).mean(axis=0)
    image = RNG.normal(size=(64, 5, 5, 6))
    image[..., 0] = 0.0
    share = ((score <= 0.1 * score.mean()).sum() + 1) / 26
    assert float(diagnostics.dormant_share((jnp.asarray(image), jnp.asarray(FEATURES)))) == pytest.approx(share)
    unit = FEATURES / np.maximum(np.linalg.norm(FEATURES, axis=1, keepdims=True), 1e-12)
    assert float(diagnostics.spread(jnp.asarray(FEATURES))) == pytest.approx(unit.std(axis=0).mean() * 20**0.5, 1e-4)
    q, other = RNG.normal(size=(2, 100, 3))
    churn = (q.argmax(axis=1) != other.argmax(axis=1)).mean()
    assert float(diagnostics.greedy_difference(jnp.asarray(q), jnp.asarray(other))) == pytest.approx(churn)


def test_spread_and_rank_tell_a_collapse():
    flat, round_ = jnp.ones((50, 8)), jnp.asarray(RNG.normal(size=(5000, 8)))
    assert float(diagnostics.spread(flat)) < 1e-6
    assert int(diagnostics.effective_rank(flat)) == 1
    assert float(diagnostics.spread(round_)) == pytest.approx(1.0, abs=0.02)
    assert int(diagnostics.effective_rank(round_)) == 8


def test_distances_by_layer():
    def network(first, last):
        return Variables({"hidden": {0: {"kernel": jnp.float32(first), "bias": jnp.float32(4.0)}}, "head": last}, {})

    pair = Twin(network(3.0, jnp.float32(2.0)), network(0.0, jnp.float32(3.0)))
    found = diagnostics.layer_distances(pair)
    assert {name: float(d) for name, d in found.items()} == {"hidden.0": pytest.approx(0.6), "head": 0.5}
    assert diagnostics.layer_distances(Twin(network(1.0, jnp.float32(1.0)), None)) == {}


# Over-estimation

SPEC = EnvSpec("test:lottery", (1,), "float32", 2)


def lottery(chance: float, limit: int) -> JaxEnv:
    """Pays 1 at every step, ends with the same chance at each, and is cut after ``limit`` steps."""

    def reset(key):
        return jnp.int32(0), jnp.ones(1)

    def step(key, time, action):
        ended = jax.random.bernoulli(key, chance)
        last = ended | (time + 1 >= limit)
        outcome = Outcome(jnp.float32(1.0), 1.0 - ended.astype(jnp.float32), jnp.ones(1), last)
        return jnp.where(last, 0, time + 1), jnp.ones(1), outcome

    return JaxEnv(SPEC, reset, step)


@pytest.mark.parametrize(
    ("chance", "limit", "gamma", "episodes"),
    [(0.1, 1000, 0.9, 60_000), (0.0, 400, 0.97, 2)],  # ends by itself; and is cut by its time limit
)
def test_over_estimation_equals_what_is_known(chance, limit, gamma, episodes):
    """V = 1 / (1 - gamma (1 - p)) in every state, and the agent says 30.

    One episode's error is half of V at gamma 0.9 and p = 0.1, so that 1 % is five standard errors of 60,000. Where the
    episode is cut, 99 % of the weight that follows a state is in its 152 next rewards: 0.97^152 < 0.01 < 0.97^151.
    """

    def act(variables, obs, epsilon, key):
        return jnp.zeros(obs.shape[0], jnp.int32)

    agent = Agent(None, act, None, lambda variables, obs: jnp.full((obs.shape[0], 2), 30.0))
    foresight = Foresight(gamma, limit)
    play = jax.jit(lambda key: greedy_episodes(agent, lottery(chance, limit), None, episodes, key, foresight))
    _, ledger = play(jax.random.key(0))
    found, value = judged(jax.tree.map(np.asarray, ledger)), 1 / (1 - gamma * (1 - chance))
    assert found.said == pytest.approx(30.0, rel=1e-5)
    assert found.said - found.came == pytest.approx(30.0 - value, abs=0.01 * value)
    assert (found.largest_q, found.largest_reward) == (30.0, 1.0)
    assert found.states == (episodes * (limit - 151) if chance == 0 else pytest.approx(10 * episodes, rel=0.05))


def test_a_ledger_by_hand():
    """Two episodes side by side, gamma 0.5, a limit of 10 of which the first 3 steps count where one is cut.

    Rewards 4, 2, 8 and a terminal end: returns 4 + 1 + 2 = 7, 2 + 4 = 6, 8. The other is cut at its third step, too
    early to count by more than its first states; it has a row that is no step.
    """
    foresight = Foresight(0.5, 10)
    ledger, no, yes = foresight.begin(2), np.array([False, False]), np.array([True, True])
    for reward, last, discount, counts in [
        (4.0, no, 1.0, yes), (2.0, no, 1.0, np.array([True, False])), (8.0, np.array([True, False]), 0.0, yes),
    ]:  # fmt: skip
        q, both = np.array([5.0, 1.0]), np.array([reward, reward])
        ledger = foresight.step(ledger, q, both, last, np.array([discount, 1.0]), counts)
    assert (ledger.states.tolist(), ledger.said.tolist(), ledger.came.tolist()) == ([3, 0], [15, 0], [21, 0])
    assert ledger.time.tolist() == [0, 2]
    assert judged(ledger).came == 7.0
    assert judged(foresight.begin(2)).said is None


# In words, and in a run


def test_alarms_in_plain_words():
    point = {
        "churn": [0.1, 0.31], "largest_q": [412.0, 3.0], "dormant": [0.6, 0.1], "spread": [0.5, 0.01],
        "effective_rank": [10, 10], "rank_limit": 84, "predicted_return": [30.0, None], "true_return": [10.0, None],
    }  # fmt: skip
    found = alarms(point, 100.0, never_moves=True)
    assert found["churn"] == "the greedy action of 31 % of the states changes per gradient step".replace(" %", "%")
    assert found["divergence"] == "largest |Q| 412 exceeds r_max/(1-gamma) = 100: soft divergence"
    assert "collapsed" in found["collapse"]
    assert "60%" in found["dormant"]
    assert "3.0 times" in found["over-estimation"]
    assert "never moves: nothing is learned beyond the first regression" in found["frozen"]
    calm = {"churn": [0.1], "largest_q": [9.0], "dormant": [0.1], "spread": [0.5], "effective_rank": [40]}
    assert alarms(calm | {"rank_limit": 84}, 10.0, never_moves=False) == {}


def test_age_of_what_a_target_knows():
    assert parse("tied").age_at(100, 0) == 0.0
    assert parse("frozen").age_at(100, 100) == 100.0
    assert parse("hard:30").age_at(100, 10) == 10.0
    assert parse("averaged:3:30").age_at(100, 10) == 40.0
    age = 0.0
    for step in range(1, 101):
        age = age + 1 if step % 2 else 0.8 * (age + 1)
    assert parse("soft:0.2/2").age_at(100, 0) == pytest.approx(age)
    assert parse("cosine:0.1/100").age_at(50, 0) is None


def test_readings_fall_into_every_part_of_an_interval():
    logs = frozenset(range(100, 2001, 100))
    marks = sorted(reading_marks(logs))
    assert all(before < mark <= before + 100 for before, mark in zip(range(0, 2000, 100), marks, strict=True))
    assert len({mark % 100 // 10 for mark in marks}) > 7


def test_reading_changes_nothing():
    """The same state, to the byte, after a reading as before it, and what comes of it likewise."""
    algorithm = little_dqn("soft:0.1")
    algorithm = algorithm._replace(agent=algorithm.agent._replace(values=lambda v, obs: obs @ v.params["one"][:, :2]))
    fleet = FusedFleet(algorithm, walk(), 4, (3,))
    fleet.warm_up(8)
    fleet.advance(20)
    before = jax.tree.leaves(fleet.snapshot(0))
    fleet.take_probe()
    found = fleet.read()[0]
    for one, other in zip(before, jax.tree.leaves(fleet.snapshot(0)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert 0 < found.value_gap < 1
    assert 0 < found.target_change < 1
    assert found.effective_rank is None, "no hidden layers were told"
    assert set(found.distances) == {"one", "two"}


def test_a_measured_run_writes_what_it_found(tmp_path):
    assert train(tmp_path, "--target", "soft:0.1", "--diagnose", "1")[0] == 0
    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in ("value_gap", "churn", "target_change", "effective_rank", "over_estimation", "distance/head"):
        assert len(points[-1][name]) == 1, name
    assert points[-1]["rank_limit"] == 16
    assert points[-1]["target_age"] == pytest.approx(9, abs=0.2)
    assert isinstance(points[-1]["alarms"], dict)
    looks = [json.loads(line) for line in (tmp_path / "twin.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(looks) > 30
    assert len(looks[0]["distance"]) == 1
