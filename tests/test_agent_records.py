"""The agents' records: whole, read by their screens, and the only place where facts about an agent stand."""

import argparse
import dataclasses
import json
import pickle
import re
from pathlib import Path

import pytest

from qtwin.agents import catalog, info
from qtwin.agents.catalog import AGENTS, config_of, own_settings, readers_of
from qtwin.agents.info import problems
from qtwin.agents.own import OF_EVERY_AGENT, Atoms, Nothing
from qtwin.cli import main
from qtwin.config.config import Config, config_class, setting
from qtwin.envs.catalog import resolve
from qtwin.errors import Refusal
from qtwin.lab.grid import Protocol, cells_of
from qtwin.request.config_file import said
from qtwin.request.train import build

PACKAGE = Path(__file__).resolve().parents[1] / "qtwin"
SCREENS = {name: [record.build] for name, record in AGENTS.items()}
SCREENS["dqn"] += ["qtwin.agents.maxmin:maxmin", "qtwin.agents.iterated:iterated"]
SCREENS["sac"] += ["qtwin.agents.discrete_sac:discrete_sac"]
RECORDS = {"agents/value_records.py", "agents/actor_records.py"}
# What a plain request means, what messages advise, and the three settings of `qtwin rates` stand elsewhere too.
ADVISED = ("dqn", "sac", "online_q", "fqi")


def screen_of(build):
    return PACKAGE.parent / f"{build.partition(':')[0].replace('.', '/')}.py"


@pytest.mark.parametrize("agent", AGENTS)
def test_its_record_is_whole(agent):
    assert problems(AGENTS[agent]) == []


@dataclasses.dataclass(frozen=True)
class Unread:
    wideness: int = setting(3, "N", "what no screen looks at")


@dataclasses.dataclass(frozen=True)
class Bare:
    atoms: int = 51


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"output": ""}, "output is one of"),
        ({"defaults": None}, "defaults are no run of this agent"),
        ({"defaults": AGENTS["dqn"].defaults}, "defaults are no run of this agent"),
        ({"defaults": dataclasses.replace(AGENTS["c51"].defaults, loss="mse")}, "'mse', is none of its losses"),
        ({"about": ""}, "about is empty"),
        ({"actions": ("some",)}, "actions are some of"),
        ({"keeps": "a bit"}, "keeps is one of"),
        ({"build": "qtwin.agents.c52:c51"}, "'qtwin.agents.c52', which there is not"),
        ({"build": "qtwin.agents.c51:c52"}, "'c52', which qtwin.agents.c51 does not define"),
        ({"own": Unread, "defaults": info.becoming(AGENTS["c51"].defaults, "c51", Unread)}, "own setting wideness"),
        ({"own": Bare, "defaults": info.becoming(AGENTS["c51"].defaults, "c51", Bare)}, "neither what it takes"),
    ],
)
def test_a_record_that_is_half_filled_is_told(change, told):
    assert any(told in problem for problem in problems(AGENTS["c51"]._replace(**change)))


@pytest.mark.parametrize("agent", AGENTS)
def test_its_screen_reads_its_own_settings_and_no_others(agent):
    shared = {field.name for field in dataclasses.fields(Config)}
    own = {field.name for field in dataclasses.fields(AGENTS[agent].own)}
    for screen in SCREENS[agent]:
        read = set(re.findall(r"\bc\.(\w+)", screen_of(screen).read_text(encoding="utf-8")))
        assert read - shared <= own, screen


def test_a_setting_of_one_agent_is_no_setting_of_all():
    @dataclasses.dataclass(frozen=True)
    class Clash:
        batch: int = setting(3, "N", "what every agent has")

    with pytest.raises(TypeError, match="batch is a setting of every agent"):
        config_class(Clash)


def test_own_settings_stand_beside_the_shared_ones():
    c = config_of("c51", "CartPole-v1", atoms=7, batch=3)
    assert (c.atoms, c.batch, c.support) == (7, 3, "-10:10")
    assert dataclasses.asdict(c)["atoms"] == 7
    assert dataclasses.replace(c, atoms=9).atoms == 9
    assert type(c) is config_class(Atoms)
    with pytest.raises(Refusal, match="the agent c51 has no setting 'quantiles'"):
        config_of("c51", "CartPole-v1", quantiles=3)
    plain = catalog.becoming(c, "dqn")
    assert type(plain) is config_class(Nothing)
    assert (plain.batch, plain.agent, hasattr(plain, "atoms")) == (3, "dqn", False)


def test_what_is_for_other_agents_is_refused():
    assert readers_of("quantiles") == ("qr_dqn", "iqn", "tqc")
    assert "stream_q" not in readers_of("optimiser")
    with pytest.raises(Refusal, match="the agent dqn does not use --quantiles, which is for qr_dqn or iqn or tqc;"):
        build("CartPole-v1", settings={"quantiles": "9"})
    with pytest.raises(Refusal, match="the agent stream_q does not use --optimiser; leave it out"):
        build("CartPole-v1", agent="stream_q", settings={"optimiser": "sgd"})


@pytest.mark.parametrize(
    ("agent", "field", "value", "told"),
    [
        ("c51", "atoms", "1", "--atoms is a whole number of at least 2, not 1"),
        ("qr_dqn", "quantiles", "0", "--quantiles is a whole number of at least 1, not 0"),
        ("pqn", "trace", "1.5", "--trace is a number between 0 and 1, not 1.5; write --trace 0.95"),
        ("c51", "atoms", "-1", "--atoms is a whole number of at least 2, not -1"),
        ("sac", "actor_every", "3000000000", "--actor-every is a whole number up to 2,147,483,647, not"),
        ("redq", "critics", "1e9", "--critics is a whole number up to 1,000, not 1000000000; write"),
        ("c51", "support", "3", "the support is written VMIN:VMAX"),
        ("sac", "temperature", "hot", "the temperature is auto"),
        ("redq", "subset", "11", "a target over 11 of 10 critics"),
    ],
)
def test_its_own_settings_are_held_to_their_bounds(agent, field, value, told):
    env = "Pendulum-v1" if AGENTS[agent].acts else "CartPole-v1"
    with pytest.raises(Refusal) as refused:
        build(env, agent=agent, settings={field: value})
    assert told in str(refused.value)


def test_every_own_setting_is_told_once_in_the_help():
    told = [name for fields in own_settings().values() for name in fields]
    assert len(told) == len(set(told))
    assert set(told) == {field.name for record in AGENTS.values() for field in dataclasses.fields(record.own)}


@pytest.mark.parametrize("agent", ["dqn", "c51", "td3"])
def test_a_run_of_before_is_gone_on_with_and_its_file_is_a_request(tmp_path, agent):
    env = "Pendulum-v1" if AGENTS[agent].acts else "CartPole-v1"
    config = dataclasses.replace(AGENTS[agent].defaults, env=env, steps=50_000)
    saved = {"config": OF_EVERY_AGENT | dataclasses.asdict(config), "env": f"gymnax:{env}", "seeds": [0]}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert build(env, out=str(tmp_path), resume=True).config == config
    words = argparse.Namespace(config=str(tmp_path), env=None, agent=None, seed=None, seeds=None)
    for name in saved["config"]:
        setattr(words, name, None)
    asked = said(words)
    assert set(asked) >= {field.name for field in dataclasses.fields(config)} - {"schedule_steps"}
    assert not set(asked) & (set(OF_EVERY_AGENT) - {field.name for field in dataclasses.fields(AGENTS[agent].own)})


def test_a_run_is_not_gone_on_with_by_another_agent(tmp_path):
    """Whatever settings of its own that one has."""
    for before, after in (("dqn", "c51"), ("c51", "iqn"), ("c51", "dqn"), ("qr_dqn", "hl_gauss")):
        saved = {"config": dataclasses.asdict(AGENTS[before].defaults), "env": "gymnax:CartPole-v1", "seeds": [0]}
        (tmp_path / "config.json").write_text(json.dumps(saved))
        with pytest.raises(Refusal, match=f"was started with agent '{before}', not '{after}'"):
            build("CartPole-v1", agent=after, out=str(tmp_path), resume=True)


def test_a_runs_file_is_a_request_for_another_agent_too(tmp_path):
    """What the file says of its own agent's settings is left out where it is what they are by default."""
    config = dataclasses.asdict(AGENTS["sac"].defaults)
    (tmp_path / "config.json").write_text(json.dumps({"config": config, "seeds": [0]}))
    words = argparse.Namespace(config=str(tmp_path), env=None, agent="td3", seed=None, seeds=None, smoothing=None)
    for name in config:
        setattr(words, name, getattr(words, name, None))
    assert "temperature" not in said(words)
    assert said(words)["actor_every"] == "1"
    config["temperature"] = "0.3"
    (tmp_path / "config.json").write_text(json.dumps({"config": config, "seeds": [0]}))
    assert said(words)["temperature"] == "0.3"  # which the request refuses


def test_a_config_is_pickled_and_must_be_its_agents():
    c = config_of("c51", "CartPole-v1", atoms=7)
    for config in (c, Config("CartPole-v1")):
        assert pickle.loads(pickle.dumps(config)) == config
        assert type(pickle.loads(pickle.dumps(config))) is type(config)
    spec = resolve("CartPole-v1")
    with pytest.raises(Refusal, match=r"has settings of its own \(atoms, support\).*qtwin.config_of\('c51'"):
        catalog.algorithm(spec, Config("CartPole-v1", agent="c51"))
    with pytest.raises(Refusal, match="the agent dqn has no setting 'atoms', which is for c51 or hl_gauss or rainbow"):
        config_of("dqn", "CartPole-v1", atoms=3)
    with pytest.raises(Refusal, match=r"no setting 'atom'.*did you mean 'atoms'"):
        config_of("c51", "CartPole-v1", atom=3)


def test_cards_side_by_side_take_what_is_for_some_of_their_agents(capsys):
    assert main(["rates", "--agent", "dqn", "redq", "--actor-every", "7", "--json"]) == 0
    assert [card["actor_every"] for card in json.loads(capsys.readouterr().out)] == [None, 7]
    assert main(["rates", "--critics", "3"]) == 2
    assert "the agent online_q does not use --critics, which is for" in capsys.readouterr().err


def test_a_comparison_of_before_is_gone_on_with():
    """Its cells' directories are named by a digest of the settings, which every run then had all of."""
    hard, _ = cells_of(
        Protocol("CartPole-v1", 1, eval_episodes=2, log_points=2),
        {"target": ["hard:50", "soft:0.05"], "net": ["mlp:8"], "steps": ["600"], "warmup": ["200"]},
    )
    assert hard.folder == "hard-50-a516e09e"  # as commit 70a0a98 named it


@pytest.mark.parametrize("agent", [name for name in AGENTS if name not in ADVISED])
def test_the_facts_about_an_agent_stand_in_its_record_alone(agent):
    """Its name, as a word of the code: on its screen, in its record, and where a recipe or a message means it."""
    named = re.compile(rf"""["'`]{agent}["'`]|--agent {agent}\b""")
    found = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if named.search(file.read_text(encoding="utf-8")) and "presets" not in file.parts
    }
    allowed = RECORDS | {str(screen_of(screen).relative_to(PACKAGE)) for screen in SCREENS[agent]}
    assert found <= allowed, found - allowed


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_has_its_probes_and_its_row_in_the_docs(agent):
    root = PACKAGE.parent
    probes = [root / "tests" / name for name in ("test_probes.py", "test_continuous_probes.py")]
    pages = [root / "README.md", *(root / "docs").glob("*.md")]
    assert any(f'"agent": "{agent}"' in file.read_text(encoding="utf-8") for file in probes)
    assert any(f"`{agent}`" in file.read_text(encoding="utf-8") for file in pages)
