"""Law 10: what a caller hands in has everything that a built-in thing has. Laws 7 and 8 for it too."""

import dataclasses
import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.vector import SyncVectorEnv
from own_things import OwnLinen, OwnNetwork, Walk, algorithm, jax_walk, own_dqn

import qtwin
from qtwin.cli import main
from qtwin.envs.handed_in import handed_in
from qtwin.lab.compare import _tell_here
from qtwin.lab.grid import Protocol, cells_of
from qtwin.lab.here import Here
from qtwin.lab.python import _call as call_of
from qtwin.lab.python import _names as names_of
from qtwin.request.train import build
from qtwin.run.train import _told

ROOT = Path(__file__).parents[1]
KW = {"steps": 400, "envs": 4, "log_points": 2, "eval_episodes": 3, "quiet": True, "eval_max_steps": 30}
LITTLE = {"net": "mlp:8", "warmup": 40, "replay": 400, "batch": 8, "collect": 4, "target": "hard:10"}
OBS = np.array([1.0, 4.0], np.float32)


def leaves(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def by_hand():
    spec = importlib.util.spec_from_file_location("dqn_by_hand", ROOT / "examples" / "dqn_by_hand.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.algorithm


@pytest.mark.parametrize("env", ["CartPole-v1", "gym:CartPole-v1"])
def test_dqn_put_together_by_hand_has_the_bits_of_the_agent_dqn(env):
    """``examples/dqn_by_hand.py`` beside ``--agent dqn`` with the same settings, fused and hosted."""
    shared = {"steps": 1_500, "envs": 10, "log_points": 2}
    same = {"net": "mlp:128", "learning_rate": 1e-3, "loss": "mse", "warmup": 1_000, "explore": "1:0.05:50000"}
    ends = []
    for agent, settings in ((by_hand(), {}), ("dqn", same)):
        with qtwin.session(env, agent=agent, **shared, **settings) as session:
            session.advance_to(1_500)
            online, target = session.twin.online.params, session.twin.target.params
            ends.append((leaves(online["head"]), leaves(target["head"]), session.metrics[-1]["loss"]))
    assert ends[0] == ends[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of an algorithm and an environment of the caller's own."""
    out = tmp_path_factory.mktemp("own") / "run"
    return qtwin.train(Walk, agent=algorithm(), out=out, diagnose=1, **KW)


def test_an_algorithm_of_the_callers_own_has_all_that_a_built_in_one_has(whole):
    assert whole.summary["env"] == "own:Walk"
    assert whole.summary["agent"] == "own:algorithm"
    assert whole.summary["target"] == "hard:10"
    assert whole.summary["target_updates"] == whole.summary["gradient_steps"] // 10
    assert len(whole.eval_return) == 1
    assert "own:Walk" in repr(whole)
    for name in ("config.json", "metrics.jsonl", "curve.png", "policy/policy.json", "tensorboard", "checkpoints"):
        assert (whole.path / name).exists(), name
    point = whole.points[-1]
    assert {"value_gap", "greedy_gap", "churn", "over_estimation", "probe_distance"} <= set(point), sorted(point)
    config = json.loads((whole.path / "config.json").read_text())
    assert config["config"]["batch"] == 8
    assert config["config"]["discount"] == 0.9
    assert "learning_rate" not in config["config"], "of an Algorithm that is not known"
    assert config["own"]["modules"] == {"env": "own_things", "agent": ""}


def test_its_policy_is_loaded_with_the_algorithm(whole):
    policy = qtwin.load(whole, agent=algorithm())
    assert policy(OBS) in (0, 1)
    assert policy(np.stack([OBS, OBS])).shape == (2,)
    assert policy(OBS) == int(np.argmax(policy.values(OBS)))
    assert policy.predict(OBS) == (policy(OBS), None)
    newest = sorted((whole.path / "checkpoints").glob("cycle-*"))[-1]
    again = qtwin.load(newest, agent=algorithm(), env=Walk)
    assert leaves(again.variables) == leaves(policy.variables)
    with pytest.raises(qtwin.Refusal, match=r"hand it in again: qtwin.load\(run, agent=algorithm\)"):
        qtwin.load(whole)
    with pytest.raises(
        qtwin.Refusal, match=r"'head.kernel' is float32\[8, 2\] .*'hidden.0.bias' is .*'hidden.0.kernel' is"
    ):
        qtwin.load(whole, agent=algorithm(qtwin.from_nnx(lambda rngs: OwnNetwork(rngs, width=9))))


def test_the_command_line_says_what_it_cannot_know(whole, capsys):
    assert main(["eval", str(whole.path)]) == 2
    assert "handed in from Python, Walk" in capsys.readouterr().err
    assert main(["train", "CartPole-v1", "--resume", "--out", str(whole.path)]) == 2
    assert "handed in" in capsys.readouterr().err
    assert main(["train", "own:Walk"]) == 2
    assert "handed in from Python" in capsys.readouterr().err
    for option, name in (("--agent", "own:algorithm"), ("--net", "own:net"), ("--target", "own:mine")):
        assert main(["train", "CartPole-v1", option, name]) == 2
        assert "handed in from Python" in capsys.readouterr().err


def test_resumed_it_asks_for_what_no_file_holds(whole):
    out = str(whole.path)
    with pytest.raises(qtwin.Refusal, match="hand it in again, as env=Walk"):
        qtwin.train(out=out, resume=True, agent=algorithm())
    with pytest.raises(qtwin.Refusal, match="hand it in again, as agent=algorithm"):
        qtwin.train(Walk, out=out, resume=True)
    slower = algorithm(rates=qtwin.Rates(collect=8, regress=1, target_update=qtwin.hard(10), warmup=40))
    with pytest.raises(qtwin.Refusal, match="collect 4, not 8"):
        qtwin.train(Walk, out=out, resume=True, agent=slower)
    other = algorithm(qtwin.from_nnx(lambda rngs: OwnNetwork(rngs, width=9)))
    with pytest.raises(qtwin.Refusal, match=r"float32\[2, 8\] and this run has float32\[2, 9\]"):
        qtwin.train(Walk, out=out, resume=True, agent=other, steps=800, quiet=True)


def test_what_cannot_be_compared_is_announced_or_covered_by_a_version(tmp_path, capsys):
    kw = KW | {"agent": algorithm(), "out": tmp_path / "run"}
    qtwin.train(jax_walk(), **kw, version="1")
    kw |= {"resume": True, "steps": 440, "quiet": False}
    with pytest.raises(qtwin.Refusal, match="began with version '1' of own:JaxWalk and own:algorithm"):
        qtwin.train(jax_walk(), **kw, version="2")
    capsys.readouterr()
    qtwin.train(jax_walk(), **kw, version="1")
    assert "cannot be checked" not in capsys.readouterr().err
    kw["out"] = tmp_path / "without"
    qtwin.train(jax_walk(), **kw | {"resume": False, "steps": 400})
    qtwin.train(jax_walk(), **kw)
    assert "whether own:JaxWalk and own:algorithm is still" in capsys.readouterr().err


KILLED = """
import sys
sys.path.insert(0, {tests!r})
import qtwin
from own_things import Walk, algorithm, jax_walk
env = {env}
qtwin.train(env, agent=algorithm(), out={out!r}, resume={resume}, steps={steps}, envs=4, log_points=4, eval_episodes=3,
            checkpoints="every:200", quiet=True, eval_max_steps=30)
"""


@pytest.mark.parametrize("env", ["Walk", "jax_walk()"])
def test_law_8_after_kill_9_it_goes_on_as_if_never_stopped(env, tmp_path):
    def script(out, steps, resume=False):
        told = KILLED.format(tests=str(ROOT / "tests"), env=env, out=str(out), resume=resume, steps=steps)
        return [sys.executable, "-c", told]

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    out, steps = tmp_path / "killed", 4_000_000
    process = subprocess.Popen(script(out, steps), env=environment)
    until = time.monotonic() + 120
    while len(list(out.glob("checkpoints/cycle-*"))) < 2 and time.monotonic() < until:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = sorted(out.glob("checkpoints/cycle-*"))[-1]
    done = int(newest.name[6:]) * 4 + 40
    goal = done + 400
    kw = {"agent": algorithm(), "envs": 4, "log_points": 4, "eval_episodes": 3, "checkpoints": "every:200"}
    kw |= {"quiet": True, "eval_max_steps": 30, "steps": goal}
    thing = Walk if env == "Walk" else jax_walk()
    resumed = qtwin.train(thing, out=out, resume=True, **kw)
    never = qtwin.train(thing, out=tmp_path / "whole", **kw)
    ends = [qtwin.load(run, agent=algorithm()) for run in (resumed, never)]
    assert leaves(ends[0].variables) == leaves(ends[1].variables)
    assert resumed.summary["transitions"] == never.summary["transitions"] >= goal
    np.testing.assert_array_equal(resumed.eval_return, never.eval_return)


def test_law_7_an_environment_in_jax_learns_the_same_in_both_engines():
    ends = []
    for engine in ("fused", "hosted"):
        with qtwin.session(jax_walk(), agent=algorithm(), engine=engine, steps=400, envs=4) as session:
            session.advance_to(400)
            ends.append(leaves(session.twin.online))
    assert ends[0] == ends[1]


def several(n):
    return SyncVectorEnv([lambda: Walk(goal=3)] * n, autoreset_mode="SameStep")


def test_every_way_to_hand_an_environment_in_learns_the_same():
    """A class, a function, N of them, a registered id with arguments, an instance: one environment."""
    gym.register("OwnWalk-v0", Walk)
    try:
        ways = {
            "class": {"env": Walk, "env_kwargs": {"goal": 3}},
            "function": {"env": lambda: Walk(goal=3)},
            "partial": {"env": functools.partial(Walk, goal=3)},
            "vector": {"env": qtwin.vector(several)},
            "host": {"env": qtwin.vector(lambda n: qtwin.from_vector(several(n)))},
            "id": {"env": "gym:OwnWalk-v0", "env_kwargs": {"goal": 3}},
            "instance": {"env": gym.make("OwnWalk-v0", goal=3)},
        }  # fmt: skip
        found, names = {}, {}
        made = algorithm()
        for way, given in ways.items():
            with qtwin.session(**given, agent=made, steps=80, envs=2) as session:
                session.advance_to(80)
                found[way], names[way] = leaves(session.twin.online), session.policy().spec.id
        assert len(set(map(tuple, found.values()))) == 1, names
        assert names["instance"] == names["id"] == "gym:OwnWalk-v0"
        assert names["class"] == "own:Walk"
        assert names["partial"] == "own:Walk"
    finally:
        del gym.registry["OwnWalk-v0"]


def test_arguments_of_an_id_are_written_down_and_used_again(tmp_path, capsys):
    kw = KW | LITTLE | {"steps": 200, "net": "mlp:8"}
    run = qtwin.train("FrozenLake-v1", env_kwargs={"is_slippery": False, "map_name": "8x8"}, out=tmp_path / "run", **kw)
    config = json.loads((run.path / "config.json").read_text())["config"]
    assert json.loads(config["env_kwargs"]) == {"is_slippery": False, "map_name": "8x8"}
    assert config["env"] == "gym:FrozenLake-v1"
    assert json.loads((run.path / "policy" / "policy.json").read_text())["num_states"] == 64
    assert main(["eval", str(run.path), "--episodes", "2"]) == 0
    resumed = qtwin.train(resume=True, out=run.path, steps=240, quiet=True, eval_episodes=2, log_points=1)
    assert resumed.summary["transitions"] >= 240
    words = ["train", "FrozenLake-v1", "--env-kwargs"]
    for wrong, says in (("{", "JSON"), ("[1]", "JSON object"), ('{"no_such": 1}', "does not take the options")):
        assert main([*words, wrong]) == 2
        assert says in capsys.readouterr().err
    assert main(["train", "minatar:Breakout", "--env-kwargs", '{"a": 1}']) == 2
    assert "for environments of Gymnasium" in capsys.readouterr().err


@pytest.mark.parametrize(
    "net", [OwnNetwork, lambda rngs: OwnNetwork(rngs=rngs), OwnLinen(), qtwin.from_nnx(OwnNetwork)]
)
def test_a_network_of_the_callers_own_in_a_built_in_agent(net, tmp_path):
    run = qtwin.train(Walk, out=tmp_path / "run", **KW | LITTLE | {"net": net, "steps": 120})
    policy = qtwin.load(run, net=net)
    assert policy.values(OBS).shape == (2,)
    with pytest.raises(qtwin.Refusal, match=r"qtwin.load\(run, net="):
        qtwin.load(run)
    with pytest.raises(qtwin.Refusal, match="hand it in again, as net="):
        qtwin.train(Walk, resume=True, out=run.path)
    description = json.loads((run.path / "policy" / "policy.json").read_text())
    (run.path / "policy" / "policy.json").write_text(json.dumps(description | {"net": "mlp:8"}))
    with pytest.raises(qtwin.Refusal, match=r"network is mlp:8, and another was handed in"):
        qtwin.load(run, net=net)


def test_a_network_of_the_callers_own_gives_what_the_named_one_gives():
    ends = []
    for net in (OwnNetwork, "mlp:8"):
        with qtwin.session(Walk, **LITTLE | {"net": net, "steps": 120, "envs": 4}) as session:
            session.advance_to(120)
            ends.append(leaves(session.twin.online))
    assert ends[0] == ends[1]


def own_rule():
    """Copies at every fifth gradient step, half of the way."""
    return qtwin.soft(0.5, 5)._replace(
        spec="half", move=lambda memory, online, target: (
            memory, jax.tree.map(lambda o, t: 0.5 * o + 0.5 * t, online, target)
        )
    )  # fmt: skip


def test_a_target_update_of_the_callers_own(tmp_path):
    kw = KW | LITTLE | {"steps": 200}
    run = qtwin.train(Walk, out=tmp_path / "own", **kw | {"target": own_rule()})
    named = qtwin.train(Walk, out=tmp_path / "named", **kw | {"target": "soft:0.5/5"})
    assert run.summary["target"] == "own:half"
    assert named.summary["target"] == "soft:0.5/5"
    assert leaves(qtwin.load(run).variables) == leaves(qtwin.load(named).variables)
    with pytest.raises(qtwin.Refusal, match="hand it in again, as target="):
        qtwin.train(Walk, resume=True, out=run.path)
    handed = qtwin.train(Walk, out=tmp_path / "handed", **kw | {"target": qtwin.soft(0.5, 5)})
    assert json.loads((handed.path / "config.json").read_text())["config"]["target"] == "soft:0.5/5"


def test_a_function_of_its_settings_is_compared_by_them(tmp_path, capsys):
    kw = {"steps": 120, "seeds": 2, "log_points": 1, "eval_episodes": 2, "warmup": 40, "replay": 400, "batch": 8}
    kw |= {"out": tmp_path / "grid", "eval_max_steps": 30}
    found = qtwin.compare(Walk, agents=[own_dqn, "dqn"], learning_rate=[1e-2, 1e-3], net="mlp:8", **kw)
    assert set(found.eval_return) == {
        "own:own_dqn, lr 0.01", "own:own_dqn, lr 0.001", "dqn, lr 0.01", "dqn, lr 0.001",
    }  # fmt: skip
    assert all(len(returns) == 2 for returns in found.eval_return.values())
    assert "4 of 4 cells done" in repr(found)
    assert (found.path / "report.html").exists()
    capsys.readouterr()
    assert main(["report", str(found.path)]) == 0
    assert "own:own_dqn, lr 0.01" in capsys.readouterr().out
    again = qtwin.compare(Walk, agents=[own_dqn, "dqn"], learning_rate=[1e-2, 1e-3], net="mlp:8", **kw)
    assert again.eval_return == found.eval_return
    assert "4 of them done" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused_and_nothing_is_left_out_in_silence(tmp_path):
    shared = {"warmup": 40, "steps": 400, "out": tmp_path / "none"}
    for given, says in (
        ({"lr": [1e-3, 1e-2]}, "there is no setting 'lr' to compare"),
        ({"target": ["tied", "frozen"], "overlap": True}, "there is no setting 'overlap' to compare"),
        ({"learning_rate": [None, 1e-3]}, "learning_rate takes one value or a list of them, and None came"),
        ({"learning_rate": {1e-3: 1}}, "and {0.001: 1} came as a value"),
    ):
        with pytest.raises(qtwin.Refusal, match=says):
            qtwin.compare(jax_walk(), **shared, **given)
    assert not (tmp_path / "none").exists()


def test_values_to_compare_may_be_numpys():
    for values in (np.array([0.5, 2.0]), [np.float64(0.5), np.float32(2.0)], (each for each in (0.5, 2.0))):
        assert names_of("learning_rate", values) == ["0.5", "2.0"]
    assert names_of("steps", np.int64(3)) == ["3"]


def test_a_cell_of_ones_own_that_fails_says_why_beside_it_and_the_report_how_it_is_called(tmp_path):
    options = {"agent": names_of("agent", [own_dqn]), "learning_rate": ["0.1", "0.2"], "warmup": ["40"]}
    protocol = Protocol(handed_in(Walk)[0], 1)
    cell = cells_of(protocol, options)[0]
    assert _tell_here(tmp_path, cell, Here(1.0, "no luck"), print)
    assert (tmp_path / "cells" / f"{cell.folder}.log").read_text() == "lr 0.1: failed: no luck\n"
    called = "qtwin.compare(Walk, agent=own_dqn, learning_rate=['0.1', '0.2'], warmup='40', seeds=1)"
    assert call_of(protocol, options) == called


def test_of_an_algorithm_only_rates_and_target_are_compared(tmp_path):
    with pytest.raises(qtwin.Refusal, match=r"put together already, and learning_rate came.*reads c.learning_rate"):
        qtwin.compare(Walk, agents=algorithm(), learning_rate=[1e-2, 1e-3], out=tmp_path / "no")
    found = qtwin.compare(
        jax_walk(), agents=algorithm(), target=["hard:5", own_rule()], steps=120, seeds=1, log_points=1,
        eval_episodes=2, out=tmp_path / "grid", quiet=True,
    )  # fmt: skip
    assert list(found.eval_return) == ["hard:5", "own:half"]
    targets = [cell["summary"]["target"] for cell in found.results["cells"]]
    assert targets == ["hard:5", "own:half"]


def test_a_session_stepped_in_pieces_has_the_bits_of_one_piece(tmp_path):
    kw = LITTLE | {"steps": 400, "envs": 4, "log_points": 4}
    with qtwin.session(jax_walk(), **kw) as session:
        for count in (10, 25, 1, 100, 3):
            session.advance(count)
        assert session.clock.transitions >= 139
        before = session.evaluate(3)
        assert before.shape == (1, 3)
        assert np.array_equal(before, session.evaluate(3))
        assert session.evaluate(2, env=Walk).shape == (1, 2)
        session.advance_to(400)
        pieces, points = leaves(session.twin), session.metrics
        assert session.policy()(OBS) in (0, 1)
        with pytest.raises(qtwin.Refusal, match="budget of 400 steps, and 401"):
            session.advance(1)
    with pytest.raises(qtwin.Refusal, match="closed"):
        session.advance_to(400)
    with qtwin.session(jax_walk(), **kw) as session:
        session.advance(400)
        assert leaves(session.twin) == pieces
        assert [p["loss"] for p in session.metrics] == [p["loss"] for p in points]
        assert len(points) == 4
    trained = qtwin.train(jax_walk(), out=None, quiet=True, eval_episodes=2, **kw)
    assert trained.path is None
    assert [p["loss"] for p in trained.points] == [p["loss"] for p in points]


def test_a_session_is_saved_and_gone_on_with(tmp_path):
    kw = LITTLE | {"steps": 400, "envs": 4, "log_points": 2}
    with qtwin.session(jax_walk(), out=tmp_path / "run", **kw) as session:
        session.advance(200)
        checkpoint = session.save()
        half = leaves(session.twin.online)
    assert leaves(qtwin.load(checkpoint, env=jax_walk()).variables) == half
    with qtwin.session(jax_walk(), out=tmp_path / "run", resume=True, **kw) as session:
        assert session.clock.transitions == 200
        assert leaves(session.twin.online) == half
        session.advance_to(400)
        end = leaves(session.twin.online)
    whole = qtwin.train(jax_walk(), out=tmp_path / "whole", quiet=True, eval_episodes=2, **kw)
    assert leaves(qtwin.load(whole).variables) == end
    with pytest.raises(qtwin.Refusal, match="no run directory to save to"), qtwin.session(jax_walk(), **kw) as session:
        session.save()


def test_a_replay_buffer_is_sampled_saved_and_loaded_alone(tmp_path):
    kw = LITTLE | {"steps": 400, "envs": 4}
    with qtwin.session(jax_walk(), **kw) as first, qtwin.session(jax_walk(), seed=1, **kw) as second:
        with pytest.raises(qtwin.Refusal, match="nothing has been collected"):
            first.replay.sample(3)
        first.advance(200)
        second.advance(100)
        drawn = first.replay.sample(20)
        assert drawn.obs.shape == (20, 2)
        assert set(np.unique(drawn.reward)) == {-1.0}
        before = leaves(first.twin)
        first.replay.save(tmp_path / "replay.safetensors")
        assert leaves(first.twin) == before
        second.replay.load(tmp_path / "replay.safetensors")
        assert leaves(second.replay.sample(20)) == leaves(drawn)
        second.advance(20)
        assert first.clock.transitions == 200
    with (
        qtwin.session(jax_walk(), **kw | {"replay": 200}) as small,
        pytest.raises(qtwin.Refusal, match=r"replay\.safetensors"),
    ):
        small.replay.load(tmp_path / "replay.safetensors")


NOT_AN_ENV = "env is a name, a gymnasium.Env class, a function"


def raising():
    raise RuntimeError("no screen")


BAD_ENVS = {
    "none": (None, NOT_AN_ENV),
    "number": (5, NOT_AN_ENV),
    "list": (["CartPole-v1"], NOT_AN_ENV),
    "object": (object(), NOT_AN_ENV),
    "instance": (Walk(), "cannot be made again.*hand in the class Walk"),
    "arguments": (lambda n: Walk(), "cannot be called without further arguments.*qtwin.vector"),
    "no env": (lambda: 3, "expected a gymnasium.Env from the function that was handed in as env, and an int came"),
    "raises": (raising, "cannot be made: RuntimeError: no screen"),
    "vector": (SyncVectorEnv([Walk]), "already made cannot be made again"),
    "vector of none": (qtwin.vector(lambda n: None), "from the function in qtwin.vector, and None came"),
    "vector of a number": (qtwin.vector(3), "takes a function of the number of environments"),
    "vector that raises": (qtwin.vector(lambda n: 1 / 0), "number of environments, 1: ZeroDivisionError"),
    "vector of nothing": (qtwin.vector(lambda: None), "number of environments, 1: TypeError"),
    "vector that exits": (qtwin.vector(lambda n: sys.exit(3)), "must not end the process"),
    "vector of others": (qtwin.vector(lambda n: SyncVectorEnv([Walk] * 3)), "called with 1 and made 3 environments"),
    "without a spec": (jax_walk()._replace(spec=None), r"\(None, a function, a function\) came"),
    "without reset": (jax_walk()._replace(reset=None), "two functions, reset and step"),
}


@pytest.mark.parametrize("name", BAD_ENVS)
def test_what_is_no_environment_is_refused_in_one_sentence(name, tmp_path):
    env, says = BAD_ENVS[name]
    with pytest.raises(qtwin.Refusal, match=says) as refused:
        qtwin.train(env, out=tmp_path / "run", agent="dqn")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_arguments_of_an_environment_are_a_dictionary():
    for kwargs in ([1], 3):
        with pytest.raises(qtwin.Refusal, match="env_kwargs is a dictionary of keyword arguments"):
            build(Walk, settings={"env_kwargs": kwargs})
    with pytest.raises(qtwin.Refusal, match=r"^CartPole-v1 does not take the options"):
        build("gym:CartPole-v1", settings={"env_kwargs": {1: object()}})


def test_the_name_of_an_environment_stays_inside_the_run_directorys_parent():
    walk = jax_walk()
    for name, plain in (("../../x y", "xy"), ("mine:..", "unnamed"), ("mine:Wa/lk", "Walk")):
        env = walk._replace(spec=dataclasses.replace(walk.spec, id=name))
        assert build(env, settings={"steps": 20_000}).config.env == f"own:{plain}"


def of_rates(target, collect=4, gamma=0.9):
    def of_mine(env, c):
        rates = qtwin.Rates(collect, 1, target, 40)
        return algorithm(rates=rates, replay=qtwin.ring(400, 8, gamma))

    return of_mine


def test_a_run_goes_on_with_the_arguments_and_rates_that_it_began_with(tmp_path):
    """Those that a function has decided by itself are in no setting of the run."""
    out, agent = tmp_path / "run", of_rates(qtwin.hard(10))
    kw = KW | {"log_points": 1, "eval_episodes": 1, "out": out}
    run = qtwin.train(Walk, env_kwargs={"goal": 3}, agent=agent, warmup=40, **kw | {"steps": 80})
    config = json.loads((out / "config.json").read_text())
    assert config["config"]["env_kwargs"] == '{"goal": 3}'
    assert config["built"] == {
        "collect": "4", "regress": "1", "warmup": "40", "target": "hard:10", "replay": "400", "batch": "8",
        "n_step": "1", "discount": "0.9",
    }  # fmt: skip
    assert run.summary["target"] == "hard:10"
    request = build(Walk, agent=agent, settings={"warmup": 40, "steps": 400})
    told = _told(request.config, agent(None, None))  # what diagnostics go by
    assert (request.config.collect, request.config.discount, request.config.batch) == (10, 0.99, 128)
    assert (told.collect, told.discount, told.batch) == (4, 0.9, 8)
    goes_on = {"resume": True, "out": out, "steps": 120, "quiet": True}
    for other, says in (
        (of_rates(qtwin.hard(3), collect=2), "collect 4, not 2; target hard:10, not hard:3"),
        (of_rates(qtwin.hard(10), gamma=0.5), "discount 0.9, not 0.5"),
        (own_dqn, "learns by of_mine, not by own_dqn"),
        ("dqn", "learns by of_mine, not by dqn"),
    ):
        with pytest.raises(qtwin.Refusal, match=says):
            qtwin.train(Walk, agent=other, **goes_on)
    with pytest.raises(qtwin.Refusal, match=r"""env_kwargs '{"goal": 3}', not '{"goal": 4}'"""):
        qtwin.train(Walk, env_kwargs={"goal": 4}, agent=agent, **goes_on)
    with qtwin.session(Walk, agent=agent, resume=True, out=out, steps=120) as session:  # as it was, if left out
        assert session.advance_to(120).transitions == 120
        assert session.evaluate(1).shape == (1, 1)

    checkpoint = max((out / "checkpoints").glob("cycle-*"))
    assert qtwin.load(checkpoint, agent=agent, env=Walk).spec.id == "own:Walk"
    for env in (jax_walk(), "CartPole-v1"):
        with pytest.raises(qtwin.Refusal, match="is of a run in Walk, and env="):
            qtwin.load(checkpoint, agent=agent, env=env)
    with pytest.raises(qtwin.Refusal, match=r"obs_shape \(2,\), and CartPole-v1 has \(4,\)"):
        qtwin.load(out, agent=agent, env="CartPole-v1")
    with pytest.raises(qtwin.Refusal, match="algorithm is of_mine, and agent='dqn' came"):
        qtwin.load(out, agent="dqn")


def raising_too(env, c):
    raise ZeroDivisionError("no luck")


def bad_algorithms():
    good = algorithm()
    other = qtwin.from_nnx(lambda rngs: OwnNetwork(rngs, width=3))

    def no_aux(twin, batch, key):
        return jnp.float32(0.0)

    def vector_loss(twin, batch, key):
        return batch.reward, qtwin.Aux(batch.reward, batch.reward)

    def number_error(twin, batch, key):
        return jnp.mean(batch.reward), qtwin.Aux(jnp.float32(0.0), batch.reward)

    def wrong_shapes(twin, batch, key):
        return jnp.mean(batch.obs @ jnp.ones((3, 2))), qtwin.Aux(batch.reward, batch.reward)

    def floating(variables, obs, epsilon, key):
        return jnp.zeros((obs.shape[0],), jnp.float32)

    def one(variables, obs, epsilon, key):
        return jnp.int32(0)

    def small(variables, obs, epsilon, key):
        return jnp.zeros((obs.shape[0],), jnp.uint8)

    def too_few(twin, batch, key):
        return jnp.mean(batch.reward), qtwin.Aux(batch.reward[:3], batch.reward)

    def of_two(twin, batch, key):
        return jnp.mean(batch.reward), qtwin.Aux(jnp.stack([batch.reward] * 2, -1), batch.reward)

    def without_replay(env, c):
        return good._replace(replay=None)

    agent = good.agent

    def with_(**functions):
        return good._replace(agent=agent._replace(**functions))

    def with_rule(rule):
        return good._replace(rates=dataclasses.replace(good.rates, target_update=rule))

    return {
        "init and act disagree": (with_(init=lambda key: other.init(key).params), "init"),
        "init gives nothing": (with_(init=lambda key: None), r"init\(key\) returns None"),
        "no aux": (with_(loss=no_aux), r"\(loss, qtwin.Aux\(td_error, q\)\) is expected"),
        "loss of a vector": (with_(loss=vector_loss), r"float32\[8\], and a scalar loss \[\]"),
        "error of a number": (with_(loss=number_error), r"td_error has one number for each"),
        "loss that cannot be traced": (with_(loss=wrong_shapes), r"test_handed_in.py, line"),
        "actions of numbers": (with_(act=floating), r"whole numbers \[N\] is expected"),
        "one action": (with_(act=one), r"int32\[\], and whole numbers \[N\]"),
        "values of one": (with_(values=lambda v, obs: obs[:, :1]), r"action values \[N, 2\]"),
        "actions of bytes": (with_(act=small), r"uint8\[2\], and int32 numbers"),
        "too few errors": (with_(loss=too_few), r"float32\[3\], and an Aux whose td_error"),
        "errors of two": (with_(loss=of_two), r"float32\[8, 2\], and an Aux whose td_error"),
        "one layer": (with_(layers=lambda v, obs: obs), r"float32\[2, 2\], and a tuple of hidden layers"),
        "layers that raise": (with_(layers=lambda v, obs: 1 / 0), r"layers\(variables, obs\) cannot be traced"),
        "no optimiser": (good._replace(optimiser=optax.adam), "a field optimiser with init and update, and a function"),
        "no replay": (good._replace(replay=None), "a field replay with init and add and sample, and None"),
        "no replay of a function": (without_replay, "a field replay"),
        "unknown part": (good._replace(target_parts=("critic",)), "target_parts names 'critic', and the network has"),
        "relabelled to nothing": (good._replace(process_chunk=lambda twin, chunk: None), "Timestep .T, N. is expected"),
        "not callable": (with_(act=3), "its act is no function"),
        "no rule": (with_rule("hard:5"), "a TargetUpdate, and a str"),
        "function of one": (lambda env: good, "cannot be called with two arguments"),
        "function of nothing": (lambda env, c: None, "returned None, and a qtwin.Algorithm"),
        "function that raises": (raising_too, "cannot be built for own:JaxWalk: ZeroDivisionError: no luck .*:[0-9]+"),
        "a list": ([good], "agent is a name, a qtwin.Algorithm, or a function"),
        "a number": (3, "agent is a name, a qtwin.Algorithm, or a function"),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(bad_algorithms()))
def test_an_algorithm_that_breaks_its_contract_is_refused_before_anything_is_compiled(name, tmp_path):
    agent, says = bad_algorithms()[name]
    more = {"warmup": 40} if callable(agent) else {}
    with pytest.raises(qtwin.Refusal, match=says) as refused:
        qtwin.train(jax_walk(), agent=agent, out=tmp_path / "run", steps=200, envs=4, **more)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (OwnLinen(outputs=3), r"float32\[B, 3\] for observations float32\[B, 2\], and the agent needs float32\[B, 2\]"),
        (lambda rngs: OwnLinen, "does not take observations|has not|handed in"),
        (OwnLinen, r"instance, and the class OwnLinen came; write OwnLinen\(\)"),
        (OwnNetwork(rngs=__import__("flax").nnx.Rngs(0)), "made already; hand in the class OwnNetwork"),
        (lambda: None, "made with rngs alone"),
        (3, "net is a name such as mlp:120,84"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(net, says, tmp_path):
    with pytest.raises(qtwin.Refusal, match=says) as refused:
        qtwin.train(jax_walk(), net=net, out=tmp_path / "run", steps=200, envs=4, warmup=40)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_settings_that_an_algorithm_cannot_take_are_refused():
    for setting, says in (
        ({"learning_rate": 0.1}, "put together already, and learning_rate came"),
        ({"discount": 0.5}, "has the discount 0.9, and discount=0.5 came"),
        ({"target": 3}, "target is a spec such as 'hard:500', or a qtwin.TargetUpdate, and an int came"),
        ({"preset": "nature"}, "a recipe for the agent dqn"),
    ):
        preset = setting.pop("preset", None)
        with pytest.raises(qtwin.Refusal, match=says):
            build("CartPole-v1", agent=algorithm(), preset=preset, settings=setting)
    request = build("CartPole-v1", agent=algorithm(), settings={"target": "soft:0.1", "collect": 8, "steps": 500})
    assert (request.config.target, request.config.collect, request.config.warmup) == ("soft:0.1", 8, 40)


def test_environments_of_ones_own_have_processes_of_their_own_where_they_can_be_sent_there():
    kw = KW | LITTLE | {"steps": 80, "envs": 2, "log_points": 1, "eval_episodes": 1, "out": None}
    assert qtwin.train(Walk, env_mode="async", **kw).path is None
    with pytest.raises(qtwin.Refusal, match="define the class or function at the top of a module"):
        qtwin.train(lambda: Walk(), env_mode="async", **kw)
    with pytest.raises(qtwin.Refusal, match="needs a network with an encoder"):
        qtwin.train(jax_walk(), net=OwnNetwork, self_predict="simsiam", **{k: v for k, v in kw.items() if k != "net"})


def test_what_cannot_be_loaded_is_refused():
    for run, says in (
        (qtwin.Run(None, {}, []), "in memory alone .out=None. and has no files"),
        (None, "or what qtwin.train returned, and None came"),
        (3, "and 3 came"),
    ):
        with pytest.raises(qtwin.Refusal, match=says):
            qtwin.load(run)


def test_short_reprs(whole):
    assert repr(whole).count("\n") == 0
    assert len(repr(whole)) < 200
    assert repr(qtwin.hard(5)) == "TargetUpdate('hard:5')"
    assert "own:Walk" in repr(qtwin.load(whole, agent=algorithm()))
