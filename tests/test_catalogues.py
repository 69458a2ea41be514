"""What can be chosen by name has one record with every fact about it: none is half filled, nothing asks for a name."""

import ast
import dataclasses
import functools
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from qtwin.algorithm import Agent
from qtwin.cli.rate_card import column, rows
from qtwin.config import bootstrap_specs
from qtwin.config.bootstrap_specs import BOOTSTRAPS, REGULARISERS
from qtwin.config.config import Config
from qtwin.envs import catalog as homes
from qtwin.envs.make import jax_env
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.lab.grid import price_group
from qtwin.lab.results import MEASURES as SHOWN
from qtwin.measure import catalog as measures
from qtwin.measure.diagnostics import Readings, read
from qtwin.records import imported
from qtwin.replay import catalog as replays
from qtwin.replay import remember
from qtwin.replay.room import replay_bytes
from qtwin.request.siamese import check
from qtwin.request.siamese_defaults import defaults_for
from qtwin.siamese import catalog as methods
from qtwin.state import TrainState
from qtwin.storage import schemas
from qtwin.target_update import rules, specs
from qtwin.target_update.catalog import SPECS
from qtwin.twin import Twin
from qtwin.types import Aux, Transition, Variables

ROOT = Path(__file__).resolve().parent.parent
CATALOGUES = {
    "targets": (SPECS, specs.problems),
    "bootstraps": (BOOTSTRAPS, bootstrap_specs.problems),
    "regularisers": (REGULARISERS, bootstrap_specs.problems),
    "homes": (homes.HOMES, homes.problems),
    "replays": (replays.REPLAYS, replays.problems),
    "measures": (measures.MEASURES, measures.problems),
    "methods": (methods.METHODS, methods.problems),
}
DOCS = {"targets": "targets.md", "bootstraps": "targets.md", "regularisers": "targets.md"}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (table, _) in CATALOGUES.items() for name in table]
)  # fmt: skip
def test_a_record_is_whole(kind, name):
    table, problems = CATALOGUES[kind]
    assert problems(table[name]) == []
    assert table[name][0] == name, "the first field"


def never(*given):
    raise AssertionError


# Records that lack something, and what is said of them.
HALF = [
    ("targets", "soft", {"form": ""}, "form is empty"),
    ("targets", "soft", {"about": ""}, "about is empty"),
    ("targets", "soft", {"make": None}, "make is empty"),
    ("targets", "soft", {"example": "hard:5"}, "example does not begin with the name"),
    ("targets", "soft", {"example": "soft:x"}, "cannot be made: .*'x' is not one"),
    ("targets", "chain", {"marks": ":"}, "2 to 3 numbers do not fit the marks ':'"),
    ("targets", "chain", {"most": 2}, "cannot be made: .*takes two numbers"),
    ("targets", "soft", {"takes": "counts"}, "takes is one of nothing, numbers, rule, not counts"),
    ("targets", "last-layer", {"takes": "numbers"}, "'hard:500' is not one"),
    ("targets", "tied", {"make": rules.hard}, "cannot be made: .*every"),
    ("targets", "tied", {"make": rules.frozen}, "make returns a rule whose spec is frozen"),
    ("targets", "tied", {"make": dict}, "make returns dict, not a TargetUpdate"),
    ("bootstraps", "double", {"build": ""}, "build is empty"),
    ("bootstraps", "double", {"build": "qtwin.td.bootstrap:doubly"}, "doubly, which does not exist"),
    ("bootstraps", "double", {"build": "qtwin.td.bootstraps:double"}, "bootstraps:double, which does not exist"),
    ("bootstraps", "mellowmax", {"read": None}, "read is missing"),
    ("bootstraps", "double", {"read": never}, "read is not needed"),
    ("bootstraps", "double", {"paper": ""}, "paper is empty"),
    ("bootstraps", "double", {"bare": True}, "it takes none"),
    ("regularisers", "proximal", {"example": "proximal"}, "example proximal is not written proximal:C"),
    ("replays", "ring", {"about": ""}, "about is empty"),
    ("replays", "ring", {"build": "qtwin.replay.ring:rings"}, "rings, which does not exist"),
    ("replays", "ring", {"unit": ""}, "unit is empty"),
    ("replays", "ring", {"unit": "steps"}, "not 'steps'"),
    ("replays", "prioritised", {"unit": "frames"}, "not 'frames'"),
    ("replays", "ring", {"row_bytes": None}, "row_bytes is no function"),
    ("measures", "churn", {"about": ""}, "about is empty"),
    ("measures", "churn", {"unit": ""}, "unit is empty"),
    ("measures", "churn", {"needs": "policy"}, "needs is one of values, layers, not 'policy'"),
    ("measures", "churn", {"found_on": ""}, "found_on is one of the probe batch"),
    ("measures", "churn", {"logged": "never"}, "logged is one of per seed, .*, not 'never'"),
    ("measures", "churn", {"log_name": "greedy_churn"}, "calls it otherwise"),
    ("methods", "byol", {"paper": ""}, "paper is empty"),
    ("methods", "byol", {"build": "qtwin.siamese.byol:moco"}, "qtwin.siamese.byol:moco, which does not exist"),
    ("methods", "byol", {"defaults": None}, "defaults is empty"),
    ("methods", "byol", {"on_digits": {"tau": 0.1}}, "on_digits names 'tau', which is no setting"),
    ("methods", "byol", {"target": "tied"}, "target is one of any, none, not tied"),
    ("methods", "byol", {"target": "none"}, "it has no target, and its defaults name one"),
    ("methods", "moco", {"defaults": {}}, "it has no predictor, and its defaults do not say so"),
    ("homes", "brax", {"about": ""}, "about is empty"),
    ("homes", "brax", {"resolve": ""}, "resolve is empty"),
    ("homes", "brax", {"make": "qtwin.envs.brax_envs:brax_environment"}, "brax_environment, which does not exist"),
    ("homes", "brax", {"try_out": "qtwin.envs.brax:try_out"}, "qtwin.envs.brax:try_out, which does not exist"),
    ("homes", "brax", {"engine": "jax"}, "engine is one of fused, hosted, not jax"),
    ("homes", "brax", {"form": "brax"}, "form is not written prefix:NAME"),
    ("homes", "brax", {"remark": "qtwin.envs.probe_specs:probe_remark"}, "names is empty"),
    ("homes", "probe", {"more": "; and others"}, "names is not empty"),
    ("homes", "gym", {"known": ""}, "plain and known go together"),
    ("regularisers", "proximal", {"build": "qtwin.td.bootstrap"}, "qtwin.td.bootstrap, which does not exist"),
]


@pytest.mark.parametrize(
    ("kind", "name", "change", "says"), HALF, ids=[f"{i}: {half[0]} {half[1]}" for i, half in enumerate(HALF)]
)
def test_a_half_filled_record_is_told(kind, name, change, says):
    table, problems = CATALOGUES[kind]
    found = problems(table[name]._replace(**change))
    assert any(re.search(says, each) for each in found), found


@pytest.mark.parametrize("kind", DOCS)
def test_a_record_has_its_row_in_the_docs(kind):
    text = (ROOT / "docs" / DOCS[kind]).read_text(encoding="utf-8")
    table = CATALOGUES[kind][0]
    missing = [info.form for name, info in table.items() if f"`{info.form}`" not in text and name != "none"]
    assert not missing, f"in docs/{DOCS[kind]}"


def test_a_method_has_its_column_in_the_docs():
    header = next(line for line in (ROOT / "docs" / "siamese.md").read_text("utf-8").splitlines() if "| DQN |" in line)
    for info in methods.METHODS.values():
        assert f"| {info.about.partition(':')[0]} " in header


# Where a name may stand, as a whole string of the code, beside the file of its record: what else stands there, and why.
EXAMPLE = "a value that is set, not a question"
ELSEWHERE = {
    "qtwin/__init__.py": "the public functions by name",
    "qtwin/agents/defaults.py": EXAMPLE,
    "qtwin/config/option_specs.py": f"{EXAMPLE}, and self-predictive losses, some of which have a method's name",
    "qtwin/config/siamese.py": EXAMPLE,
    "qtwin/request/presets": EXAMPLE,
    "qtwin/request/parser.py": EXAMPLE,
    "qtwin/agents": "an agent's record and its screen, which are another catalogue's",
    "qtwin/request/check_values.py": "what an agent allows, which is another catalogue's",
}
OWN = {
    # rules.py and adaptive_rules.py: a rule says how it is written
    "targets": ("qtwin/target_update",),
    "replays": ("qtwin/replay/catalog.py",),
    # Beside the record: the alarms; what a report draws; what may be read back, which is below `measure` and cannot ask
    # it (the test of the measures holds both); what a log point says of Siamese features, which are measured elsewhere.
    "measures": (
        "qtwin/measure/catalog.py",
        "qtwin/measure/alarms.py",
        "qtwin/lab/page.py",
        "qtwin/lab/results.py",
        "qtwin/storage/metrics.py",
        "qtwin/storage/schemas.py",
        "qtwin/storage/metrics.py",
        "qtwin/run/siamese/",
    ),
    "methods": ("qtwin/siamese/catalog.py",),
    "bootstraps": ("qtwin/config/bootstrap_specs.py",),
    "regularisers": ("qtwin/config/bootstrap_specs.py",),
    # beside the record: where a home says its environments' full names, prefix and all
    "homes": (
        "qtwin/envs/catalog.py",
        "qtwin/envs/gymnax_specs.py",
        "qtwin/envs/brax_specs.py",
        "qtwin/envs/probe_specs.py",
        "qtwin/envs/ale_envs.py",
        "qtwin/envs/gym_envs.py",
        "qtwin/envs/envpool_envs.py",
    ),
}
# Words that mean something else as well, and where.
OTHER_MEANING = {
    "chain": {"qtwin/envs/probe_specs.py", "qtwin/envs/probes.py"},  # a probe environment
    "frozen": {"qtwin/measure/alarms.py"},  # an alarm
    # of an emulator; the option --frames
    "frames": {
        f"qtwin/{file}.py"
        for file in ("cli/rate_card", "request/run_config", "request/train", "agents/info", "request/command_line")
    },
    # logged against what bounds them, beside the evaluations
    "largest_q": {"qtwin/run/diagnose.py"},
    "largest_reward": {"qtwin/run/diagnose.py"},
    "rank_limit": {"qtwin/run/diagnose.py"},
    "minatar": {f"qtwin/nets/{file}.py" for file in ("bodies", "build", "describe", "names")}  # a network
    | {"qtwin/request/check_self_prediction.py"},
    "gymnax": {"qtwin/lab/results.py", "qtwin/request/run_config.py"},  # a package with a version
    # How a picture is drawn is the film's to know, of the two homes that can: Gymnasium's and ALE's.
    "ale": {"qtwin/run/video.py"},
    # env_mode and on_nan, which the home's `replaces` says since it has a record
    # and where a registered id is handed in with arguments
    "gym": {"qtwin/run/video.py", "qtwin/request/train.py", "qtwin/envs/handed_in.py"},
    # the bootstrap that every agent has, until an agent's record says which it allows; and what minto takes of two
    "max": {"qtwin/request/check_target.py", "qtwin/config/config.py", "qtwin/td/bootstrap.py", "qtwin/td/targets.py"},
}
EVERYWHERE = {"none"}  # nothing can be told from it


@pytest.mark.parametrize("kind", OWN)
def test_a_name_stands_in_its_records_file_alone(kind):
    """So that a new table, or a question for a name, fails here: ask the record what it can do."""
    strange = {}
    for file, name in strings():
        name = name.removesuffix(":")
        known = any(file.startswith(own) for own in (*OWN[kind], *ELSEWHERE)) or file in OTHER_MEANING.get(name, ())
        if name in CATALOGUES[kind][0] and name not in EVERYWHERE and not known:
            strange.setdefault(file, []).append(name)
    assert not strange, strange


@functools.cache
def strings() -> list[tuple[str, str]]:
    """Every string of the package's code that is not its documentation: (file, string)."""
    found = []
    for file in sorted((ROOT / "qtwin").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        name = str(file.relative_to(ROOT))
        found += [
            (name, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ]
    return found


# What a rule says of itself, wherever it stands inside another


def test_a_rule_says_what_it_can_do_and_so_does_a_rule_around_it():
    private = {"until:0.1/50", "last-layer:until:0.1/50"}
    for spec in (*private, "hard:5", "tied", "geometric:4:1.5", "averaged:3:10", "chain:3:10", "last-layer:hard:5"):
        assert specs.parse(spec).shared_clock is (spec not in private), spec
        assert (specs.parse(spec).moves_in(100) is None) is (spec in private), spec
    assert [specs.parse(spec).row for spec in ("hard:5", "chain:1:10", "chain:3:10")] == [0, 1, 3]
    assert specs.parse("last-layer:averaged:3:10").copies == 3


@pytest.mark.parametrize("spec", ["until:0.1/50", "last-layer:until:0.1/50"])
def test_the_rate_card_gives_the_most_where_the_regression_decides(spec):
    card = dict(rows([column("dqn", Config("CartPole-v1", target=spec), None)]))
    assert card["target updates"] == ["on convergence"]
    assert card["gradient steps per target update"] == ["at most 50"]


def test_cells_cost_the_same_whose_rules_hold_as_many_networks():
    def group(spec):
        return price_group(Config("CartPole-v1", target=spec))

    assert group("hard:5") == group("soft:0.1") == group("tied")
    assert group("averaged:3:10") == group("averaged:3:50") != group("averaged:4:10")
    assert group("last-layer:averaged:3:10") != group("last-layer:averaged:4:10")
    assert len({group(spec) for spec in ("hard:5", "averaged:3:10", "chain:3:10", "chain:4:10")}) == 4


# What a home says of itself


def test_the_home_of_an_environment_and_of_one_that_has_none():
    assert homes.home_of("gym:CartPole-v1") == (homes.HOMES["gym"], "CartPole-v1")
    assert homes.home_of(EnvSpec("ale:Pong", (84, 84, 4), "uint8", 6))[0].preprocesses
    assert homes.home_of("gym") == (None, "gym"), "an id, not a prefix"
    assert homes.home_of("mine:Corridor-v0") == (None, "Corridor-v0")
    assert {name for name, home in homes.HOMES.items() if home.replaces} == {"gym"}
    with pytest.raises(Refusal, match="mine:Corridor-v0 cannot be created from its name"):
        jax_env(EnvSpec("mine:Corridor-v0", (), "float32", 2))


def test_every_listed_name_lives_in_the_home_that_lists_it():
    for home in homes.HOMES.values():
        for name, spec in (imported(home.names)() if home.names else {}).items():
            assert homes.resolve(name) == spec
            assert spec.engine == home.engine


# The kind of replay that a config asks for

PLAIN = EnvSpec("gym:X-v0", (2,), "float32", 4, engine="hosted")
PICTURES = EnvSpec("ale:X", (84, 84, 4), "uint8", 6, stack=4, engine="hosted")
RINGS = {PLAIN: ("ring", 2 * 2 * 4 + 4 + 9), PICTURES: ("frames", 84 * 84 + 4 + 18)}


@pytest.mark.parametrize("env", RINGS, ids=["numbers", "pictures"])
def test_the_first_kind_that_suits_is_taken_and_its_rows_are_counted(env):
    ring, row = RINGS[env]
    for settings, names, taken in (
        ({}, [ring], 10_000 * row),
        ({"prioritise": "0.6:0.4"}, ["prioritised", ring], 10_000 * (row + 4)),
        ({"replay": 0, "prioritise": "0.6:0.4"}, ["latest"], 0),
        ({"data": "some.safetensors", "prioritise": "0.6:0.4"}, ["dataset"], 0),
    ):
        config = Config("X-v0", **settings)
        assert [info.name for info in replays.kinds(env, config)] == names
        assert replay_bytes(env, config) == taken


def test_a_prioritised_replay_stands_around_the_ring():
    assert remember(PLAIN, Config("X-v0")).update is None
    assert remember(PLAIN, Config("X-v0", prioritise="0.6:0.4")).update is not None


# What is measured


def test_a_measure_stands_in_readings_in_the_log_in_the_lab_and_in_the_docs():
    assert Readings._fields == (*measures.MEASURES, "outside")
    told = " ".join(Readings.__doc__.split())
    known, docs = schemas.log_point(), (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    for name, info in measures.MEASURES.items():
        assert f"{name}: {info.about}" in told
        assert not info.paper or info.paper in told
        assert f"`{info.log_name}`" in docs, name
        if info.logged != "by layer":
            assert info.log_name in {**known.fields, **known.optional}, name
        if info.logged == "per seed":
            assert name in SHOWN, "or a comparison would leave it out"


def test_what_the_agent_does_not_tell_is_not_measured():
    """Of an agent without values or layers exactly those measures are None that say that they need them."""

    def loss(twin, batch, key):
        return 0.0, Aux(jnp.zeros(2), jnp.zeros(2))

    network = Variables({"q": jnp.ones((2, 2))}, {})
    state = TrainState((), Twin(network, network), (), (), None, None, None, jax.random.key(0))
    batch = Transition(jnp.array([0, 1]), jnp.array([0, 0]), jnp.ones(2), jnp.ones(2), jnp.array([1, 0]))
    tells = {
        "values": lambda variables, obs: variables.params["q"][obs],
        "layers": lambda variables, obs: (jnp.eye(2),),
    }
    for silent in ({"values"}, {"layers"}, {"values", "layers"}):
        agent = Agent(None, None, loss, *(None if what in silent else tells[what] for what in ("values", "layers")))
        found = read(SimpleNamespace(agent=agent), lambda s: s)(state, batch)
        absent = {name for name in found._fields if getattr(found, name) is None}
        assert absent == {name for name, info in measures.MEASURES.items() if info.needs in silent}


# What a method says of itself


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_method_is_asked_what_it_can_do(name):
    info = methods.METHODS[name]
    for data in ("digits", "images", "frames.safetensors"):
        plain = defaults_for(name, data)
        check(plain)
        for change, allowed in (
            ({"target": "hard:100"}, info.target == "any"),
            ({"predictor": "fixed"}, info.predictor),
            ({"symmetric": False}, info.symmetric),
            ({"stop_gradient": False, "target": "tied"}, info.ablates_stop_gradient),
            ({"queue": plain.batch - 1}, not info.queue),
        ):
            asked = dataclasses.replace(plain, **change)
            if allowed:
                check(asked)
            else:
                with pytest.raises(Refusal, match=r"leave it out|; write"):
                    check(asked)
