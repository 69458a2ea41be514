"""The command line: what is wrong is said in one line with exit code 2, without JAX, and nothing is left behind."""

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qtwin.agents.catalog import AGENTS, every_setting
from qtwin.cli import main
from qtwin.cli.listing import LISTS
from qtwin.config.config import Config
from qtwin.config.options import SETTINGS, option
from qtwin.errors import Refusal
from qtwin.request.help_text import agents_settings, shared_settings
from qtwin.request.presets import PRESETS
from qtwin.request.train import build

ROOT = Path(__file__).parent.parent

# (request, what the line must say)
REFUSED = [
    ("nonsense", "unknown command 'nonsense'"),
    ("tran CartPole-v1", "did you mean 'train'?"),
    ("train", "needs ENV"),
    ("train CartPole-v2", "did you mean 'CartPole-v1'?"),
    ("train cartpole-v1", "did you mean 'CartPole-v1'?"),
    ("train gymnax:Catc", "did you mean 'gymnax:Catch"),
    ("train minatar:Pong", "unknown environment 'minatar:Pong'"),
    ("train gymnx:CartPole-v1", "did you mean 'gymnax'?"),
    ("train CartPole-v1 --preprocessing v5", "--preprocessing is for Atari games"),
    ("train envpool:CartPol-v1", "envpool"),
    ("train probe:constent", "did you mean 'probe:constant'?"),
    ("train MNISTBandit-bsuite", "download"),
    ("train Pendulum-v1 --agent dqn", "Pendulum-v1 has continuous actions"),
    ("train gymnax:Swimmer-misc --preset cleanrl", "discrete"),
    ("train gym:Pendulum-v1 --agent fqi", "discrete"),
    ("train CartPole-v1 --agent td3", "CartPole-v1 has discrete actions"),
    ("train Pendulum-v1 --net minatar", "minatar"),
    ("train Pendulum-v1 --net mlp:64+layrnorm", "layernorm"),
    ("train Pendulum-v1 --net mlp:64+dropout=2", "dropout"),
    ("train Pendulum-v1 --actor-net mlp", "mlp"),
    ("train Pendulum-v1 --temperature hot", "temperature"),
    ("train Pendulum-v1 --target-entropy low", "target entropy"),
    ("train Pendulum-v1 --agent td3 --smoothing 0.2", "SIGMA:CLIP"),
    ("train Pendulum-v1 --agent tqc --quantiles 5 --drop 5", "--drop 4"),
    ("train Pendulum-v1 --agent tqc --loss huber", "quantile Huber loss"),
    ("train Pendulum-v1 --agent redq --critics 2 --subset 3", "--subset 2"),
    ("train Pendulum-v1 --critics 0", "--critics"),
    ("train Pendulum-v1 --actor-every 0", "--actor-every"),
    ("train Pendulum-v1 --normalise runing", "running"),
    ("train FrozenLake-v1 --normalise running", "the index of a state"),
    ("train Pendulum-v1 --net mlp:64+leeky", "leaky"),
    ("train CartPole-v1 --init sparse", "+leaky"),
    ("train FrozenLake-v1 --init sparse --net mlp:64,8,64", "a layer here has 8"),
    ("train Pendulum-v1 --optimiser adam:1e-8:1", "B1"),
    ("train Pendulum-v1 --bootstrap double", "actor"),
    ("train CartPole-v1 MountainCar-v0", "'MountainCar-v0'"),
    ("train CartPole-v1 --agent dqnn", "did you mean 'dqn'?"),
    ("train CartPole-v1 --agent sak", "sac"),
    ("train CartPole-v1 --preset dopamin", "did you mean 'dopamine'?"),
    ("train CartPole-v1 --preset sb3 --agent fqi", "recipe for the agent dqn"),
    ("train Catch --preset sb3-zoo", "none for gymnax:Catch-bsuite"),
    ("train CartPole-v1 --preset nature", "images of at least 36x36"),
    ("train CartPole-v1 --preset minatar", "--net mlp:120,84"),
    ("train CartPole-v1 --targt hard:5", "did you mean '--target'?"),
    ("train CartPole-v1 --targ hard:5", "did you mean '--target'?"),
    ("train CartPole-v1 --learning-rte=0.1", "unknown option '--learning-rte=0.1'"),
    ("train CartPole-v1 --steps", "--steps needs a value"),
    ("train CartPole-v1 --quiet=yes", "takes no value"),
    ("train CartPole-v1 --target hard:0", "at least 1, not 0"),
    ("train CartPole-v1 --target hard:1.5", "whole number"),
    ("train CartPole-v1 --target soft:0.9", "soft:0.1"),
    ("train CartPole-v1 --target soft:-1", "between 0 and 0.5"),
    ("train CartPole-v1 --target soft", "needs a number"),
    ("train CartPole-v1 --target herd:5", "did you mean 'hard'?"),
    ("train CartPole-v1 --target tied:5", "takes no number"),
    ("train CartPole-v1 --target until:0.01", "until:0.01/2000"),
    ("train CartPole-v1 --target hard:nan", "is not one"),
    ("train CartPole-v1 --net mpl:64", "did you mean 'mlp'?"),
    ("train CartPole-v1 --net mlp:", "mlp:120,84"),
    ("train CartPole-v1 --net mlp:64,-3", "whole numbers"),
    ("train CartPole-v1 --net table", "discrete observation"),
    ("train CartPole-v1 --bootstrap dubble", "did you mean 'double'?"),
    ("train CartPole-v1 --agent online_q --bootstrap double", "online_q"),
    ("train CartPole-v1 --loss hubber", "did you mean 'huber'?"),
    ("train CartPole-v1 --optimiser adan", "did you mean 'adam'?"),
    ("train CartPole-v1 --optimiser rmsprop:0.01:insde", "did you mean 'inside'?"),
    ("train CartPole-v1 --lr 0", "greater than 0"),
    ("train CartPole-v1 --lr fast", "not fast"),
    ("train CartPole-v1 --lr nan", "not nan"),
    ("train CartPole-v1 --discount 1.1", "between 0 and 1"),
    ("train CartPole-v1 --max-gradient-norm -1", "at least 0"),
    ("train CartPole-v1 --explore 1:0.05", "START:END:OVER"),
    ("train CartPole-v1 --explore 2", "between 0 and 1"),
    ("train CartPole-v1 --explore 1:0.1:150%", "share of the budget"),
    ("train CartPole-v1 --steps ten", "--steps is a whole number"),
    ("train CartPole-v1 --steps 0", "budget"),
    ("train CartPole-v1 --steps 1.5", "whole number"),
    ("train CartPole-v1 --steps 99999999999", "between 1 and"),
    ("train CartPole-v1 --envs 0", "--envs 8"),
    ("train CartPole-v1 --regress 0", "regress is a whole number of at least 1"),
    ("train CartPole-v1 --warmup 1_000_000", "leaves nothing to learn from"),
    ("train CartPole-v1 --batch 128 --replay 100", "--replay 128 or more"),
    ("train CartPole-v1 --collect 20000", "a cycle with 10 environments needs 20000"),
    ("train CartPole-v1 --n-step 0", "--n-step 1"),
    ("train CartPole-v1 --n-step 3000", "environments needs 30000"),
    ("train CartPole-v1 --n-step 50 --warmup 0", "--warmup 500"),
    ("train CartPole-v1 --replay 0", "--batch 10 or less"),
    ("train CartPole-v1 --agent online_q --n-step 3", "--n-step 3"),
    ("train CartPole-v1 --batch 0", "--data FILE"),
    ("train CartPole-v1 --collect 0", "--data FILE"),
    ("train CartPole-v1 --agent fqi --data missing.safetensors", "missing.safetensors"),
    ("train CartPole-v1 --agent fqi --data missing.safetensors --collect 4", "nothing is collected"),
    ("train CartPole-v1 --agent online_q --data missing.safetensors", "--agent fqi"),
    ("train CartPole-v1 --seeds 0", "--seeds is a whole number of at least 1"),
    ("train CartPole-v1 --seed -1", "--seed is a whole number"),
    ("train CartPole-v1 --seed 2147483647 --seeds 2", "up to 2147483647"),
    ("train CartPole-v1 --eval-episodes 0", "--eval-episodes"),
    ("train CartPole-v1 --log-points -3", "--log-points"),
    ("train CartPole-v1 --engine fusd", "did you mean 'fused'?"),
    ("train gym:CartPole-v1 --engine fused", "--engine hosted"),
    ("train gym:CartPole-v1 --env-mode asink", "did you mean 'async'?"),
    ("train gym:CartPole-v1 --on-nan dorp", "did you mean 'drop'?"),
    ("train CartPole-v1 --env-mode async", "write gym:..."),
    ("train CartPole-v1 --on-nan drop --engine hosted", "leave it out"),
    ("train CartPole-v1 --out full", "not empty"),
    ("train CartPole-v1 --out run", "holds another run"),
    ("train CartPole-v1 --out file", "is a file"),
    ("train CartPole-v1 --out file/below", "no directory to write in"),
    ("train CartPole-v1 --resume", "--out DIR"),
    ("train CartPole-v1 --resume --out rum", "did you mean 'run'?"),
    ("train CartPole-v1 --resume --out nowhere-at-all", "no run at nowhere-at-all"),
    ("train CartPole-v1 --resume --out damaged", "damaged"),
    ("train Acrobot-v1 --resume --out run", "learns CartPole-v1, not Acrobot-v1"),
    ("eval", "needs RUN"),
    ("eval rum", "did you mean 'run'?"),
    ("eval nowhere-at-all", "no run at nowhere-at-all"),
    ("eval damaged", "damaged"),
    ("eval wrong-type", "'collect' has the wrong type"),
    ("eval run", "policy.json"),
    ("eval run --episodes 0", "--episodes"),
    ("eval run --env CartPole-v9", "did you mean 'CartPole-v1'?"),
    ("rates --preset cleanrll", "did you mean 'cleanrl'?"),
    ("rates --preset sb3 --agent dqn", "both came"),
    ("rates --agent dnq", "did you mean 'dqn'?"),
    ("rates --envs x", "--envs"),
    ("rates --preset nature --preprocessing natur", "did you mean 'nature'?"),
    ("rates --target soft:0.7", "soft:0.3"),
    ("list agent", "did you mean 'agents'?"),
    ("record CartPole-v1", "needs --out"),
    ("record CartPole-v1 --out new.safetensors", "--steps 10000"),
    ("record CartPole-v1 --out new.safetensors --steps 0", "--steps"),
    ("record CartPole-v1 --out file --steps 10", "already"),
    ("record CartPole-v1 --out no/where.safetensors --steps 10", "does not exist"),
    ("record CartPole-v1 --out new.safetensors --steps 10 --policy rum", "did you mean 'run'?"),
    ("record CartPole-v1 --out new.safetensors --steps 10 --epsilon 2", "--epsilon"),
    ("record FrozenLake-v1 --out new.safetensors --steps 10 --enumerate", "leave one of them out"),
]
if importlib.util.find_spec("ale_py"):
    REFUSED += [
        ("train ale:Pnog --preset nature", "did you mean 'ale:Pong'?"),
        ("train ale:Pong", "write --net nature"),
        ("train ale:Pong --preset nature --preprocessing v4", "did you mean 'v5'?"),
    ]


@pytest.fixture(name="here")
def directory_with_runs(tmp_path, monkeypatch):
    """A working directory with a full directory, a file, a run under way and two damaged ones."""
    monkeypatch.chdir(tmp_path)
    good = {"config": dataclasses.asdict(AGENTS["dqn"].defaults), "env": "gymnax:CartPole-v1", "seeds": [3, 4]}
    wrong = {**good, "config": {**good["config"], "collect": "ten"}}
    for name, text in (("run", json.dumps(good)), ("wrong-type", json.dumps(wrong)), ("damaged", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text, encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    return tmp_path


def tree(path):
    return sorted((str(file), file.read_bytes() if file.is_file() else None) for file in path.rglob("*"))


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[words for words, _ in REFUSED])
def test_a_wrong_request_is_one_line_and_exit_code_2(here, capsys, words, says):
    before = tree(here)
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("qtwin: ")
    assert said.err.count("\n") == 1
    assert says in said.err
    assert "Traceback" not in said.err
    assert tree(here) == before


def python(code, cwd, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *(["-c", code] if code else []), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=120)


def test_help_lists_rates_and_refusals_do_not_import_jax(here):
    answered = [
        "", "--help", "--version", "train --help", "compare --help", "siamese --help", "eval --help", "rates --help",
        "record --help",
        "record --help",
        "list", "list agents", "list targets", "list envs", "list presets --json", "list nets",
        "rates", "rates --preset sb3 sb3-zoo nature --envs 8", "rates --agent fqi --json",
    ]  # fmt: skip
    # envpool imports JAX by itself, and its names are known in no other way.
    refused = [words for words, _ in REFUSED if "envpool:" not in words]
    requests = [words.split() for words in [*answered, *refused]]
    code = f"""
import sys
from qtwin.cli import main
codes = [main(words) for words in {requests!r}]
assert codes == [0] * {len(answered)} + [2] * {len(refused)}, codes
heavy = [name for name in ("jax", "flax", "optax", "gymnax", "matplotlib") if name in sys.modules]
assert not heavy, heavy
"""
    done = python(code, here)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("words", ["--help", "list envs", "train CartPole-v1 --target soft:0.9", "eval nowhere-at-all"])
def test_as_a_program_of_its_own(here, words):
    done = python("", here, "-m", "qtwin", *words.split())
    refused = words.startswith(("train", "eval"))
    assert done.returncode == (2 if refused else 0)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == refused


def test_a_closed_pipe_is_no_error(here):
    command = [sys.executable, "-m", "qtwin", "list", "envs", "--json"]
    with subprocess.Popen(
        command, cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(60) == 0


def test_every_field_of_config_has_an_option():
    assert set(SETTINGS) | {"env", "agent", "data"} == {field.name for field in dataclasses.fields(Config)}


def test_said_aloud_goes_before_the_preset_before_the_agent(here):
    plain = build("CartPole-v1").config
    assert plain == AGENTS["dqn"].defaults
    assert build("CartPole-v1", agent="fqi").config == AGENTS["fqi"].defaults
    preset = build("Acrobot-v1", preset="sb3").config
    assert preset == dataclasses.replace(PRESETS["sb3"].config, env="Acrobot-v1")
    aloud = build(
        "Acrobot-v1", preset="sb3", settings={"target": "soft:0.01", "learning_rate": "1e-3", "envs": 4}
    ).config
    assert aloud == dataclasses.replace(preset, target="soft:0.01", learning_rate=1e-3, envs=4)
    assert build("MountainCar-v0", preset="sb3-zoo").config.discount == 0.98


def test_a_preset_on_another_environment_is_allowed_and_said(here):
    assert build("CartPole-v1", preset="cleanrl").notes == ()
    (note,) = build("CartPole-v1", preset="dopamine", settings={"net": "mlp:64,64", "steps": 100_000}).notes
    assert "made for Atari" in note


@pytest.mark.parametrize(
    ("text", "steps"), [("100000", 100_000), ("100_000", 100_000), ("1e5", 100_000), ("2.0e5", 200_000)]
)
def test_ways_to_write_a_whole_number(here, text, steps):
    assert build("CartPole-v1", settings={"steps": text}).config.steps == steps


def test_seeds_and_directories(here):
    request = build("CartPole-v1", seeds="3", seed="5")
    assert request.seeds == (5, 6, 7)
    assert request.out == os.path.join("runs", "CartPole-v1-dqn-1")
    (here / "runs" / "CartPole-v1-dqn-1").mkdir(parents=True)
    assert build("CartPole-v1").out == os.path.join("runs", "CartPole-v1-dqn-2")
    assert build("minatar:Breakout").out == os.path.join("runs", "Breakout-MinAtar-dqn-1")
    (here / "empty").mkdir()
    assert build("CartPole-v1", out="empty").out == "empty"
    assert build("CartPole-v1", out="deep/below").out == "deep/below"


def test_a_resumed_run_keeps_its_settings_and_its_seeds(here):
    saved = json.loads((here / "run" / "config.json").read_text(encoding="utf-8"))
    saved["config"]["target"] = "soft:0.005"
    (here / "run" / "config.json").write_text(json.dumps(saved), encoding="utf-8")
    request = build("gymnax:CartPole-v1", out="run", resume=True, settings={"steps": 600_000})
    assert request.config == dataclasses.replace(
        AGENTS["dqn"].defaults, target="soft:0.005", steps=600_000, schedule_steps=500_000
    )
    assert (request.seeds, request.resume) == ((3, 4), True)


def test_a_run_of_an_earlier_version_goes_on_without_the_settings_that_came_later(here):
    saved = json.loads((here / "run" / "config.json").read_text(encoding="utf-8"))
    saved["config"] = {name: value for name, value in saved["config"].items() if "self_predict" not in name}
    (here / "run" / "config.json").write_text(json.dumps(saved), encoding="utf-8")
    assert build("CartPole-v1", out="run", resume=True).config == AGENTS["dqn"].defaults


def test_offline_nothing_is_collected(here):
    with pytest.raises(Refusal, match=r"none\.safetensors"):
        build("CartPole-v1", agent="fqi", settings={"data": "none.safetensors"})


@pytest.mark.parametrize(
    "setting", [{"steps": True}, {"steps": 1.5}, {"target": 500}, {"learning_rate": "x"}, {"stps": 5}]
)
def test_settings_of_the_wrong_type_are_refused(here, setting):
    with pytest.raises(Refusal):
        build("CartPole-v1", settings=setting)


def test_rates_as_json_are_the_cards_numbers(capsys):
    assert main(["rates", "--preset", "sb3", "nature", "--envs", "8", "--json"]) == 0
    sb3, nature = json.loads(capsys.readouterr().out)
    assert (sb3["name"], sb3["envs"], sb3["cycle_transitions"], sb3["frames"]) == ("sb3", 8, 8, None)
    assert sb3["gradient_steps_per_target_update"] == 2500
    assert "312.5" in sb3["note"]
    assert (nature["frames"], nature["transitions"], nature["target_updates"]) == (200_000_000, 50_000_000, 4995)


def test_rates_fit_in_80_columns_and_say_where_they_come_from(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["rates", "--preset", "cleanrl", "sb3", "nature", "minatar"]) == 0
    out = capsys.readouterr().out
    assert "gradient steps per target update" in out
    assert "made for Atari" in out
    assert all(len(line) <= 80 for line in out.splitlines() if ": " not in line or line.startswith(" "))
    assert "emulator frames" in out


def test_rates_without_a_name_show_the_three_settings(capsys):
    assert main(["rates", "--steps", "40000", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in cards] == ["online_q", "dqn", "fqi"]
    assert all(card["transitions"] <= 40_000 for card in cards)


@pytest.mark.parametrize("what", [(), *((each,) for each in LISTS)], ids=lambda what: "".join(what) or "lists")
def test_lists_fit_into_80_columns_and_hold_what_json_holds(capsys, monkeypatch, what):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", *what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["list", *what, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [line.split("  ")[0] for line in lines if not line.startswith(" ")] == list(found)
    assert all(len(line) <= 80 for line in lines)
    shown = "".join("".join(lines).split())
    assert all("".join(about.split()) in shown for about in found.values())


@pytest.mark.parametrize("command", ["train", "compare", "rates", "siamese", "eval", "record", "list"])
def test_help_fits_into_80_columns(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_train_help_shows_the_common_options_first_then_groups_and_the_agents_own(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    first, *groups = text.split("\n\n")[3:]
    common = re.findall(r"^  (--[a-z-]+)", first, re.M)
    assert first.startswith("options:")
    assert 15 <= len(common) <= 20
    assert {"--agent", "--steps", "--target", "--lr", "--out", "--seeds", "--explore"} <= set(common)
    titles = [group.splitlines()[0] for group in groups]
    assert "settings of qr_dqn, iqn, tqc:" in titles
    assert "other options:" not in titles, "an option has no group"
    every = [*re.findall(r"^  (--[a-z-]+)", text, re.M)]
    assert len(every) == len(set(every))
    assert {option(name) for name in every_setting()} <= set(every)
    assert "(default: hard:50 for dqn)" in " ".join(text.split())[:4000].replace(
        "targets; default", "targets) (default"
    )


def test_every_setting_says_its_default(capsys):
    own, _ = agents_settings()
    for name, shown in (shared_settings() | own).items():
        assert shown.default, name
    assert shared_settings()["target"].default == "hard:50 for dqn"
    assert shared_settings()["discount"].default == "0.99"
    assert own["quantiles"].default == "200 for qr_dqn, 64 for iqn, 25 for tqc"


def test_an_agent_that_diverges_ends_with_one_line_and_exit_code_1(here, capsys):
    words = "train gym:Pendulum-v1 --agent ddpg --net mlp:4 --lr 1e30 --actor-lr 1e30 --warmup 64 --batch 8 --steps 600"
    assert main([*words.split(), "--quiet", "--eval-episodes", "1"]) == 1
    told = capsys.readouterr().err
    assert "no finite number" in told
    assert "Traceback" not in told
