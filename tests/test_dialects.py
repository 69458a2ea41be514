"""Two dialects, one vocabulary: refusals for Python and for the command line, and the words of other libraries."""

import ast
import re
from pathlib import Path

import pytest

import qtwin
from qtwin.agents.catalog import AGENTS, config_of
from qtwin.cli import main
from qtwin.config.dialect import PROSE, in_python, python_dialect
from qtwin.config.options import SETTINGS, option, read_fields, read_settings
from qtwin.config.siamese import SiameseConfig
from qtwin.config.synonyms import SYNONYMS
from qtwin.envs.catalog import resolve
from qtwin.errors import Refusal
from qtwin.request.command_line import train_options
from qtwin.request.parser import Parser
from qtwin.request.run_options import read_options

PACKAGE = Path(qtwin.__file__).parent
SAC = AGENTS["sac"].defaults
# Values of options that are plain words, as they stand in messages.
_VALUES = """
async auto best no yes disk double dqn drop fqi functional gym hosted huber linear max memory minatar nature none online
random running sac shift simsiam sparse tied impala
"""
VALUES = frozenset(_VALUES.split())


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("write --target soft:0.005", 'write target="soft:0.005"'),
        ("--lr is positive; write --lr 0.00025", "learning_rate is positive; write learning_rate=0.00025"),
        ("write --net mlp:120,84, or --agent dqn.", 'write net="mlp:120,84", or agent="dqn".'),
        ("--support=-10:10 (or --n-step 1)", 'support="-10:10" (or n_step=1)'),
        ("leave out --agent or --preset", "leave out agent or preset"),
        ("--stop-gradient no, --steps 1_000", "stop_gradient=False, steps=1_000"),
        ("--resume goes on with --out DIR", 'resume=True goes on with out="DIR"'),
        ("--quiet is True or False", "quiet is True or False"),
        ("write --self-predict simsiam as well", 'write self_predict="simsiam" as well'),
        (
            "write qtwin train CartPole-v1 --resume --out runs/a-1",
            'write qtwin.train("CartPole-v1", resume=True, out="runs/a-1")',
        ),
        ("qtwin siamese byol --resume --out x; or", 'qtwin.train_encoder("byol", resume=True, out="x"); or'),
        ("see qtwin list envs", "see qtwin list envs"),
    ],
)  # fmt: skip
def test_options_become_keywords(message, told):
    assert in_python(message) == told
    assert in_python(told) == told


def messages():
    """Every text in the package, with its parts that are computed left blank."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield file, "".join(each.value if isinstance(each, ast.Constant) else "\0" for each in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield file, node.value


def test_the_word_after_an_option_in_a_message_is_known_to_be_prose_or_a_value():
    """A new message may need its word in `PROSE`, or here in ``VALUES``."""
    unknown = {
        (file.name, found[0])
        for file, text in messages()
        for found in re.finditer(r"--[a-z][a-z-]* ([a-z]+)(?=[\s,;)]|\.?$|\. )", text)
        if found[1] not in PROSE | VALUES
    }
    assert not unknown


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"gamma": 0.98}, "discount=0.98"),
        ({"tau": 0.005}, 'target="soft:0.005"'),
        ({"total_timesteps": 1e5}, "steps=100000"),
        ({"buffer_size": 50_000}, "replay=50000"),
        ({"learning_starts": 100}, "warmup=100"),
        ({"target_update_interval": 500}, 'target="hard:500"'),
        ({"net_arch": [64, 64]}, 'net="mlp:64,64"'),
        ({"policy_kwargs": {}}, "net="),
        ({"exploration_fraction": 0.1}, "explore="),
        ({"device": "cuda"}, "JAX_PLATFORMS"),
        ({"n_envs": 8}, "envs=8"),
        ({"verbose": 1}, "quiet=True"),
        ({"targt": "tied"}, "did you mean 'target'?"),
        ({"explore": True}, "explore is text"),
        ({"net": 5}, "net is text"),
        ({"learning_rate": 0.1, "lr": 0.1}, "same setting"),
    ],
)
def test_python_is_answered_in_python_with_the_word_of_qtwin(settings, told):
    with pytest.raises(Refusal) as refused, python_dialect():
        read_settings(settings, SAC)
    assert told in str(refused.value)
    assert "--" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train CartPole-v1 --gamma 0.98", "qtwin calls it --discount 0.98"),
        ("train CartPole-v1 --tau=0.005", "qtwin calls it --target soft:0.005"),
        ("train CartPole-v1 --total-timesteps 1000", "qtwin calls it --steps 1000"),
        ("train CartPole-v1 --num_envs 4", "qtwin calls it --envs 4"),
        ("train CartPole-v1 --verbose", "qtwin calls it --quiet"),
        ("compare CartPole-v1 --start-e 1", "--explore START:END:OVER"),
        ("siamese byol --batch_size 64", "qtwin calls it --batch 64"),
        ("siamese byol --gamma 1", "unknown option '--gamma'"),
    ],
)
def test_the_command_line_is_answered_in_options(capsys, words, told):
    assert main(words.split()) == 2
    assert told in capsys.readouterr().err


def test_a_word_that_means_nothing_to_a_method_is_not_offered_there():
    with pytest.raises(Refusal) as refused:
        read_fields({"gamma": 1}, SiameseConfig(), ("method", "data"))
    assert "discount" not in str(refused.value)


def test_a_file_with_the_words_of_another_library(tmp_path, capsys):
    (tmp_path / "a.toml").write_text("gamma = 0.9\n", encoding="utf-8")
    assert main(["train", "CartPole-v1", "--config", str(tmp_path / "a.toml")]) == 2
    assert "qtwin calls it --discount 0.9" in capsys.readouterr().err


def test_every_answer_names_options_that_there_are():
    parser = Parser(prog="qtwin")
    train_options(parser)
    known = {*parser.options(), "--video", "--protocol"}
    for word, answer in SYNONYMS.items():
        named = set(re.findall(r"--[a-z-]+", answer))
        assert named <= known, word
    assert len(SYNONYMS) > 250
    words = {option(field).removeprefix("--").replace("-", "_") for field in SETTINGS}
    assert not words & set(SYNONYMS), "a word of qtwin's own"


def test_short_and_long_names_and_numbers_where_text_takes_them():
    assert read_settings({"lr": "1e-3", "explore": 0.1, "temperature": 0.2, "target_entropy": -3}, SAC) == {
        "learning_rate": 1e-3, "explore": "0.1", "temperature": "0.2", "target_entropy": "-3",
    }  # fmt: skip
    assert read_settings({"actor_lr": 1e-4}, SAC) == {"actor_learning_rate": 1e-4}
    assert config_of("sac", "Pendulum-v1", lr=0.5).learning_rate == 0.5
    parser = Parser(prog="qtwin")
    train_options(parser)
    for words in ("--lr 0.1 --actor-lr 0.2", "--learning-rate 0.1 --actor-learning-rate 0.2"):
        asked = parser.parse_args(words.split())
        assert (asked.learning_rate, asked.actor_learning_rate) == ("0.1", "0.2")


@pytest.mark.parametrize("name", ["quiet", "resume"])
@pytest.mark.parametrize("value", ["no", "yes", 1, None])
def test_a_flag_is_true_or_false(name, value):
    with pytest.raises(Refusal, match=f"{name} is a flag"):
        read_options({name: value}, 9)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ("MiniGrid-Empty-5x5-v0", "once that has been imported"),
        ("gym:MiniGrid-Empty-5x5-v0", "once that has been imported"),
        ("highway-v0", "once that has been imported"),
        ("LunarLander-v2", "did you mean 'LunarLander-v3'?"),
        ("Hoper-v4", "did you mean 'Hopper-v4'?"),
        ("cartpole", "did you mean 'CartPole-v1'?"),
        ("Breakout", "did you mean 'minatar:Breakout'?"),
        ("minigrid:Empty-5x5", "there are gymnax, minatar"),
        ("brax:foo", "there are brax:ant, brax:halfcheetah"),
    ],
)
def test_an_unknown_environment_leads_to_one_of_its_family_or_to_none(env, told):
    with pytest.raises(Refusal) as refused:
        resolve(env)
    assert told in str(refused.value)
    assert "did you mean" in told or "did you mean" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: qtwin.train("CartPole-v1", gamma=0.9), "unknown setting 'gamma'; qtwin calls it discount=0.9"),
        (lambda: qtwin.train("CartPole-v1", learning_rate=0), "learning_rate"),
        (lambda: qtwin.train("CartPole-v1", quiet="no"), "quiet is a flag"),
        (lambda: qtwin.train("CartPole-v1", overlap="no"), "overlap is a flag"),
        (lambda: qtwin.train("CartPole-v1", resume=True), 'out="DIR"'),
        (lambda: qtwin.train_encoder("byol", tau=0.01), 'target="soft:0.01"'),
    ],
)
def test_the_functions_speak_python(tmp_path, monkeypatch, call, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal) as refused:
        call()
    assert told in str(refused.value)
    assert "--" not in str(refused.value)
