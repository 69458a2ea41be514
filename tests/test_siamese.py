"""The Siamese methods on the agents' twin and engine: the papers step by step, and the laws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.config.siamese import SiameseConfig
from qtwin.processes.regress import gradient_step, optimiser_state
from qtwin.rng import LOSS, stream
from qtwin.run.siamese.train import method_of
from qtwin.siamese import losses
from qtwin.siamese.views import Views
from qtwin.twin import twin
from qtwin.types import Variables

SMALL = SiameseConfig(
    encoder="conv:4,8", projector="8,8,8", batch=16, epochs=2, augment="shift:2+flip", learning_rate=0.5,
    weight_decay=1e-3,
)  # fmt: skip
RNG = np.random.default_rng(0)
IMAGES = RNG.random((48, 8, 8, 1), np.float32)


def batches(count):
    return [Views(*jnp.asarray(RNG.random((2, 16, 8, 8, 1), np.float32))) for _ in range(count)]


class Hand:
    """A method's gradient steps, one at a time."""

    def __init__(self, **settings):
        config = dataclasses.replace(SMALL, **settings)
        self.algorithm, self.key, self.count = method_of(IMAGES, config), jax.random.key(3), 0
        rule = self.algorithm.rates.target_update
        online = self.algorithm.agent.init(jax.random.key(1))
        self.pair = twin(online, rule, self.algorithm.stats_policy, self.algorithm.target_parts)
        target = self.pair.target_variables
        self.memory = rule.init(online.params if target is None else target.params)
        self.optimiser = optimiser_state(self.algorithm, online.params)
        self._step = jax.jit(
            lambda pair, state, batch, n: gradient_step(self.algorithm, pair, state, batch, self.key, n)
        )

    def step(self, batch):
        loss, aux, self.pair, self.optimiser = self._step(self.pair, self.optimiser, batch, np.int32(self.count))
        self.count += 1
        rule = self.algorithm.rates.target_update
        if rule.every and self.count % rule.every == 0:
            self.memory, self.pair = self.pair.follow(rule, self.memory)
        return float(loss), aux


def same(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **({"rtol": 1e-5, "atol": 1e-6} | tolerance)), a, b)


def test_simsiam_is_the_papers_algorithm_1_step_by_step():
    """Written out: two forward passes, z detached, D(p1, z2) / 2 + D(p2, z1) / 2, SGD with momentum and weight decay,
    the predictor at a constant rate and all else along a cosine."""
    method = Hand(target="tied")
    f_and_h = Networks()
    params = method.pair.online.params
    velocity = jax.tree.map(jnp.zeros_like, params)
    steps = SMALL.epochs * (48 // 16)

    @jax.jit
    @jax.value_and_grad
    def loss_of(params, batch):
        z1, z2 = f_and_h.f(params, batch.first), f_and_h.f(params, batch.second)
        p1, p2 = f_and_h.h(params, z1), f_and_h.h(params, z2)
        return distance(p1, z2) / 2 + distance(p2, z1) / 2

    for k, batch in enumerate(batches(4)):
        expected, gradient = loss_of(params, batch)
        loss, _ = method.step(batch)
        assert loss == pytest.approx(float(expected), rel=1e-5)
        falling = 0.5 * 16 / 256 * (1 + np.cos(np.pi * k / steps)) / 2
        for part in params:
            rate = 0.5 * 16 / 256 if part == "predictor" else falling
            pulled = jax.tree.map(lambda g, w: g + 1e-3 * w, gradient[part], params[part])
            velocity[part] = jax.tree.map(lambda v, g: 0.9 * v + g, velocity[part], pulled)
            params = {**params, part: jax.tree.map(lambda w, v, r=rate: w - r * v, params[part], velocity[part])}
        same(method.pair.online.params, params, rtol=1e-4)


def distance(p, z):
    z = jax.lax.stop_gradient(z)
    p = p / jnp.linalg.norm(p, axis=1, keepdims=True)
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    return -(p * z).sum(axis=1).mean()


class Networks:
    """The small method's networks in plain array operations, batch norm by the batch."""

    def features(self, params, x):
        for i in range(2):
            x = jax.lax.conv_general_dilated(
                x, params["encoder"]["convs"][i]["kernel"], (2, 2), ((1, 1), (1, 1)),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )  # fmt: skip
            x = jax.nn.relu(self.norm(x, params["encoder"]["norms"][i]))
        return x.mean(axis=(1, 2))

    def f(self, params, x):
        return self.head(params["projector"], self.features(params, x), 3, last=True)

    def h(self, params, z):
        return self.head(params["predictor"], z, 2, last=False)

    def head(self, params, x, layers, last):
        for i in range(layers):
            layer = params["layers"][i]
            x = x @ layer["kernel"] + layer["bias"][None]
            if i < layers - 1:
                x = jax.nn.relu(self.norm(x, params["norms"][i]))
        return self.norm(x, None) if last else x

    def norm(self, x, scaling):
        axes, shape = tuple(range(x.ndim - 1)), (1,) * (x.ndim - 1) + (-1,)
        x = (x - x.mean(axis=axes).reshape(shape)) / jnp.sqrt(x.var(axis=axes).reshape(shape) + 1e-5)
        return x if scaling is None else x * scaling["scale"].reshape(shape) + scaling["bias"].reshape(shape)


def test_byol_with_tau_1_is_simsiam():
    """Its loss is 4 + 4 times SimSiam's, so its steps at a quarter of the rate are SimSiam's; no weight decay, which
    would be quartered too, and BYOL's projector has no batch norm on its output: both with hidden ones only."""
    alike = {"batch_norm": "hidden", "weight_decay": 0.0, "stats_policy": "copied"}
    one = Hand(target="tied", **alike)
    other = Hand(method="byol", target="soft:1", learning_rate=0.5 / 4, **alike)
    for batch in batches(5):
        a, aux = one.step(batch)
        b, other_aux = other.step(batch)
        assert b == pytest.approx(4 + 4 * a, abs=1e-5)
        np.testing.assert_allclose(aux.q, other_aux.q, atol=1e-5)
        same(one.pair.online, other.pair.online, rtol=1e-4, atol=1e-5)
    same(other.pair.target, other.pair.online, rtol=0, atol=0)


def test_law_5_tied_is_hard_1_is_soft_1():
    hands = [Hand(target=target) for target in ("tied", "hard:1", "soft:1")]
    for batch in batches(3):
        losses_of = {hand.step(batch)[0] for hand in hands}
        assert max(losses_of) - min(losses_of) < 1e-6
    for hand in hands[1:]:
        same(hand.pair.online.params, hands[0].pair.online.params)


@pytest.mark.parametrize(("method", "target"), [("simsiam", "hard:100"), ("byol", "soft:0.1"), ("moco", "soft:0.1")])
def test_law_6_no_gradient_reaches_the_target_and_the_optimiser_holds_none_of_it(method, target):
    hand = Hand(method=method, target=target, queue=32, predictor="none" if method == "moco" else "learned")
    batch = batches(1)[0]

    def loss(target_variables):
        pair = dataclasses.replace(hand.pair, target_variables=target_variables)
        return hand.algorithm.agent.loss(pair, batch, stream(hand.key, LOSS, 0))[0]

    target = hand.pair.target_variables
    gradient = jax.grad(lambda params: loss(Variables(params, target.stats)))(target.params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))
    assert set(hand.pair.target_variables.params) == {"encoder", "projector"}, "a predictor has no twin"
    assert "queue" not in hand.pair.target_variables.stats
    before = jax.tree.map(np.array, hand.pair.target_variables.params)
    hand.memory, pair = hand.memory, hand._step(hand.pair, hand.optimiser, batch, np.int32(0))[2]
    same(pair.target_variables.params, before, rtol=0, atol=0)


def test_the_targets_own_passes_gather_its_batch_norm_statistics():
    hand = Hand(method="byol", target="soft:0.1", stats_policy="own")
    before = jax.tree.map(np.array, hand.pair.target_variables.stats)
    hand.step(batches(1)[0])
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), before, hand.pair.target_variables.stats)
    assert max(jax.tree.leaves(moved)) > 0


def test_the_queue_is_a_ring_of_the_targets_keys():
    """A queue of 40 and batches of 16: the third batch's last eight keys stand where the first's stood."""
    hand = Hand(method="moco", target="hard:1000", queue=40, predictor="none")
    target_variables, keys = hand.pair.target, []
    begun = np.array(hand.pair.online.stats["queue"]["keys"])
    np.testing.assert_allclose(np.linalg.norm(begun, axis=1), 1.0, rtol=1e-5)
    hidden = Networks()
    key_of = jax.jit(lambda p, x: losses.normalised(hidden.head(p["projector"], hidden.features(p, x), 3, last=False)))
    for batch in batches(3):
        keys.append(np.asarray(key_of(target_variables.params, batch.second)))
        hand.step(batch)
    queue = hand.pair.online.stats["queue"]
    np.testing.assert_allclose(
        queue["keys"], np.concatenate([keys[2][8:], keys[0][8:], keys[1], keys[2][:8]]), atol=1e-5
    )
    assert int(queue["oldest"]) == 8


def test_a_tied_target_costs_no_pass_of_its_own():
    def operations(target):
        hand = Hand(target=target)
        compiled = hand._step.lower(hand.pair, hand.optimiser, batches(1)[0], np.int32(0)).compile()
        return compiled.cost_analysis()["flops"]

    assert operations("tied") < 0.85 * operations("hard:10")  # three passes of four, where backward counts as two
