"""Diagnostics of the twin: equal to numpy on arrays, over-estimation equal to what is known, alarms in words."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_train import train
from worlds import little_dqn, walk

from qtwin.algorithm import Agent
from qtwin.engine.evaluation import greedy_episodes
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.spec import EnvSpec
from qtwin.measure import diagnostics
from qtwin.measure.alarms import alarms
from qtwin.measure.overestimation import Overestimation, judged
from qtwin.run.diagnose import reading_marks
from qtwin.state import TrainState
from qtwin.target_update.specs import parse
from qtwin.twin import Twin
from qtwin.types import Aux, Transition, Variables

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


def test_a_unit_is_dormant_at_a_tenth_of_its_layers_mean_and_not_above():
    """Units with mean |answer| 3/32, 7/64, 115/64 and 2, of which the mean is 1: below 0.1 is the first alone."""
    score = jnp.array([0.09375, 0.109375, 1.796875, 2.0])
    layer = jnp.stack([score, -score])  # answers of both signs, whose own mean is 0
    image = layer.reshape(2, 1, 1, 4) * jnp.array([0.5, 1.5]).reshape(1, 1, 2, 1)  # a filter's mean is over its places
    for answers in (layer, 16 * layer, image):
        assert float(diagnostics.dormant_share((answers,))) == 1 / 4
    for threshold, dormant in ((0.09, 0), (0.09375, 1), (0.109, 1), (0.109375, 2), (1.8, 3), (2.0, 4)):
        assert float(diagnostics.dormant_share((layer,), threshold)) == dormant / 4, threshold
    # Each layer has a mean of its own, and every unit counts once: one of four in the first, none of two in the other.
    assert float(diagnostics.dormant_share((layer, 100 * jnp.ones((2, 2))))) == pytest.approx(1 / 6)
    assert float(diagnostics.dormant_share((jnp.zeros((2, 3)), layer))) == pytest.approx(4 / 7), "a dead layer"


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


def test_distances_of_many_layers_are_by_part_and_tied_parts_have_none():
    def network(layers, kernel):
        return Variables({"hidden": {i: {"kernel": jnp.float32(kernel)} for i in range(layers)}, "head": kernel}, {})

    for layers, names in ((15, {f"hidden.{i}" for i in range(15)} | {"head"}), (16, {"hidden", "head"})):
        found = diagnostics.layer_distances(Twin(network(layers, jnp.float32(4.0)), network(layers, jnp.float32(3.0))))
        assert set(found) == names
        assert all(float(distance) == 0.25 for distance in found.values()), "|4 - 3| / |4|, of one layer and of many"
    online, target_variables = network(2, jnp.float32(4.0)), Variables({"head": jnp.float32(1.0)}, {})
    assert diagnostics.layer_distances(Twin(online, target_variables, parts=("head",))) == {"head": 0.75}


def test_a_reading_by_hand():
    """Two states and a table. Each gradient step adds 1 to Q(0, first), from 0 on; y is its square."""

    def loss(twin, batch, key):
        y = twin.online.params["q"][0, 0] ** 2
        return y, Aux(jnp.array([y - 1.0, y - 2.0]), jnp.array([1.0, 2.0]))

    def layers(variables, obs):
        return jnp.ones((2, 4)), jnp.array([[[3.0, 0.0, 0.0]], [[0.0, 4.0, 0.0]]])

    def one_step(s):
        return s._replace(twin=s.twin.learn(Variables({"q": s.twin.online.params["q"].at[0, 0].add(1.0)}, {})))

    def table(*rows):
        return Variables({"q": jnp.array(rows)}, {})

    pair = Twin(table([0.0, 2.5], [1.0, -3.0]), table([4.0, 0.5], [1.0, 1.0]), older=(table([2.0, 0.5], [1.0, -1.0]),))
    state = TrainState((), pair, (), (), None, None, None, jax.random.key(0))
    batch = Transition(jnp.array([0, 1]), jnp.array([0, 0]), jnp.array([-7.0, 2.0]), jnp.ones(2), jnp.array([1, 0]))
    agent = Agent(None, None, loss, lambda variables, obs: variables.params["q"][obs], layers)
    found = diagnostics.read(SimpleNamespace(agent=agent), one_step)(state, batch)
    assert float(found.value_gap) == (3 + 2 + 0 + 3) / 4, "beside the mean of the two copies, (3, 1/2) and (1, 0)"
    assert float(found.greedy_gap) == 0.5, "the second action in the first state; the first for all others"
    assert float(found.churn) == 0.5 / 4, "in one of four steps one of two states: when 3 passes 2.5"
    assert float(found.target_change) == (1 + 3 + 5 + 7) / 4
    assert (float(found.largest_q), float(found.largest_reward)) == (3.0, 7.0)
    assert (int(found.effective_rank), int(found.rank_limit)) == (2, 2), "singular values 4 and 3"
    assert float(found.dormant) == pytest.approx(1 / 7), "the last of three units, none of four"
    assert float(found.spread) == pytest.approx(3**0.5 / 3), "deviations 1/2, 1/2 and 0"
    assert float(found.distances["q"]) == pytest.approx((16 + 4 + 16) ** 0.5 / (6.25 + 1 + 9) ** 0.5)
    blind = diagnostics.read(SimpleNamespace(agent=agent._replace(values=None, layers=None)), one_step)(state, batch)
    assert float(blind.target_change) == 4.0
    told = {name for name, value in blind._asdict().items() if value is not None}
    assert told == {"target_change", "largest_reward", "distances", "outside"}


@pytest.mark.parametrize(
    ("batch", "draws", "rows"), [(100, 6, 512), (256, 2, 512), (600, 1, 512), (1, 64, 64), (0, 64, 64)]
)
def test_the_probe_batch_is_drawn_until_it_is_large_enough(batch, draws, rows):
    keys = []

    def sample(replay, key, step):
        keys.append(tuple(jax.random.key_data(key).tolist()))
        column = jnp.full(max(batch, 1), step, jnp.float32)
        return Transition(column, column, column, column, column, weight=column, slot=column)

    state = TrainState((), None, (), (), None, None, None, jax.random.key(0))
    probe = diagnostics.probe_of(SimpleNamespace(replay=SimpleNamespace(batch=batch, sample=sample)), 4)(state)
    assert len(set(keys)) == len(keys) == draws
    should = np.repeat(np.arange(draws) % 4, max(batch, 1))[:512]  # each step of a cycle, for a replay that goes by it
    np.testing.assert_array_equal(probe.obs, should)
    assert probe.obs.shape == (rows,)
    assert probe.weight is probe.slot is None


def test_the_value_of_an_action():
    q = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    of = diagnostics.value_of(Agent(None, None, None, lambda variables, obs: variables * q[obs]))
    np.testing.assert_array_equal(of(2.0, jnp.array([1, 0]), jnp.array([0, 1])), [6.0, 4.0])
    assert diagnostics.value_of(Agent(None, None, None)) is None


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
    overestimation = Overestimation(gamma, limit)
    play = jax.jit(lambda key: greedy_episodes(agent, lottery(chance, limit), None, episodes, key, overestimation))
    ledger = play(jax.random.key(0)).ledger
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
    overestimation = Overestimation(0.5, 10)
    ledger, no, yes = overestimation.begin(2), np.array([False, False]), np.array([True, True])
    for reward, last, discount, counts in [
        (4.0, no, 1.0, yes), (2.0, no, 1.0, np.array([True, False])), (8.0, np.array([True, False]), 0.0, yes),
    ]:  # fmt: skip
        q, both = np.array([5.0, 1.0]), np.array([reward, reward])
        ledger = overestimation.step(ledger, q, both, last, np.array([discount, 1.0]), counts)
    assert (ledger.states.tolist(), ledger.said.tolist(), ledger.came.tolist()) == ([3, 0], [15, 0], [21, 0])
    assert ledger.time.tolist() == [0, 2]
    assert judged(ledger).came == 7.0
    assert judged(overestimation.begin(2)).said is None


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
