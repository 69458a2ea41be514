"""The fused engine: exact counters, many seeds, no copy of the replay, stop and resume."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import counting, little_dqn, tick, walk

from qtwin import rng
from qtwin.agents.catalog import algorithm
from qtwin.config.config import Config
from qtwin.engine.fleet_base import FleetBase
from qtwin.engine.fused import fused, in_one_program, new_state
from qtwin.engine.fused_fleet import FusedFleet
from qtwin.engine.played import Played
from qtwin.engine.spread import lanes_for
from qtwin.envs.catalog import resolve
from qtwin.envs.make import jax_env
from qtwin.processes.collect import collect
from qtwin.rates import Rates, cycle_of
from qtwin.run import checkpoint
from qtwin.target_update.rules import hard
from qtwin.target_update.specs import parse


@pytest.mark.parametrize("rates", [(1, 1, 1), (4, 1, 2500), (10, 1, 50), (7, 3, 11), (256, 128, 10)])
@pytest.mark.parametrize("envs", [1, 3, 8, 10, 64])
def test_law_2_counters_are_exactly_what_the_ratios_say(envs, rates):
    """For any number of environments: collected : regressed : moved, read off the running engine's own clock."""
    collect, regress, every = rates
    engine = fused(counting(Rates(collect, regress, hard(every)), 20_000), tick(), envs)
    state, cycles = engine.init([0]), 0
    for more in (1, 2, 5):
        state, cycles = engine.advance(state, more), cycles + more
        transitions, gradient_steps, moves, age = (int(count[0]) for count in state.clock)
        assert transitions == cycles * engine.turn.transitions
        assert transitions % envs == 0
        assert gradient_steps * collect == transitions * regress
        assert moves == gradient_steps // every
        assert age == gradient_steps % every
        assert int(state.replay.size[0]) == min(transitions, 20_000)


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


def test_each_seed_is_the_same_alone_and_among_others_bit_for_bit():
    def fleet_of(seeds):
        fleet = FusedFleet(little_dqn(), walk(), 4, seeds)
        fleet.warm_up(2)
        fleet.advance(50)
        return fleet

    together = fleet_of((4, 5, 6))  # on two devices: a group of two, and one filled up
    for i, seed in enumerate((4, 5, 6)):
        alone = fleet_of((seed,))
        jax.tree.map(np.testing.assert_array_equal, together.snapshot(i), alone.snapshot(0))
        np.testing.assert_array_equal(together.evaluate(9)[i], alone.evaluate(9)[0])
    assert together.evaluate(9).shape == (3, 10)


def test_seeds_side_by_side_in_lanes_share_one_clock():
    """As on an accelerator: mapped on one device, the conditional on the clock still a conditional."""
    engine = fused(little_dqn(), walk(), 4, jax.devices()[:1], lanes=3)
    state = engine.advance(engine.warm_up(engine.init([4, 5, 6]), 2), 50)
    assert state.clock.transitions.shape == (1,)
    assert [int(count[0]) for count in state.clock] == [208, 50, 10, 0]
    alone = fused(little_dqn(), walk(), 4)
    one = alone.advance(alone.warm_up(alone.init([5]), 2), 50)
    np.testing.assert_allclose(
        state.twin.online.params["one"][1], one.twin.online.params["one"][0], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("spec", "together"),
    [("hard:5", 4), ("averaged:2:5", 4), ("chain:2:6/4", 4), ("until:0.5/20", 1), ("last-layer:until:0.5/20", 1)],
)
def test_seeds_share_a_device_where_their_targets_move_together(spec, together):
    """A rule that looks at the loss moves each seed's target at its own time, in whatever it is wrapped."""
    shared = parse(spec).shared_clock
    assert lanes_for(7, 2, "gpu", shared) == together
    assert lanes_for(7, 2, "cpu", shared) == 1


def test_what_fleets_do_alike_needs_no_engine():
    class Fleet(FleetBase):
        _part = _clock = _without_tally = _draw_probes = _read_groups = None  # not asked for here

        def _play(self, count):
            return [Played(np.full(2, k + count), np.array([k == 1, True])) for k in range(len(self.seeds))]

    fleet = Fleet((3, 4), "nowhere", None, 5)
    assert (fleet.cut(), fleet.judged()) == ([0, 0], [None, None])  # nothing has been played yet
    assert fleet.evaluate(7).tolist() == [[7, 7], [8, 8]]
    assert (fleet.cut(), fleet.judged()) == ([1, 2], [None, None])


def compiled_text(config, envs):
    spec = resolve(config.env)
    engine = fused(algorithm(spec, config), jax_env(spec), envs)
    return engine.advance_program.lower(engine.init([0]), jnp.int32(1), jnp.int32(1)).compile().as_text()


MINATAR = Config("minatar:Breakout", net="minatar", replay=12_340, warmup=0, collect=1, envs=1, batch=32)


def replay_copies(text, capacity):
    return re.findall(rf"= \S*\[(?:1,)?{capacity}[^=]*? copy(?:-start|-done)?\(.*", text)


@pytest.mark.parametrize(
    "config",
    [
        Config("CartPole-v1", replay=12_340, warmup=0),
        Config("CartPole-v1", replay=12_340, warmup=100, n_step=3),
        Config("CartPole-v1", replay=12_341, warmup=0),  # a size that the environments do not divide
        Config("CartPole-v1", replay=12_340, warmup=0, collect=40, regress=4),
        MINATAR,
        Config("CartPole-v1", replay=12_340, warmup=100, n_step=3, prioritise="0.6:0.4"),
    ],
    ids=["dqn", "n-step", "odd-size", "many", "minatar", "prioritised"],
)
def test_the_compiled_loop_holds_no_copy_of_the_replay(config):
    text = compiled_text(config, config.envs)
    assert re.search(rf"\[(1,)?{config.replay}[,\]]", text), "the replay is in there"
    assert not replay_copies(text, config.replay)
    if config.prioritise:
        assert re.search(r"\[(1,)?97,128\]", text), "and so is its tree, 97 rows of 128 leaves"
        assert not replay_copies(text, 97)


def test_the_look_for_copies_finds_them_where_they_are():
    """With a constant number of gradient steps XLA drops the inner loop, and copies the replay at every cycle."""
    config = MINATAR
    spec = resolve(config.env)
    dqn, env = algorithm(spec, config), jax_env(spec)
    turn = cycle_of(dqn.rates, config.envs)
    turn_once = in_one_program(dqn, turn, collect(dqn, env, config.envs, turn.vector_steps))
    state = new_state(dqn, env, turn, rng.root(0))
    program = jax.jit(lambda s, n: jax.lax.fori_loop(0, n, lambda _, s: turn_once(s, 1), s), donate_argnums=0)
    assert replay_copies(program.lower(state, 5).compile().as_text(), config.replay)


def test_law_8_stop_and_resume_is_never_stopped(tmp_path):
    """Simple form: save, load into a fresh engine, go on; every byte of the whole state as if nothing had happened."""
    straight = FusedFleet(little_dqn(n_step=3), walk(), 4, (0, 1))
    straight.warm_up(2)
    straight.advance(30)
    states = [straight.snapshot(i) for i in range(2)]
    checkpoint.write(tmp_path, 30, 0, straight.seeds, states)
    straight.advance(33)

    resumed = FusedFleet(little_dqn(n_step=3), walk(), 4, (0, 1))
    path, manifest = checkpoint.newest(tmp_path)
    assert manifest["cycles"] == 30
    resumed.restore(checkpoint.read(path, manifest, [resumed.snapshot(i) for i in range(2)]))
    resumed.advance(33)
    for i in range(2):
        jax.tree.map(np.testing.assert_array_equal, straight.snapshot(i), resumed.snapshot(i))


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    fleet = FusedFleet(little_dqn(), walk(), 4, (0,))
    for cycles in (1, 2, 3):
        fleet.advance(1)
        checkpoint.write(tmp_path, cycles, cycles, fleet.seeds, [fleet.snapshot(0)])
    assert len(list(tmp_path.iterdir())) == 2, "the newest two are kept"
    file = tmp_path / "cycle-000000000003" / "seed-0.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    assert checkpoint.newest(tmp_path)[1]["cycles"] == 2


def test_the_budget_is_kept_in_two_halves_or_one():
    """How a run is cut into pieces changes nothing: 1 + 2 + 7 cycles are 10 cycles."""
    engine = fused(little_dqn(), walk(), 4)
    one = engine.advance(engine.init([0]), 10)
    two = engine.init([0])
    for cycles in (1, 2, 7):
        two = engine.advance(two, cycles)
    jax.tree.map(np.testing.assert_array_equal, numbers(one._replace(key=())), numbers(two._replace(key=())))
