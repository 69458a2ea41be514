"""Schedules that are derived from the budget: what a resumed run makes of them, and where epsilon begins to fall."""

import dataclasses
import json

import numpy as np
import pytest

import qtwin
from qtwin.acting import exploration
from qtwin.agents.catalog import AGENTS
from qtwin.cli import main
from qtwin.config.config import Config
from qtwin.config.rates_of import budget, horizon
from qtwin.errors import Refusal
from qtwin.request.presets import PRESETS
from qtwin.request.run_config import BOUND, description_of, write_json
from qtwin.request.schedules import in_words, schedules_of
from qtwin.request.train import build
from qtwin.run.logs import read_points

DQN = dataclasses.replace(AGENTS["dqn"].defaults, steps=10_000, warmup=500)


def begun(out, config):
    """A run directory that says of itself what a run with these settings says."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "config.json", description_of(config, (0,), env="gymnax:CartPole-v1", run=BOUND))
    return out


def gone_on(out, **settings):
    """The settings of the run in ``out`` that goes on with others; its config.json holds them afterwards."""
    config = build("CartPole-v1", out=str(out), resume=True, settings=settings).config
    begun(out, config)
    return config


@pytest.mark.parametrize("steps", [60_000, 7_000])
def test_a_resumed_run_keeps_its_schedules_whatever_its_budget(tmp_path, steps):
    """Epsilon, beta and their like at every count are what the run that was started would have."""
    before = dataclasses.replace(DQN, prioritise="0.6:0.4", explore="1:0.05:50%:after-warmup")
    out = begun(tmp_path / "run", before)
    for more in (steps, steps, steps + 500):  # resumed once, resumed with the same, resumed with more again
        config = gone_on(out, steps=more)
        assert (config.steps, config.schedule_steps) == (more, 10_000)
        assert schedules_of(config) == schedules_of(before)
        assert budget(config) == budget(before) == 950
        for count in (0, 3_000, 9_999, 40_000):
            assert exploration.schedule(config)(np.int32(count)) == exploration.schedule(before)(np.int32(count))
    assert gone_on(out).steps == steps + 500  # nothing said: as before


def test_a_run_resumed_with_the_same_budget_is_the_same(tmp_path):
    out = begun(tmp_path / "run", DQN)
    assert gone_on(out) == gone_on(out, steps=10_000) == DQN
    assert build(
        "CartPole-v1", agent="dqn", out=str(out), resume=True, settings={"steps": 20_000, "warmup": 500}
    ).config == (dataclasses.replace(DQN, steps=20_000, schedule_steps=10_000))  # its agent named, too


def test_a_run_of_an_earlier_version_has_the_budget_of_its_schedules_in_steps(tmp_path):
    out = begun(tmp_path / "run", DQN)
    saved = json.loads((out / "config.json").read_text())
    del saved["config"]["schedule_steps"]
    write_json(out / "config.json", saved)
    assert horizon(gone_on(out, steps=60_000)) == 10_000


def test_the_budget_of_the_schedules_can_be_said(tmp_path):
    """To begin with, and of a run that goes on: then epsilon falls over half of 60,000."""
    out = begun(tmp_path / "run", DQN)
    config = gone_on(out, steps=60_000, schedule_steps=60_000)
    assert float(exploration.schedule(config)(np.int32(15_000))) == pytest.approx(0.525)
    assert gone_on(out, steps=90_000).schedule_steps == 60_000
    fresh = build("CartPole-v1", settings={"steps": "60000", "schedule_steps": "1e4", "warmup": "500"}).config
    assert schedules_of(fresh) == schedules_of(DQN)
    for wrong in ("500", "3e9", "-1", "x"):
        with pytest.raises(Refusal, match="--schedule-steps"):
            build("CartPole-v1", settings={"warmup": 500, "schedule_steps": wrong})
    with pytest.raises(Refusal, match="gradient steps, more than the largest count"):
        build("CartPole-v1", settings={"regress": 100, "schedule_steps": 2**31 - 1})


PQN = dataclasses.replace(AGENTS["pqn"].defaults, steps=10_240, collect=256, regress=4, batch=64, envs=4)
FALLS_TO_0 = {
    "the learning rate": PQN,
    "tau of --target": dataclasses.replace(DQN, target="cosine:0.05"),
    "tau of --target ": dataclasses.replace(DQN, target="last-layer:cosine:0.05"),
    "tau of --self-predict-target": dataclasses.replace(DQN, self_predict="byol", self_predict_target="cosine:0.05"),
    "epsilon": dataclasses.replace(DQN, explore="1:0:100%"),
    "the exploration noise": dataclasses.replace(
        AGENTS["td3"].defaults, env="Pendulum-v1", explore="0.1:0:90%", steps=10_000
    ),
}


@pytest.mark.parametrize("what", FALLS_TO_0)
def test_a_schedule_that_ends_at_0_refuses_a_larger_budget_unless_told_how_to_go_on(tmp_path, what):
    before = FALLS_TO_0[what]
    out, steps = begun(tmp_path / "run", before), before.steps

    def asked(**settings):
        return build(before.env, out=str(out), resume=True, settings=settings).config

    assert asked() == asked(steps=steps) == before
    assert asked(steps=steps - 300).schedule_steps == steps
    with pytest.raises(Refusal) as refused:
        asked(steps=2 * steps)
    for words in (what.strip(), "falls to 0", f"--schedule-steps {2 * steps} ", f"--schedule-steps {steps} "):
        assert words in str(refused.value)
    kept = asked(steps=2 * steps, schedule_steps=steps)
    assert schedules_of(kept) == schedules_of(before)
    assert schedules_of(asked(steps=2 * steps, schedule_steps=2 * steps))[-1].ends > schedules_of(before)[-1].ends
    begun(out, kept)
    assert asked() == asked(steps=2 * steps) == kept  # it was told once
    with pytest.raises(Refusal, match="falls to 0"):
        asked(steps=3 * steps)


@pytest.mark.parametrize(
    "settings",
    [
        {"explore": "1:0:3000"}, {"target": "cosine:0.05/900"}, {"target": "geometric:100:1.1"},
        {"prioritise": "0.6:0.4"}, {"explore": "0"},
    ],
)  # fmt: skip
def test_what_has_a_length_of_its_own_or_does_not_end_at_0_goes_on(tmp_path, settings):
    out = begun(tmp_path / "run", dataclasses.replace(DQN, **settings))
    assert gone_on(out, steps=60_000).schedule_steps == 10_000


def test_what_is_told_of_schedules():
    many = dataclasses.replace(DQN, prioritise="0.6:0.4", target="cosine:0.05")
    assert in_words(dataclasses.replace(many, steps=60_000, schedule_steps=10_000), 5_500, 475) == (
        "epsilon stays at 0.05: its schedule ended at 5,000 transitions; beta of --prioritise goes on from 0.7 to 1 at"
        " 950 gradient steps; tau of --target goes on from 0.025 to 0 at 950 gradient steps (schedules keep to a budget"
        " of 10,000, and --schedule-steps changes that)"
    )
    assert in_words(dataclasses.replace(DQN, explore="0.1"), 0, 0) == ""
    assert in_words(PQN, 5_120, 80).endswith("the learning rate goes on from 5e-05 to 0 at 160 gradient steps")


def test_fitted_q_iteration_whose_memory_is_its_budget_goes_on_with_no_other(tmp_path):
    out = begun(tmp_path / "run", AGENTS["fqi"].defaults)
    assert gone_on(out, steps=50_000) == AGENTS["fqi"].defaults
    for steps in (60_000, 40_000):
        with pytest.raises(Refusal, match="replay buffer of this run has room for its first budget of 50,000"):
            gone_on(out, steps=steps)


def test_a_run_in_two_parts_ends_as_if_its_schedules_had_been_said_at_once(tmp_path, capsys):
    """1,100 steps, then 2,100: the same bytes as 2,100 at once with the schedules of 1,100. Epsilon does not rise."""
    words = ["train", "CartPole-v1", "--net", "linear", "--warmup", "100", "--replay", "500", "--batch", "8"]
    words += ["--prioritise", "0.6:0.4", "--eval-episodes", "1", "--log-points", "2", "--diagnose", "0"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*words, "--steps", "2100", "--schedule-steps", "1100", "--out", str(whole), "--quiet"]) == 0
    assert main([*words, "--steps", "1100", "--out", str(parts), "--quiet"]) == 0
    capsys.readouterr()
    qtwin.train("CartPole-v1", out=parts, resume=True, steps=2_100, eval_episodes=1, log_points=2, diagnose=0)
    told = " ".join(capsys.readouterr().err.split())
    assert "epsilon stays at 0.05: its schedule ended at 550 transitions; beta of --prioritise stays at 1: its" in told
    points = read_points(parts / "metrics.jsonl")
    assert points[-1]["transitions"] == 2100
    assert [point["epsilon"] for point in points[2:]] == pytest.approx([0.05] * (len(points) - 2))
    newest = [sorted((out / "checkpoints").glob("cycle-*"))[-1] / "manifest.json" for out in (whole, parts)]
    one, two = (json.loads(file.read_text()) for file in newest)
    assert one["cycles"] == two["cycles"] == 200
    assert one["sha256"] == two["sha256"]


# Where each source begins its fall, from its own code, after t transitions.


def nature(t):
    """NeuralQLearner.lua, eGreedy."""
    return 0.1 + max(0, (1 - 0.1) * (1_000_000 - max(0, t - 50_000)) / 1_000_000)


def dqn_zoo(t):
    """parts.LinearSchedule, in frames."""
    fraction = min(max(4 * t - 200_000, 0), 4_000_000) / 4_000_000
    return (1 - fraction) * 1.0 + fraction * 0.1


def dopamine(t):
    """dqn_agent.linearly_decaying_epsilon."""
    return 0.01 + min(max((1 - 0.01) * (250_000 + 20_000 - t) / 250_000, 0.0), 1 - 0.01)


def minatar(t):
    """dqn.py, world_dynamics; random before the learning starts."""
    if t < 5_000:
        return 1.0
    return 0.1 if t - 5_000 >= 100_000 else (0.1 - 1.0) / 100_000 * (t - 5_000) + 1.0


SOURCES = {"nature": nature, "dqn-zoo": dqn_zoo, "minatar": minatar} | dict.fromkeys(
    ("dopamine", "dopamine-c51", "dopamine-rainbow", "dopamine-quantile", "dopamine-iqn"), dopamine
)


@pytest.mark.parametrize("name", SOURCES)
def test_exploration_falls_where_the_source_of_a_preset_has_it(name):
    for config in (PRESETS[name].config, dataclasses.replace(PRESETS[name].config, steps=400_000)):
        epsilon = exploration.schedule(config)
        for t in (0, 1_000, 5_001, 20_000, 50_000, 60_001, 105_000, 270_000, 300_000, 1_050_000, 2_000_000):
            assert float(epsilon(np.int32(t))) == pytest.approx(SOURCES[name](t), abs=1e-6)


def test_after_the_warm_up_is_after_its_last_whole_vector_step():
    config = Config("CartPole-v1", warmup=95, envs=10, steps=1_000, explore="1:0:50%:after-warmup")
    epsilon = exploration.schedule(config)
    assert [float(epsilon(np.int32(t))) for t in (0, 100, 350, 600, 1_000)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    for wrong in ("1:0.05:50%:after", "1:0.05:50%:", "0.1:after-warmup", "1:0.05:50%:after-warmup:2"):
        with pytest.raises(Refusal, match="after-warmup"):
            exploration.parse(wrong, 1_000)


@pytest.mark.parametrize(
    ("settings", "epsilon"),
    [
        ({"steps": 12_000}, "0.05"),
        ({"steps": 25_000}, "0.239"),  # 10,010 of 12,500 transitions
        ({"steps": 50_000}, None),  # two fifths of the way
        ({"steps": 12_000, "explore": "1:0.05:50%:after-warmup"}, None),
        ({"steps": 12_000, "explore": "0.1"}, None),
        ({"explore": "1:0.1:5000"}, "0.1"),
        ({"steps": 12_000, "schedule_steps": 500_000}, None),
    ],
)
def test_a_warm_up_that_uses_up_exploration_is_told_before_the_run(settings, epsilon):
    request = build("CartPole-v1", settings=settings)
    if epsilon is None:
        assert request.notes == ()
        return
    (note,) = request.notes
    assert note.startswith(f"epsilon is {epsilon} at the first gradient step: the warm-up takes 10,000 transitions")
    assert f"--explore {request.config.explore}:after-warmup" in note
    now = exploration.schedule(request.config)(np.int32(10_000 + 10))
    assert float(now) == pytest.approx(float(epsilon), abs=5e-4)


def test_no_agent_s_own_settings_use_up_their_exploration():
    for name, record in AGENTS.items():
        assert build(record.defaults.env, agent=name).notes == ()
