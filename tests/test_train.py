"""Training through the real command line and the Python API: run directory, resume, evaluation, policies, presets."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import fork_server
import numpy as np
import pytest
from safetensors.numpy import load_file

import qtwin
from qtwin.cli import main
from qtwin.config.rates_of import rates_of
from qtwin.rates import plan
from qtwin.request.presets import PRESETS

ROOT = Path(__file__).parents[1]
LITTLE = ["--net", "mlp:16", "--warmup", "100", "--replay", "500", "--batch", "8", "--eval-episodes", "3", "--quiet"]


def train(out, *options, env="CartPole-v1", steps="1100"):
    code = main(["train", env, *LITTLE, "--steps", steps, "--log-points", "4", "--out", str(out), *options])
    return code, json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))


def test_a_run_directory_holds_what_it_promises(tmp_path, capsys):
    out = tmp_path / "run"
    code, summary = train(out, "--seeds", "3", "--seed", "4", "--target", "hard:7")
    assert code == 0
    assert summary["seeds"] == [4, 5, 6]
    assert (summary["transitions"], summary["gradient_steps"], summary["target_updates"]) == (1100, 100, 14)
    assert len(summary["eval_return"]) == 3
    for field in ("env", "agent", "target", "wall_seconds", "compile_seconds", "transitions_per_second"):
        assert summary[field]
    points = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [point["transitions"] for point in points] == [350, 600, 850, 1100]
    assert all(len(point["eval_return"]) == 3 for point in points)
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((out / "tensorboard").iterdir())
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["config"]["target"] == "hard:7"

    # the policy, used as policy.json says, without qtwin
    description = json.loads((out / "policy" / "policy.json").read_text(encoding="utf-8"))
    assert description["seeds"] == [4, 5, 6]
    weights = load_file(out / "policy" / "seed-5.safetensors")
    obs = np.array([0.1, -0.2, 0.03, 0.4], np.float32)
    hidden = np.maximum(obs @ weights["hidden.0.kernel"] + weights["hidden.0.bias"], 0)
    values = hidden @ weights["head.kernel"] + weights["head.bias"]
    policy = qtwin.load(out, 5)
    np.testing.assert_allclose(policy.values(obs), values, rtol=1e-5)
    assert policy(obs) == int(np.argmax(values))
    assert policy(np.stack([obs, -obs])).shape == (2,)
    with pytest.raises(qtwin.Refusal, match=r"\[3\] came"):
        policy(np.zeros(3))
    with pytest.raises(qtwin.Refusal, match="holds the seeds 4, 5, 6, not 9"):
        qtwin.load(out, 9)

    capsys.readouterr()
    assert main(["eval", str(out), "--episodes", "2"]) == 0
    told = capsys.readouterr().out
    assert "seed 4:" in told
    assert "interquartile mean over 3 seeds" in told


def digests(out):
    newest = sorted((out / "checkpoints").glob("cycle-*"))[-1]
    return json.loads((newest / "manifest.json").read_text(encoding="utf-8"))["sha256"]


@pytest.mark.parametrize(
    ("env", "more"),
    [
        ("CartPole-v1", []),
        ("gym:CartPole-v1", []),
        ("gym:CartPole-v1", ["--overlap"]),
        ("Pendulum-v1", ["--agent", "sac", "--normalise", "running"]),
        ("gym:Pendulum-v1", ["--agent", "td3"]),
        ("gym:CartPole-v1", ["--self-predict", "byol", "--self-predict-steps", "3", "--zeta", "2"]),
        ("CartPole-v1", ["--zeta", "1.5"]),
    ],
)
def test_law_8_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, env, more):
    """Half the budget, then the rest: the last checkpoint, byte for byte, is that of the run in one go.

    Checkpoints lie at the same cycles in both, for where environments cannot be saved they are re-made at each.
    """
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ["--seeds", "2", "--explore", "0.2", *more]
    train(whole, *options, env=env)
    request = ["train", env, *LITTLE, "--steps", "1100", "--log-points", "4", *options, "--out", str(parts)]
    script = (  # stopped by a signal to itself at the second log point, as by a hand on the keyboard
        "import os, signal, sys\n"
        "from qtwin.run import checkpoint\n"
        "write, seen = checkpoint.write, []\n"
        "def stopping(*args):\n"
        "    path = write(*args)\n"
        "    seen.append(path)\n"
        "    if len(seen) == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return path\n"
        "checkpoint.write = stopping\n"
        "from qtwin.cli import main\n"
        f"sys.exit(main({request!r}))\n"
    )
    stopped = fork_server.run(["-c", script], ROOT)
    assert stopped.returncode == 130, stopped.stderr
    assert not (parts / "summary.json").exists()
    assert main([*request, "--resume"]) == 0
    assert digests(whole) == digests(parts)
    same = ("cycles", "transitions", "gradient_steps", "target_updates", "eval_return", "train_return", "loss")
    for one, two in zip(
        *[(out / "metrics.jsonl").read_text(encoding="utf-8").splitlines() for out in (whole, parts)], strict=True
    ):
        one, two = json.loads(one), json.loads(two)
        assert {field: one[field] for field in same} == {field: two[field] for field in same}


def test_resume_of_another_run_is_refused(tmp_path, capsys):
    out = tmp_path / "run"
    train(out)
    assert main(["train", "CartPole-v1", *LITTLE, "--out", str(out), "--resume", "--lr", "0.5"]) == 2
    assert "learning_rate 0.00025, not 0.5" in capsys.readouterr().err
    assert main(["train", "CartPole-v1", *LITTLE, "--out", str(out)]) == 2
    assert "holds another run" in capsys.readouterr().err


def test_streaming_learns_cartpole_from_a_first_layer_without_a_weight(tmp_path):
    """Sparse initialisation leaves none of four inputs. A policy that never learns falls within 10 steps."""
    out = tmp_path / "run"
    assert main(["train", "CartPole-v1", "--preset", "stream-q", "--steps", "20000", "--quiet", "--out", str(out)]) == 0
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["eval_return"][0] > 50


def test_hosted_seeds_are_the_same_alone_and_together(tmp_path):
    options = ["--explore", "0.3"]
    train(tmp_path / "two", "--seeds", "2", *options, env="gym:CartPole-v1")
    train(tmp_path / "one", "--seed", "1", *options, env="gym:CartPole-v1")
    assert digests(tmp_path / "two")["seed-1.safetensors"] == digests(tmp_path / "one")["seed-1.safetensors"]


# Of the actor-critics a few: the others only have other numbers, which tests/test_presets.py counts, and every agent is
# trained elsewhere.
ACTOR_CRITICS = ("td3", "cleanrl-sac", "sb3-zoo-crossq")
TRAINABLE = [
    name
    for name, preset in PRESETS.items()
    if preset.config.net != "nature" and (preset.config.agent == "dqn" or name in ACTOR_CRITICS)
]
LONG = ("atari-quick",)  # frames of Atari
TRAINABLE = [pytest.param(name, marks=[pytest.mark.optimised] * (name in LONG)) for name in TRAINABLE]


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_preset_trains_at_its_own_rates(name, tmp_path):
    """The real command line; only the budget, the memory and the warm-up are cut short."""
    preset = PRESETS[name]
    config = preset.config
    collect, warmup = max(config.collect, config.envs), 2 * max(config.batch, config.envs)
    steps = warmup + warmup % config.envs + 6 * collect
    room = 600 if preset.frames else 0  # stacks of frames and their resets reach further than a batch
    cut = {"warmup": warmup, "replay": max(steps, config.batch, room), "steps": steps}
    options = [word for field, value in cut.items() for word in (f"--{field}", str(value))]
    out = tmp_path / "run"
    short = ["--eval-episodes", "1", "--eval-max-steps", "100", "--log-points", "1"]  # a game of Atari takes thousands
    words = ["train", config.env, "--preset", name, *options, *short, "--quiet"]
    assert main([*words, "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    expected = plan(rates_of(dataclasses.replace(config, **cut)), config.envs, steps)
    assert summary["transitions"] == expected.transitions
    assert summary["gradient_steps"] == expected.gradient_steps
    assert summary["target_updates"] == expected.target_updates


@pytest.mark.parametrize("agent", ["online_q", "dqn", "fqi"])
def test_every_agent_trains_in_one_call(agent, tmp_path):
    run = qtwin.train(
        "Catch", agent=agent, steps=1200, warmup=0 if agent == "online_q" else 200, eval_episodes=2, log_points=2,
        out=tmp_path / agent, quiet=True, **({} if agent == "online_q" else {"collect": 100, "regress": 50}),
    )  # fmt: skip
    assert run.summary["agent"] == agent
    assert len(run.points) == 2
    assert np.isfinite(run.points[-1]["loss"][0])
    assert qtwin.load(run.path)(np.zeros((10, 5))) in (0, 1, 2)


@pytest.mark.parametrize("env", ["CartPole-v1", "gym:CartPole-v1"])
def test_record_and_learn_offline(env, tmp_path):
    """A recording of a run's policy, learned from without touching the environment but to evaluate."""
    teacher = tmp_path / "teacher"
    train(teacher)
    data = tmp_path / "data.safetensors"
    assert (
        main(["record", env, "--out", str(data), "--steps", "600", "--policy", str(teacher), "--epsilon", "0.3"]) == 0
    )
    out = tmp_path / "run"
    words = ["train", env, "--agent", "fqi", "--data", str(data), "--collect", "0", "--regress", "20", "--warmup", "0"]
    more = [
        "--target",
        "hard:20",
        "--steps",
        "90",
        "--batch",
        "32",
        "--net",
        "mlp:16",
        "--eval-episodes",
        "2",
        "--quiet",
    ]
    assert main([*words, *more, "--log-points", "2", "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert (summary["transitions"], summary["gradient_steps"], summary["target_updates"]) == (0, 80, 4)


def test_dqn_by_hand_runs_and_fits_on_a_screen():
    file = ROOT / "examples" / "dqn_by_hand.py"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 60
    spec = importlib.util.spec_from_file_location("dqn_by_hand", file)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    learned = qtwin.learn(
        example.algorithm, "CartPole-v1", steps=2000, envs=10, seeds=2, log_points=2, eval_episodes=4, quiet=True
    )
    assert learned.eval_return.shape == (2,)
    assert learned.points[-1]["transitions"] == 2000
    assert learned.points[-1]["target_updates"] == 2
    values = example.net.apply(learned.variables[1], np.zeros((3, 4), np.float32))
    assert values.shape == (3, 2)
