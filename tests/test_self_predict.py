"""Siamese for RL: a second target beside the first, sequences from the replay, and the self-predictive losses."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from worlds import little_dqn, walk

import qtwin
from qtwin import rng
from qtwin.agents.catalog import algorithm
from qtwin.cli import main
from qtwin.config.config import Config
from qtwin.engine.fused import fused
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.engine.hosted import hosted, programs
from qtwin.envs.catalog import resolve
from qtwin.envs.jax_on_host import host_of
from qtwin.envs.make import jax_env
from qtwin.envs.probe_specs import DISCRETE
from qtwin.envs.probes import exact_q, probe
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.build import q_network
from qtwin.processes.regress import optimiser_state
from qtwin.processes.update_target import targets
from qtwin.rates import Cycle, cycle_of, plan
from qtwin.replay.ring import Linked, ring
from qtwin.replay.sequences import Sequences
from qtwin.run import checkpoint
from qtwin.siamese.self_predict import views
from qtwin.target_update import specs
from qtwin.twin import Sibling, twin
from qtwin.types import Timestep, Transition, Variables


def same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


# A second target


def siblings(spec, **more):
    """`little_dqn` with a loss beside its own: the first layer stays near where its sibling's is."""
    chosen = little_dqn(**more)

    def loss(twin, batch, key):
        td_loss, aux = chosen.agent.loss(twin, batch, key)
        self_loss = jnp.mean((batch.obs @ (twin.online.params["one"] - 0.9 * twin.sibling.params["one"])) ** 2)
        return td_loss + 0.1 * self_loss, aux._replace(self_loss=self_loss)

    sibling = Sibling(("one",), specs.parse(spec, 40))
    return chosen._replace(agent=chosen.agent._replace(loss=loss), sibling=sibling)


def test_two_targets_each_move_at_their_own_rate():
    engine = fused(siblings("hard:3", target="hard:5"), walk(), 4)
    state = engine.warm_up(engine.init([0]), 2)
    for count in range(1, 17):
        before = numbers(state.twin)
        state = engine.advance(state, 1)
        one = state.twin.online.params["one"]
        then = before.target_variables.params["one"]
        same(state.twin.target_variables.params["one"], one if count % 5 == 0 else then)
        then = before.sibling_variables.params["one"]
        same(state.twin.sibling_variables.params["one"], one if count % 3 == 0 else then)
    assert set(state.twin.sibling_variables.params) == {"one"}
    assert [int(number[0]) for number in state.clock] == [72, 16, 3, 1]
    assert float(state.tally.self_loss[0]) > 0


def test_a_sibling_that_is_tied_is_one_that_copies_at_every_step():
    """Law 5 for the second target."""
    ends = {}
    for spec in ("tied", "hard:1", "soft:1"):
        engine = fused(siblings(spec), walk(), 4)
        ends[spec] = engine.advance(engine.warm_up(engine.init([0]), 2), 20).twin
    for spec in ("hard:1", "soft:1"):
        same(ends["tied"].online, ends[spec].online)
        same(ends[spec].sibling_variables.params["one"], ends[spec].online.params["one"])
    assert ends["tied"].sibling_variables is None
    same(ends["tied"].sibling, ends["tied"].online)


def test_law_6_for_the_sibling():
    """No gradient reaches it, the optimiser holds no leaf of it, and it shares no buffer with the others."""
    chosen = siblings("soft:0.01")
    online = chosen.agent.init(rng.root(0))
    pair = twin(online, chosen.rates.target_update, sibling=chosen.sibling)
    through = lambda kept: jnp.sum(dataclasses.replace(pair, sibling_variables=kept).sibling.params["one"] ** 2)  # noqa: E731
    assert not jax.grad(through)(pair.sibling_variables).params["one"].any()
    tied = twin(online, chosen.rates.target_update, sibling=Sibling((), specs.parse("tied")))
    through = lambda params: jnp.sum(tied.learn(online._replace(params=params)).sibling.params["one"] ** 2)  # noqa: E731
    assert not jax.grad(through)(online.params)["one"].any()
    count = lambda tree: sum(np.size(leaf) for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert count(optimiser_state(chosen, online.params)) == 2 * count(online.params) + 1
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(pair)]
    assert len(set(places)) == len(places)


def test_without_a_sibling_the_state_has_no_leaf_of_one():
    engine = fused(little_dqn(), walk(), 4)
    state = engine.init([0])
    assert jax.tree.leaves((state.sibling, state.twin.sibling_variables, state.tally.self_loss)) == []


def test_a_sibling_cannot_wait_for_the_regression():
    with pytest.raises(Refusal, match=r"'until:0\.1/50' came"):
        targets(siblings("until:0.1/50"))


def test_law_7_and_law_8_with_a_sibling(tmp_path):
    """Fused is hosted without overlap, and a run that is saved and loaded ends as one that went on, byte for byte."""
    chosen = siblings("cosine:0.5", n_step=2)
    straight, engine = FusedFleet(chosen, walk(), 4, (7, 8)), hosted(chosen, host_of(walk(), 4), overlap=False)
    other = engine.warm_up(engine.init(7), 2)
    straight.warm_up(2)
    straight.advance(9)
    checkpoint.write(tmp_path, 9, 0, straight.seeds, [straight.snapshot(i) for i in range(2)])
    straight.take_tallies()
    straight.advance(11)
    other = engine.advance(other, 9)
    other = engine.advance(other._replace(tally=jax.tree.map(jnp.zeros_like, other.tally)), 11)
    one, two = straight.snapshot(0), numbers(other._replace(key=()))
    assert int(one.sibling) == 20  # moves that the cosine has counted
    same(one._replace(world=(), key=()), two._replace(world=()))

    resumed = FusedFleet(chosen, walk(), 4, (7, 8))
    path, manifest = checkpoint.newest(tmp_path)
    resumed.restore(checkpoint.read(path, manifest, [resumed.snapshot(i) for i in range(2)]))
    resumed.take_tallies()
    resumed.advance(11)
    for i in range(2):
        same(straight.snapshot(i), resumed.snapshot(i))


def test_seeds_in_lanes_share_the_clock_of_a_sibling():
    engine = fused(siblings("hard:3"), walk(), 4, jax.devices()[:1], lanes=2)
    state = engine.advance(engine.warm_up(engine.init([4, 5]), 2), 9)
    same(state.twin.sibling_variables.params["one"], state.twin.online.params["one"])


# Sequences


def ended_stream(random, length):
    """The `last` and the discount of one environment's steps: episodes of 1 to 7 steps, some truncated."""
    last, discount = np.zeros(length, bool), np.ones(length, np.float32)
    t = -1
    while (t := t + int(random.integers(1, 8))) < length:
        last[t], discount[t] = True, random.integers(0, 2)
    return last, discount


def stream_of(envs, length, seed):
    """Streams [T, N]; an observation is (environment, how many-th step), the next one half a step later."""
    random = np.random.default_rng(seed)
    time, number = np.meshgrid(np.arange(length), np.arange(envs), indexing="ij")
    obs = np.stack([number, time], axis=-1).astype(np.float32)
    last, discount = (
        np.stack(c, axis=1) for c in zip(*[ended_stream(random, length) for _ in range(envs)], strict=True)
    )
    action = random.integers(0, 4, last.shape).astype(np.int32)
    return Timestep(obs, action, time.astype(np.float32), discount, obs + np.float32([0, 0.5]), last)


def slow_sequence(data, time, number, steps):
    """What `Sequences` says of the step at (time, number), by walking; None where the episode is over."""
    walked = [(data.obs[time, number], None)]
    for t in range(time, time + steps):
        walked.append((data.next_obs[t, number], data.action[t, number]))
        if data.last[t, number]:
            break
    return walked + [None] * (steps + 1 - len(walked))


def check_sequences(batch, data, steps):
    obs, action, mask = (np.asarray(x).reshape(-1, *x.shape[2:]) for x in (batch.obs, batch.action, batch.mask))
    for row, did, goes_on, first in zip(
        obs, action, mask, np.asarray(batch.transition.obs).reshape(-1, 2), strict=True
    ):
        np.testing.assert_array_equal(first, row[0])
        for k, expected in enumerate(slow_sequence(data, int(first[1]), int(first[0]), steps)):
            if k:
                assert goes_on[k - 1] == (expected is not None)
            if expected is not None:
                np.testing.assert_array_equal(row[k], expected[0])
                assert k == 0 or did[k - 1] == expected[1]


EXAMPLE = Timestep(
    *(
        jax.ShapeDtypeStruct(shape, kind)
        for shape, kind in (
            ((2,), "float32"),
            ((), "int32"),
            ((), "float32"),
            ((), "float32"),
            ((2,), "float32"),
            ((), "bool"),
        )
    )
)


@pytest.mark.parametrize(("envs", "capacity", "n_step"), [(1, 29, 1), (3, 30, 2), (3, 31, 6)])
def test_sequences_are_what_a_walk_through_the_streams_finds(envs, capacity, n_step):
    """With random ends, around the ring three times: no episode's end, no write head and no other stream is crossed."""
    steps, length = 4, 3 * capacity // envs + 5
    replay = ring(capacity, 8, 0.9, n_step, sequence=steps)
    state = replay.init(EXAMPLE, Cycle(envs, envs, 1, 1, steps * max(n_step, steps)))
    data = stream_of(envs, length, seed=capacity)
    add, draw = jax.jit(replay.add), jax.jit(jax.vmap(replay.sample, in_axes=(None, 0, None)))
    for t in range(length):
        state = add(state, jax.tree.map(lambda column: column[t : t + 1], data))
        if t + 1 in (max(n_step, steps), capacity // envs + 3, length):
            batch = draw(state, jax.random.split(jax.random.key(t), 40), 0)
            check_sequences(batch, data, steps)
            oldest = max(0, (t + 1) * envs - capacity)
            drawn = {int(time) * envs + int(number) for number, time in np.asarray(batch.obs[:, :, 0]).reshape(-1, 2)}
            held = set(range(oldest, (t + 2 - max(n_step, steps)) * envs))
            assert drawn <= held
            assert len(drawn) > 0.9 * len(held)


def test_sequences_of_steps_that_come_in_ragged_order():
    """A row spent on each reset, as Gymnasium's vector environments do: the linked ring's sequences, and a stream that
    broke off without an end, as environments made anew at a checkpoint leave it."""
    envs, steps, capacity, length = 3, 4, 41, 60
    data = stream_of(envs, length, seed=3)
    broken = 30  # every stream begins anew here
    order, behind, newest = [], [], [None] * envs
    waiting, at = [False] * envs, [0] * envs
    while min(at) < length:
        for n in range(envs):
            if waiting[n] or at[n] >= length:
                waiting[n] = False
                continue
            same_episode = newest[n] is not None and at[n] != broken
            behind.append(len(order) - newest[n] if same_episode else 0)
            newest[n] = None if data.last[at[n], n] else len(order)
            waiting[n] = bool(data.last[at[n], n])
            order.append((at[n], n))
            at[n] += 1
    cut = data._replace(last=data.last.copy())
    cut.last[broken - 1] = True  # what the walk is to see
    replay = ring(capacity, 8, 0.9, 1, sequence=steps).ragged()
    state = replay.init(EXAMPLE, Cycle(envs, envs, 1, 1, steps))
    add, draw = jax.jit(replay.add), jax.jit(jax.vmap(replay.sample, in_axes=(None, 0, None)))
    for first in range(0, len(order) - envs, envs):
        rows = [order[i] for i in range(first, first + envs)]
        step = jax.tree.map(lambda column: np.stack([column[t, n] for t, n in rows])[None], data)
        state = add(state, Linked(step, np.int32([behind[first : first + envs]])))
        if first in (4 * envs, 14 * envs, 28 * envs, 33 * envs):
            check_sequences(draw(state, jax.random.split(jax.random.key(first), 40), 0), cut, steps)


def test_memories_for_sequences_that_make_no_sense_are_refused():
    with pytest.raises(Refusal, match="5-step sequences of 3 environments need 15"):
        ring(99, 4, sequence=5).init(EXAMPLE, Cycle(3, 3, 1, 1, 0))


# Losses, against transcriptions in numpy

VECTOR = EnvSpec("test:vector", (3,), "float32", 4)
IMAGE = EnvSpec("test:image", (5, 4, 2), "float32", 3)
RANDOM = np.random.default_rng(11)


def of(spec, method, steps=3, **more):
    net = "minatar" if len(spec.obs_shape) == 3 else "mlp:6,5"
    more = {"warmup": 0, "replay": 100, "batch": 7, "self_predict_steps": steps, **more}
    return Config("test", net=net, self_predict=method, **more)


def problem(spec, c, batch=7):
    """The algorithm, a twin whose networks differ in every number, and a batch."""
    chosen, steps = algorithm(spec, c), c.self_predict_steps
    shapes = jax.eval_shape(chosen.agent.init, jax.random.key(0))
    draw = lambda leaf: jnp.asarray(RANDOM.normal(scale=0.6, size=leaf.shape), jnp.float32)  # noqa: E731
    online = Variables(jax.tree.map(draw, shapes.params), {})
    pair = twin(online, chosen.rates.target_update, parts=chosen.target_parts, sibling=chosen.sibling)
    kept = {
        field: Variables(jax.tree.map(draw, getattr(pair, field).params), {})
        for field in ("target_variables", "sibling_variables")
        if getattr(pair, field) is not None
    }
    numbers_of = lambda *shape: jnp.asarray(RANDOM.normal(size=shape), jnp.float32)  # noqa: E731
    obs, action = numbers_of(batch, steps + 1, *spec.obs_shape), RANDOM.integers(0, spec.num_actions, (batch, steps))
    action = jnp.asarray(action, jnp.int32)
    plain = Transition(obs[:, 0], action[:, 0], numbers_of(batch), jnp.full(batch, 0.9), obs[:, 1])
    goes_on = jnp.asarray(np.arange(steps)[None] < RANDOM.integers(1, steps + 1, (batch, 1)), jnp.float32)
    data = plain if c.self_predict == "curl" else Sequences(plain, obs, action, goes_on)
    return chosen, dataclasses.replace(pair, **kept), data, plain


def relu(x):
    return np.maximum(x, 0)


def conv(x, kernel, bias, pad):
    """A 3x3 convolution as its definition reads."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = np.zeros((x.shape[0], x.shape[1] - 2, x.shape[2] - 2, kernel.shape[-1]))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            out[:, i, j] = np.einsum("bhwc,hwco->bo", x[:, i : i + 3, j : j + 3], kernel)
    return out + bias


def layer(p, x, pad=1):
    return conv(x, p["kernel"], p["bias"], pad) if p["kernel"].ndim == 4 else x @ p["kernel"] + p["bias"]


def encoded(q, x):
    if "conv" in q:
        return relu(layer(q["conv"], x, pad=0))
    for i in range(len(q["hidden"])):
        x = relu(layer(q["hidden"][i], x))
    return x


def rescaled(z):
    rows = z.reshape(len(z), -1)
    rows = rows - rows.min(axis=1, keepdims=True)
    return (rows / np.maximum(rows.max(axis=1, keepdims=True), 1e-6)).reshape(z.shape)


def rolled(p, z, action, actions):
    planes = np.zeros((*z.shape[:-1], actions))
    for b, a in enumerate(action):
        planes[b, ..., a] = 1
    x = relu(layer(p["first"], np.concatenate([z, planes], axis=-1)))
    axes = tuple(range(x.ndim - 1))
    x = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5) * p["scale"] + p["bias"]
    return rescaled(relu(layer(p["second"], x)))


def spr_loss(online, sibling, data, actions):
    """Schwarzer et al. (2021), equations 1 to 4."""
    z, total = rescaled(encoded(online["q"], data.obs[:, 0])), 0.0
    for k in range(data.action.shape[1]):
        z = rolled(online["model"], z, data.action[:, k], actions)
        y = layer(online["predictor"], layer(online["projector"], z.reshape(len(z), -1)))
        future = rescaled(encoded(sibling["q"], data.obs[:, k + 1]))
        t = layer(sibling["projector"], future.reshape(len(z), -1))
        cos = np.sum(y * t, axis=1) / np.linalg.norm(y, axis=1) / np.linalg.norm(t, axis=1)
        total = total - cos * data.mask[:, k]
    return total.mean()


def curl_loss(online, sibling, obs):
    """Laskin et al. (2020), equation 4, with the logits of the released code for Atari."""

    def projected(p):
        x = layer(p["projector"]["layers"][0], encoded(p["q"], obs).reshape(len(obs), -1))
        norm = p["projector"]["layers"][1]
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
        return x * norm["scale"] + norm["bias"]

    logits = 0.1 * projected(online) @ online["product"]["kernel"] @ projected(sibling).T
    return -np.mean([row[i] - np.log(np.exp(row).sum()) for i, row in enumerate(logits)])


@pytest.mark.parametrize(
    ("spec", "method", "steps"),
    [(VECTOR, "byol", 3), (VECTOR, "simsiam", 1), (IMAGE, "byol", 2), (VECTOR, "curl", 1), (IMAGE, "curl", 1)],
)
def test_the_losses_are_the_papers(spec, method, steps):
    c = of(spec, method, steps)
    chosen, pair, data, plain = problem(spec, c)
    key = jax.random.key(0)
    loss, aux = jax.jit(chosen.agent.loss)(pair, data, key)
    double = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)  # noqa: E731
    online = double(pair.online.params)
    sibling = online if method == "simsiam" else double(pair.sibling_variables.params)
    if method == "curl":
        expected = curl_loss(online, sibling, double(plain.obs))
    else:
        kept = Sequences(None, double(data.obs), np.asarray(data.action), double(data.mask))
        expected = spr_loss(online, sibling, kept, spec.num_actions)
    assert float(aux.self_loss) == pytest.approx(expected, rel=1e-4, abs=1e-5)

    alone = algorithm(spec, dataclasses.replace(c, self_predict=""))
    q_loss, _ = jax.jit(alone.agent.loss)(pair.part("q"), plain, key)
    weight = 1.0 if method == "curl" else 2.0
    assert float(loss) == pytest.approx(float(q_loss) + weight * expected, rel=1e-4, abs=1e-5)
    half = algorithm(spec, dataclasses.replace(c, self_predict_weight=0.5))
    assert float(jax.jit(half.agent.loss)(pair, data, key)[0]) == pytest.approx(
        float(q_loss) + 0.5 * expected, rel=1e-4
    )


@pytest.mark.parametrize("method", ["byol", "curl"])
def test_the_gradient_reaches_every_part_but_no_target(method):
    chosen, pair, data, _ = problem(VECTOR, of(VECTOR, method))

    def loss(online, target_variables, sibling):
        changed = dataclasses.replace(pair, online=online, target_variables=target_variables, sibling_variables=sibling)
        return chosen.agent.loss(changed, data, jax.random.key(0))[0]

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(pair.online, pair.target_variables, pair.sibling_variables)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slopes[0].params["q"]))
    for part, slope in slopes[0].params.items():
        assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slope)), part
    assert not any(np.abs(leaf).any() for leaf in jax.tree.leaves(slopes[1:]))
    assert set(pair.target_variables.params) == {"q"}
    assert set(pair.sibling_variables.params) == {"q", "projector"}


def test_what_comes_after_an_episode_s_end_is_no_target():
    chosen, pair, data, _ = problem(VECTOR, of(VECTOR, "byol"))
    other = jnp.where(data.mask[:, :, None] > 0, data.obs[:, 1:], 7.0)
    changed = data._replace(obs=jnp.concatenate([data.obs[:, :1], other], axis=1))
    loss = jax.jit(chosen.agent.loss)
    assert (data.mask == 0).any()
    assert float(loss(pair, data, jax.random.key(0))[0]) == float(loss(pair, changed, jax.random.key(0))[0])


def test_an_augmentation_moves_each_image_by_itself_and_nothing_else():
    view = views(of(IMAGE, "byol", augment="shift:1"), IMAGE)
    images = jnp.arange(64 * 5 * 4 * 2, dtype=jnp.uint8).reshape(64, 5, 4, 2)
    moved = view(jax.random.key(0), images)
    assert moved.dtype == images.dtype
    padded = np.pad(np.asarray(images), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    seen = set()
    for image, whole in zip(np.asarray(moved), padded, strict=True):
        places = [(i, j) for i in range(3) for j in range(3) if (whole[i : i + 5, j : j + 4] == image).all()]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 9
    same(views(of(VECTOR, "byol"), VECTOR)(jax.random.key(0), images), images)


# Runs


def test_a_probe_is_still_learned_to_its_exact_values():
    name, c = "discounting", Config(
        "probe", agent="dqn", net="mlp:32", discount=0.9, loss="mse", learning_rate=3e-3, collect=16, regress=4,
        target="hard:20", warmup=0, replay=1000, batch=32, explore="1", envs=4, steps=12_000, self_predict="byol",
        self_predict_steps=2,
    )  # fmt: skip
    spec = DISCRETE[name]
    chosen = algorithm(spec, c)
    engine = fused(chosen, probe(name), c.envs)
    state = engine.advance(engine.init([0]), plan(chosen.rates, c.envs, c.steps).cycles)
    obs, action, exact = (np.array(column) for column in zip(*exact_q(name, c.discount), strict=True))
    variables = jax.tree.map(lambda leaf: leaf[0], state.twin.online.part("q"))
    came = np.asarray(q_network(spec, c.net).apply(variables, jnp.asarray(obs)))[np.arange(len(action)), action]
    np.testing.assert_allclose(came, exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("home", ["fused", "hosted"])
def test_the_compiled_engines_hold_no_copy_of_the_replay(home):
    c = Config("CartPole-v1", net="mlp:8", replay=12_341, warmup=60, self_predict="byol", self_predict_steps=3)
    if home == "fused":
        spec = resolve("CartPole-v1")
        engine = fused(algorithm(spec, c), jax_env(spec), c.envs)
        text = engine.advance_program.lower(engine.init([0]), jnp.int32(1), jnp.int32(1)).compile().as_text()
    else:
        spec = resolve("gym:CartPole-v1")
        chosen = algorithm(spec, c)
        turn = cycle_of(chosen.rates, c.envs)
        run, key = programs(chosen, spec, turn, True, "cpu"), jax.random.key(0)
        flat = np.zeros((turn.vector_steps, c.envs), np.float32)
        obs = np.zeros((*flat.shape, 4), np.float32)
        step = Timestep(obs, flat.astype(np.int32), flat, flat, obs, flat.astype(bool))
        chunk = Linked(step, flat.astype(np.int32))
        text = run.learn.lower(run.start(key)._replace(key=()), key, chunk, np.int32(1)).compile().as_text()
    assert re.search(rf"\[(1,)?{c.replay}[,\]]", text), "the replay is in there"
    assert not re.findall(rf"= \S*\[(?:1,)?{c.replay}[^=]*? copy(?:-start|-done)?\(.*", text)


def test_a_run_exports_the_plain_network_and_logs_the_loss(tmp_path, capsys):
    out = tmp_path / "run"
    words = "--net mlp:16 --warmup 100 --replay 500 --batch 8 --eval-episodes 2 --quiet --steps 600 --log-points 2"
    words = f"train CartPole-v1 --self-predict curl {words} --out {out}"
    assert main(words.split()) == 0
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["self_predict_target"] == "soft:0.001"
    assert summary["self_predict_target_updates"] == summary["gradient_steps"] == 50
    points = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(0 < point["self_loss"][0] < 10 for point in points)
    assert set(load_file(out / "policy" / "seed-0.safetensors")) == {
        "hidden.0.kernel", "hidden.0.bias", "head.kernel", "head.bias",
    }  # fmt: skip
    assert qtwin.load(out)(np.zeros(4)) in (0, 1)
    assert main(["eval", str(out), "--episodes", "2"]) == 0
    assert "seed 0:" in capsys.readouterr().out


REFUSED = [
    ("CartPole-v1 --self-predict simsam", "did you mean 'simsiam'?"),
    ("Pendulum-v1 --self-predict byol", "the agent sac came"),
    ("CartPole-v1 --agent online_q --self-predict byol", "--agent dqn"),
    ("CartPole-v1 --agent sac --self-predict byol", "--agent dqn"),
    ("CartPole-v1 --replay 0 --batch 1 --self-predict byol", "--replay 10000"),
    ("CartPole-v1 --net linear --self-predict byol", "--net mlp:120,84"),
    ("FrozenLake-v1 --net table --self-predict byol", "an encoder"),
    ("minatar:Breakout --net linear --self-predict byol", "--net minatar"),
    ("CartPole-v1 --net mlp:8+batchnorm --self-predict byol", "+layernorm"),
    ("CartPole-v1 --normalise running --self-predict byol", "leave it out"),
    ("CartPole-v1 --self-predict-target soft:0.01", "--self-predict simsiam"),
    ("CartPole-v1 --self-predict-steps 3", "--self-predict simsiam"),
    ("minatar:Breakout --augment shift:1", "--self-predict simsiam"),
    ("CartPole-v1 --self-predict byol --self-predict-target soft:0.99", "soft:0.01"),
    ("CartPole-v1 --self-predict byol --self-predict-target until:0.1/50", "soft:0.01 or tied"),
    ("CartPole-v1 --self-predict byol --self-predict-steps 0", "--self-predict-steps"),
    ("CartPole-v1 --self-predict byol --self-predict-steps 2000", "a cycle with 10 environments needs 20000"),
    ("CartPole-v1 --self-predict byol --self-predict-steps 50 --warmup 0", "--warmup 500"),
    ("CartPole-v1 --self-predict byol --self-predict-weight heavy", "--self-predict-weight"),
    ("CartPole-v1 --self-predict byol --augment shift:1", "moves images"),
    ("minatar:Breakout --net minatar --self-predict byol --augment shft:1", "shift"),
    ("minatar:Breakout --net minatar --self-predict byol --augment shift:0", "write shift:4"),
    ("minatar:Breakout --net minatar --self-predict byol --augment shift:10", "shift:1"),
    ("CartPole-v1 --agent fqi --data x.safetensors --self-predict byol", "leave one out"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[words for words, _ in REFUSED])
def test_a_wrong_request_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words.split()]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("qtwin: ")
    assert told.err.count("\n") == 1
    assert says in told.err
    assert not list(tmp_path.iterdir())


def test_refusals_and_rates_do_not_import_jax(tmp_path):
    requests = [["train", *words.split()] for words, _ in REFUSED]
    code = f"""
import sys
from qtwin.cli import main
assert [main(words) for words in {requests!r}] == [2] * {len(requests)}
assert main(["rates", "--preset", "spr", "curl"]) == 0
heavy = [name for name in ("jax", "flax", "optax") if name in sys.modules]
assert not heavy, heavy
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
