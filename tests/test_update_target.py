"""Process 2: every way for a target to follow, by hand, and laws 5 and 6."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import little_dqn, walk

from qtwin.engine.fused import fused
from qtwin.errors import Refusal
from qtwin.target_update.adaptive_rules import Fit, until_converged
from qtwin.target_update.rules import frozen, hard, soft, tied
from qtwin.target_update.specs import SPECS, parse
from qtwin.twin import STATS_POLICIES, Twin, distance, twin
from qtwin.types import Clock, Variables

ONLINE = {"w": jnp.array([1.0, -2.0]), "count": jnp.int32(7)}
TARGET = {"w": jnp.array([0.0, 2.0]), "count": jnp.int32(3)}


def at(age):
    return Clock(jnp.int32(0), jnp.int32(100), jnp.int32(0), jnp.int32(age))


def test_soft_moves_the_fraction_tau():
    _, moved = soft(0.25).move((), ONLINE, TARGET)
    np.testing.assert_allclose(moved["w"], [0.25, 1.0])  # 0.75 * [0, 2] + 0.25 * [1, -2]
    assert moved["count"] == 7, "a whole number has no way half-way"


def test_cosine_falls_from_tau_to_nothing():
    """tau_k = tau (cos(pi k / K) + 1) / 2: with tau 0.4 and K 4 it is 0.4, 0.3414, 0.2, 0.0586, 0, and stays there."""
    rule = parse("cosine:0.4", 4)
    memory, moved = rule.init({}), []
    for _ in range(6):
        memory, target = rule.move(memory, {"w": jnp.ones(1)}, {"w": jnp.zeros(1)})
        moved.append(float(target["w"][0]))
    np.testing.assert_allclose(moved, [0.4, 0.34142, 0.2, 0.05858, 0, 0], atol=1e-5)
    assert rule.spec == "cosine:0.4/4"
    assert rule.mean_age == rule.half_life == math.inf, "no one age describes it"


def test_mixed_statistics_move_by_the_parameters_own_fraction():
    """A cosine's second move of four goes 0.3414 of the way: for the parameters and for the statistics."""
    rule, variables = parse("cosine:0.4", 4), Variables({"w": jnp.ones(1)}, {"mean": jnp.ones(1)})
    pair = twin(Variables({"w": jnp.zeros(1)}, {"mean": jnp.zeros(1)}), rule, "mixed").learn(variables)
    memory, pair = pair.follow(rule, jnp.int32(1))
    assert int(memory) == 2
    assert float(pair.target.params["w"][0]) == float(pair.target.stats["mean"][0]) == pytest.approx(0.34142, abs=1e-5)


def test_hard_copies_and_frozen_stays():
    assert hard(3).move((), ONLINE, TARGET)[1] is ONLINE
    assert frozen().move((), ONLINE, TARGET)[1] is TARGET
    assert soft(0.0).move((), ONLINE, TARGET)[1] is TARGET


@pytest.mark.parametrize(
    ("rule", "ages_due"), [(hard(3), {3, 4}), (soft(0.1, 2), {2, 3, 4}), (tied(), {1, 2, 3, 4}), (frozen(), set())]
)
def test_due_by_age(rule, ages_due):
    assert {age for age in range(5) if bool(rule.due(rule.init({}), at(age)))} == ages_due


def test_mean_age_and_half_life():
    assert hard(101).mean_age == 50.0  # (C - 1) / 2
    assert soft(0.25).mean_age == 3.0  # (1 - tau) / tau
    assert soft(2 / 102).mean_age == pytest.approx(hard(101).mean_age)  # they match at tau = 2 / (C + 1)
    assert tied().mean_age == 0.0
    assert hard(1).mean_age == 0.0
    assert frozen().mean_age == math.inf
    assert soft(0.5).half_life == pytest.approx(1.0)
    assert soft(0.005).half_life == pytest.approx(math.log(2) / 0.005, rel=0.003)
    assert soft(0.5, 10).half_life == pytest.approx(10.0)
    assert hard(5).half_life is None
    assert frozen().half_life == soft(0.0).half_life == math.inf, "nothing of it is ever replaced"
    assert parse("averaged:2:3").mean_age == 1.0 + 1.5, "(C - 1) / 2, and C (K - 1) / 2"


def test_tau_is_at_most_a_half_or_one():
    assert [soft(tau).tau for tau in (0, 0.5, 1)] == [0.0, 0.5, 1.0]
    for tau in (-0.1, 0.51, 0.99, 1.01, 2.0, True):
        with pytest.raises(Refusal, match="or 1 to copy"):
            soft(tau)


def test_mean_age_by_counting():
    """The mean over time of how old the mixture is that a soft target holds, every 3 gradient steps."""
    rule, weights, ages = soft(0.2, 3), np.zeros(4000), []
    weights[0] = 1.0  # the share of the target that comes from the online network of gradient step i
    for step in range(1, 4000):
        if step % 3 == 0:
            weights *= 0.8
            weights[step] += 0.2
        if step > 2000:
            ages.append(np.dot(weights, step - np.arange(4000)))
    assert np.mean(ages) == pytest.approx(rule.mean_age, rel=1e-3)


def test_until_converged_by_hand():
    rule = until_converged(0.1, at_most=50, window=2)
    fit = rule.init({})
    for loss, converged in [(4, False), (4, False), (3, False), (3, False), (2.9, False), (2.9, True)]:
        fit = rule.watch(fit, jnp.float32(loss))  # window means 4, 3 (-25 %), 2.9 (-3 %, less than 10 %)
        assert bool(fit.converged) is converged
        assert bool(rule.due(fit, at(6))) is converged
    assert bool(rule.due(rule.init({}), at(50))), "or after at most 50 gradient steps"
    fit, moved = rule.move(fit, ONLINE, TARGET)
    assert moved is ONLINE
    assert fit == Fit(0.0, 0, jnp.inf, False)


def test_until_converged_stops_where_nothing_can_be_gained():
    rule = until_converged(0.1, at_most=50, window=1)
    fit = rule.init({})
    for loss in (1.0, 0.0, 0.0):
        fit = rule.watch(fit, jnp.float32(loss))
    assert bool(fit.converged)


@pytest.mark.parametrize(
    "spec",
    [
        "hard:500", "soft:0.005", "soft:0.005/10", "cosine:0.004/100", "tied", "frozen", "until:0.01/2000",
        "geometric:100:1.1", "t-soft:0.005", "t-soft:0.005:3", "averaged:5:100", "chain:5:500/30",
        "last-layer:hard:500",
        "last-layer:soft:0.01",
    ],
)  # fmt: skip
def test_specs_read_back(spec):
    assert parse(spec).spec == spec


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("hard:0", "hard:500"),
        ("hard:1.5", "hard:500"),
        ("hard:-3", "hard:500"),
        ("hard", "hard:500"),
        ("hard:x", "'x'"),
        ("hard:5/2", "hard:500"),
        ("soft", "soft:0.005"),
        ("soft:0.9", "soft:0.1"),
        ("soft:0.995", "soft:0.005"),
        ("soft:-1", "soft:0.005"),
        ("soft:1.5", "write for example soft:0.005"),  # no fraction at all, neither moved nor kept
        ("soft:nan", "'nan'"),
        ("soft:0.1/0", "soft:0.005/10"),
        ("soft:0.1/1.5", "soft:0.005/10"),
        ("tied:3", "write tied"),
        ("until:0.1", "until:0.01/2000"),
        ("until:2/10", "until:0.01/2000"),
        ("cosine:0.996", "cosine:0.004"),
        ("cosine:0.004", "cosine:0.004/10000"),
        ("cosine:0.004/0", "cosine:0.004/10000"),
        ("cosine", "cosine:0.004"),
        ("sfot:0.1", "'soft'"),
        ("geometric:100", "geometric:100:1.1"),
        ("geometric:100:0.9", "geometric:100:1.1"),
        ("geometric:0:2", "geometric:100:1.1"),
        ("t-soft:0.7", "t-soft:0.005"),
        ("t-soft:0.1:0", "t-soft:0.005:1"),
        ("averaged:5", "averaged:5:100"),
        ("averaged:0:5", "averaged:5:100"),
        ("chain:3", "chain:5:500/30"),
        ("chain:3:10/0", "chain:5:500/30"),
        ("last-layer", "last-layer:hard:500"),
        ("last-layer:tied", "last-layer:hard:500"),
        ("last-layer:hard:0", "hard:500"),
        ("last-layer:last-layer:hard:3", "last-layer:hard:500"),
        ("", "hard:C"),
    ],
)
def test_specs_that_make_no_sense_are_refused(spec, says):
    with pytest.raises(Refusal, match=says.replace(".", r"\.")) as refused:
        parse(spec)
    assert "\n" not in str(refused.value)


def test_every_spec_is_listed():
    plain = {"hard", "soft", "cosine", "tied", "frozen", "until"}
    assert set(SPECS) == plain | {"geometric", "t-soft", "averaged", "chain", "last-layer"}


def ages_when_moved(rule, gradient_steps):
    """The gradient steps at which a rule moves, told of each of them."""
    memory, age, moved = rule.init(ONLINE), 0, []
    for step in range(1, gradient_steps + 1):
        memory, age = rule.watch(memory, jnp.float32(1.0)), age + 1
        if bool(rule.due(memory, at(age))):
            row = {"0": ONLINE, "1": ONLINE}
            memory, _ = rule.move(memory, row, row)
            age = 0
            moved.append(step)
    assert rule.moves_in(gradient_steps) == len(moved)
    return moved


def test_geometric_periods_grow():
    assert ages_when_moved(parse("geometric:4:1.5"), 40) == [4, 10, 19, 33]  # after 4, 6, 9, 13.5 and so 14
    assert parse("geometric:4:1").moves_in(40) == 10


def test_t_soft_by_hand():
    """nu = 1, tau = 0.1: W = 9. First D^2 = sigma^2, so w = 2 / 2 = 1 and tau_i = 1 / 10; then a jump of ten times."""
    rule = parse("t-soft:0.1")
    memory, target = rule.move(rule.init({"w": 0}), {"w": jnp.array([1.0, -1.0])}, {"w": jnp.zeros(2)})
    np.testing.assert_allclose(target["w"], [0.1, -0.1], rtol=1e-6)
    weight, scale = 0.9 * 10, 1.0
    np.testing.assert_allclose(memory[0], [weight, scale], rtol=1e-6)
    gap = 100 * 0.9**2
    w = 2 / (1 + gap / scale)
    tau = w / (weight + w)
    memory, target = rule.move(memory, {"w": jnp.array([9.1, -9.1])}, target)
    np.testing.assert_allclose(target["w"], [0.1 + 9 * tau, -0.1 - 9 * tau], rtol=1e-5)
    np.testing.assert_allclose(memory[0], [0.9 * (weight + w), scale + 0.1 * w / 2 * (gap - scale)], rtol=1e-5)
    assert tau < 0.01, "what jumps is followed less"


def test_averaged_keeps_the_last_snapshots():
    rule = parse("averaged:3:2")
    pair = twin(Variables({"w": jnp.float32(0.0)}, {}), rule)
    assert [float(copy.params["w"]) for copy in pair.targets] == [0.0, 0.0, 0.0], "three copies of the first network"
    assert twin(pair.online, hard(2)).older == ()
    for value in range(1, 5):
        _, pair = pair.learn(Variables({"w": jnp.float32(value)}, {})).follow(rule, ())
    assert [float(copy.params["w"]) for copy in pair.targets] == [4.0, 3.0, 2.0]
    assert rule.mean_age == 0.5 + 2.0, "(C - 1) / 2, and C (K - 1) / 2 for the snapshots behind it"


def test_a_chain_shifts_its_window_and_keeps_its_inner_targets_up_to_date():
    """Q_1 and Q_2 hold 10 and 20, the targets 1 and 2. A sync gives Qbar_1 <- Q_1; a shift Qbar <- Q, Q_1 <- Q_2."""
    rule = parse("chain:2:6/4")
    assert ages_when_moved(rule, 13) == [4, 6, 8, 12]
    online = Variables({"0": jnp.float32(10.0), "1": jnp.float32(20.0)}, {})
    pair = Twin(online, Variables({"0": jnp.float32(1.0), "1": jnp.float32(2.0)}, {}))
    _, synced = pair.follow(rule, jnp.int32(4))
    assert (synced.online.params, synced.target_variables.params) == ({"0": 10, "1": 20}, {"0": 1, "1": 10})
    _, shifted = pair.follow(rule, jnp.int32(6))
    assert (shifted.online.params, shifted.target_variables.params) == ({"0": 20, "1": 20}, {"0": 10, "1": 20})


def test_last_layer_only_shares_the_trunk():
    rule = parse("last-layer:hard:3")
    first = Variables({"hidden": jnp.float32(1.0), "head": jnp.float32(1.0)}, {})
    pair = twin(first, rule).learn(Variables({"hidden": jnp.float32(5.0), "head": jnp.float32(6.0)}, {}))
    assert pair.target.params == {"hidden": 5.0, "head": 1.0}
    assert set(pair.target_variables.params) == {"head"}
    assert pair.follow(rule, ())[1].target.params == {"hidden": 5.0, "head": 6.0}
    with pytest.raises(Refusal, match="head"):
        twin(Variables({"table": jnp.zeros(1)}, {}), rule)


# The twin


def test_no_gradient_reaches_the_target_however_the_loss_is_written():
    for rule in (hard(2), tied()):
        pair = twin(Variables({"w": jnp.array(3.0)}, {}), rule)

        def loss(whole):
            return whole.online.params["w"] * whole.target.params["w"] ** 2

        gradient = jax.grad(loss)(pair)
        assert gradient.online.params["w"] == 9.0
        if gradient.target_variables is not None:
            assert gradient.target_variables.params["w"] == 0.0


def test_the_twins_start_equal_in_buffers_of_their_own():
    pair = twin(Variables({"w": jnp.arange(3.0)}, {}), hard(2))
    np.testing.assert_array_equal(pair.online.params["w"], pair.target.params["w"])
    assert pair.online.params["w"].unsafe_buffer_pointer() != pair.target_variables.params["w"].unsafe_buffer_pointer()
    assert float(distance(pair)) == 0.0


def test_distance_by_hand():
    pair = Twin(Variables({"w": jnp.array([3.0, 4.0])}, {}), Variables({"w": jnp.array([3.0, 3.0])}, {}))
    assert float(distance(pair)) == pytest.approx(1 / 5)


def test_statistics_policies():
    """Batch-norm statistics: online 1, target 0; then a soft move of 0.25 with the target's own pass giving 9."""
    expected = {"copied": 1.0, "mixed": 0.25, "shared": 1.0, "own": 9.0}
    assert set(expected) == set(STATS_POLICIES)
    for policy, value in expected.items():
        pair = Twin(
            Variables({"w": jnp.array(1.0)}, {"m": jnp.array(1.0)}),
            Variables({"w": jnp.array(0.0)}, {"m": jnp.array(0.0)}),
            policy,
        )
        pair = pair.learn(pair.online, {"m": jnp.array(9.0)})
        _, pair = pair.follow(soft(0.25), ())
        assert pair.target.stats["m"] == value, policy
        assert pair.target.params["w"] == 0.25
    with pytest.raises(Refusal, match="mixed"):
        twin(Variables({}, {}), hard(1), "mixde")


# In the engine


def run(target, cycles=40, **kwargs):
    engine = fused(little_dqn(target, **kwargs), walk(), 4)
    state = engine.warm_up(engine.init([3]), engine.turn.warmup_vector_steps)
    return engine.advance(state, cycles)


def test_law_5_tied_is_hard_1_is_soft_1():
    """...bit for bit, online network and optimiser, after 40 gradient steps."""
    states = [run(target) for target in ("tied", "hard:1", "soft:1", "averaged:1:1", "geometric:1:1")]
    leaves = [jax.tree.leaves((s.twin.online, s.optimiser, s.replay, s.clock)) for s in states]
    for one, *others in zip(*leaves, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)
    assert states[0].twin.target_variables is None
    assert int(states[0].clock.target_updates[0]) == 40


def test_law_5_soft_0_and_frozen_never_move():
    for target in ("soft:0", "frozen"):
        engine = fused(little_dqn(target), walk(), 4)
        state = engine.init([0])
        before = jax.tree.map(np.asarray, state.twin.target_variables)
        state = engine.advance(engine.warm_up(state, 2), 30)
        jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, state.twin.target_variables))
        assert float(distance(jax.tree.map(lambda x: x[0], state.twin))) > 0.01


def test_law_5_hard_leaves_every_byte_between_two_moves():
    engine = fused(little_dqn("hard:7"), walk(), 4)
    state = engine.warm_up(engine.init([0]), 2)
    held = jax.tree.map(np.asarray, state.twin.target_variables)
    for step in range(1, 22):
        state = engine.advance(state, 1)  # one cycle is one gradient step
        now = jax.tree.map(np.asarray, state.twin.target_variables)
        if step % 7 == 0:
            held = jax.tree.map(np.asarray, state.twin.online)
            assert int(state.clock.age[0]) == 0
        jax.tree.map(np.testing.assert_array_equal, held, now)
        assert int(state.clock.target_updates[0]) == step // 7


def test_law_6_the_optimiser_holds_no_target_leaf_and_no_buffer_is_shared():
    state = run("hard:5")
    online, target = jax.tree.leaves(state.twin.online), jax.tree.leaves(state.twin.target_variables)
    # Adam: a count, and two moments for each online parameter; nothing for the target
    assert len(jax.tree.leaves(state.optimiser)) == 1 + 2 * len(online)
    addresses = [
        leaf.addressable_shards[0].data.unsafe_buffer_pointer()
        for leaf in online + target + jax.tree.leaves(state.optimiser)
    ]
    assert len(set(addresses)) == len(addresses)


def test_until_moves_each_seed_at_its_own_time():
    engine = fused(little_dqn("until:0.2/400"), walk(), 4, jax.devices()[:2])
    state = engine.advance(engine.warm_up(engine.init([0, 1]), 2), 1500)
    moves = np.asarray(state.clock.target_updates)
    assert (moves >= 3).all()
    assert (np.asarray(state.clock.gradient_steps) == 1500).all()
    assert moves[0] != moves[1] or (np.asarray(state.clock.age)[0] != np.asarray(state.clock.age)[1])
