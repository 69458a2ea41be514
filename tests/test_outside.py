"""A package from outside (tests/outside) has everything that the built-in agents, rules, environments have (law 10)."""

import dataclasses
import inspect
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_survive import last_state

import qtwin
from qtwin.agents.catalog import every_setting
from qtwin.agents.info import OPTIONS
from qtwin.cli import main
from qtwin.cli.dispatch import COMMANDS
from qtwin.config.bootstrap_specs import BOOTSTRAPS, REGULARISERS
from qtwin.errors import Refusal
from qtwin.lab import price
from qtwin.lab.grid import Protocol, cells_of, price_group
from qtwin.measure.catalog import LOG_FIELDS, MEASURES
from qtwin.records import catalogue, imported
from qtwin.request.imports import split_imports
from qtwin.request.parser import Parser
from qtwin.request.presets import PRESETS
from qtwin.run.logs import read_points
from qtwin.siamese.catalog import METHODS
from qtwin.storage import schemas
from qtwin.target_update.specs import parse

HERE = Path(__file__).resolve().parent
LITTLE = [
    "--net", "mlp:8", "--warmup", "50", "--batch", "8", "--steps", "600", "--collect", "4", "--envs", "2",
    "--log-points", "3", "--eval-episodes", "2", "--diagnose", "1", "--quiet",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("nothing_registered_stays", "this_checkout")
OURS = ["--agent", "cautious", "--caution", "0.5", "--target", "bounded:0.1:0.5", "--import", "outside"]


@pytest.fixture(name="this_checkout")
def child_processes_in_other_directories_find_it(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent))


@pytest.fixture(name="here")
def in_the_directory_of_the_package(monkeypatch):
    monkeypatch.chdir(HERE)


def told(capsys, *words):
    """What a command says, and its exit code."""
    code = main(list(words))
    said = capsys.readouterr()
    return code, said.out + said.err


# The whole way, on the command line


def test_it_is_imported_without_jax():
    source = "import sys, outside; assert not {'jax', 'gymnasium', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_lists_and_rate_cards_know_it(here, capsys):
    assert main(["list", "agents"]) == 0
    assert "cautious" not in capsys.readouterr().out
    code, text = told(capsys, "train", "--import", "outside", "--help")
    assert code == 0
    assert "--import MODULE" in text
    for words in ("cautious", "--caution W", "weight of the mean over actions", "--highest Y"):
        assert words in text
    for what, line in (
        ("agents", "cautious  "), ("targets", "bounded:TAU:MOST  "), ("envs", "corridor:20  "),
        ("envs", "guess:FIELDS  "), ("diagnostics", "margin  "),
    ):  # fmt: skip
        assert line in told(capsys, "list", what, "--import", "outside")[1]
    code, text = told(capsys, "rates", "--agent", "cautious", "--target", "bounded:0.1:0.5", "--import=outside")
    assert (code, "bounded:0.1:0.5" in text) == (0, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["corridor:6", "--agent", "cautios"], "unknown agent 'cautios'; did you mean 'cautious'?"),
        (["corridr:6"], "unknown home 'corridr:' in 'corridr:6'; did you mean 'corridor'?"),
        (["corridor:1"], "a corridor has 2 to 1000 fields, not '1'"),
        (["corridor:6", "--target", "bounde:0.1:3"], "did you mean 'bounded'?"),
        (["corridor:6", "--target", "bounded:0.1"], "'bounded' takes two numbers, written bounded:TAU:MOST, not"),
        (["corridor:6", "--target", "bounded:0.9:1"], "takes a fraction up to 0.5"),
        (["corridor:6", "--agent", "cautious", "--bootstrap", "minto"], "cautious"),
        (["corridor:6", "--agent", "cautious", "--caution", "2"], "--caution is a number"),
        (["corridor:6", "--agent", "cautious", "--highest", "0"], "--highest is a whole number of at least 1"),
        (["corridor:6", "--caution", "0.5"], "the agent dqn does not use --caution, which is for cautious"),
        (["corridor:6", "--cautoin", "0.5"], "did you mean '--caution'?"),
        (["Pendulum-v1", "--agent", "cautious"], "needs discrete ones"),
    ],
)
def test_a_wrong_request_is_refused_with_the_nearest_name(here, capsys, tmp_path, words, says):
    code, text = told(capsys, "train", *words, "--import", "outside", "--out", str(tmp_path / "run"))
    assert (code, text.count("\n")) == (2, 1)
    assert says in text
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from qtwin.engine.fleet import FusedFleet
from qtwin.engine.hosted_fleet import HostedFleet
count, request = int(sys.argv[1]), sys.argv[2:]
def counting(function):
    def called(*args, **kwargs):
        global count
        count -= 1
        if count == 0: os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return called
for fleet in (FusedFleet, HostedFleet): fleet.advance = counting(fleet.advance)
from qtwin.cli import main
sys.exit(main(["train", *request]))
"""


def in_python(out, **more):
    """What the command line does with `LITTLE` and `OURS`; Python takes the same names."""
    import outside  # noqa: F401

    given = {
        "agent": "cautious", "net": "mlp:8", "warmup": 50, "batch": 8, "steps": 600, "collect": 4, "envs": 2,
        "log_points": 3, "eval_episodes": 2, "quiet": True, "checkpoints": 6, "target": "bounded:0.1:0.5",
    }  # fmt: skip
    return qtwin.train(out=str(out), **given | more)


@pytest.mark.parametrize(("env", "diagnosed"), [("corridor:6", True), ("guess:3", False)])
def test_a_run_is_trained_killed_resumed_judged_and_loaded(here, capsys, tmp_path, env, diagnosed):
    whole, parts = (tmp_path / f"{env.partition(':')[0]}-{name}" for name in ("whole", "parts"))
    words = [env, *OURS, *LITTLE, "--checkpoints", "6", "--diagnose", str(int(diagnosed))]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "5", *words, "--out", str(parts)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert main(["train", *words, "--out", str(parts), "--resume"]) == 0
    trained = in_python(whole, env=env, caution=0.5, diagnose=int(diagnosed))
    assert trained.summary["target"] == "bounded:0.1:0.5"
    assert last_state(whole) == last_state(parts)
    points = [read_points(run / "metrics.jsonl", 1) for run in (whole, parts)]
    for name in ("loss", "eval_return", *(("margin", "churn") if diagnosed else ())):
        assert [point[name] for point in points[0]] == [point[name] for point in points[1]], name
    assert all(("margin" in point) is diagnosed for point in points[0])
    assert all(0 < point["margin"][0] < 100 for point in points[0] if diagnosed)

    saved = json.loads((whole / "config.json").read_text())["config"]
    assert (saved["agent"], saved["caution"], saved["highest"]) == ("cautious", 0.5, 1_000)
    code, text = told(capsys, "eval", str(whole), "--episodes", "2", "--import", "outside")
    assert (code, "over 2 episodes" in text) == (0, True), text
    if diagnosed:  # its own setting is read
        in_python(tmp_path / "bold", env=env, caution=0.0, diagnose=0)
        assert last_state(tmp_path / "bold") != last_state(whole)
    policy = qtwin.load(whole)
    assert policy(np.zeros(policy.spec.obs_shape, policy.spec.obs_dtype)) in range(policy.spec.num_actions)


def test_a_comparison_hands_the_module_on(here, capsys, tmp_path):
    out = tmp_path / "comparison"
    options = {
        "agent": ["cautious"], "target": ["bounded:0.1:0.5", "hard:20"], "net": ["mlp:8"], "warmup": ["50"],
        "batch": ["8"], "steps": ["600"], "collect": ["4"],
    }  # fmt: skip
    words = ["corridor:6", *(word for name, values in options.items() for word in (f"--{name}", *values))]
    words += ["--seeds", "1", "--log-points", "2", "--eval-episodes", "2", "--out", str(out), "--import", "outside"]
    main(["list", "agents", "--import", "outside"])
    protocol = Protocol("corridor:6", 1, log_points=2, eval_episodes=2, imports=("outside",))
    cells = cells_of(protocol, options)
    out.mkdir()
    known = {"compile": 1.0, "per_step": 1e-5, "platform": "cpu"}
    (out / "prices.json").write_text(json.dumps({price_group(cell.request.config): known for cell in cells}))
    assert cells[0].words[-2:] == ("--import", "outside")
    plain = cells_of(protocol._replace(imports=()), options)
    assert [cell.folder for cell in plain] == [cell.folder for cell in cells]
    capsys.readouterr()

    code, text = told(capsys, "compare", *words)
    assert code == 0, text
    for target in options["target"]:
        assert f"{target}: " in text
    plan = json.loads((out / "grid.json").read_text())
    assert "--import outside" in plan["command"]
    assert all("--import outside" in cell["command"] for cell in plan["cells"])
    found = json.loads((out / "compare.json").read_text())
    assert [len(cell["measures"]["margin"]["iqm"]) for cell in found["cells"]] == [2, 2]
    assert "value minus the second best one" in (out / "report.html").read_text()

    # The numbers are in the files; what the diagnostic is about is known only where it is registered.
    done = subprocess.run([sys.executable, "-m", "qtwin", "report", str(out)], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text()
    assert ("<h3>margin</h3>" in page, "value minus the second best one" in page) == (True, False)


def test_what_is_registered_in_this_process_alone_is_compared_in_it(installed):
    options = {"target": ["hard:20", "hard:30"], "net": ["mlp:8"]}

    def here(env, **protocol):
        return {cell.here for cell in cells_of(Protocol(env, 1, **protocol), options)}

    installed(envs=["corridor = outside.home:RECORD"])
    assert here("CartPole-v1") == {False}
    assert here("corridor:6") == {False}, "its entry point is there in every process"
    from outside.agent import RECORD, Caution

    qtwin.register(RECORD._replace(name="late", defaults=qtwin.recipe("late", Caution)))
    assert here("corridor:6") == {True}
    assert here("corridor:6", imports=("outside",)) == {False}


def test_a_price_is_measured_with_the_module(here, monkeypatch):
    monkeypatch.setattr(price, "MEASURE_SECONDS", 0.01)
    words = [word for word in LITTLE if word != "--quiet"]
    assert price.price(["corridor:6", *OURS, *words])["per_step"] > 0.0


# --import


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        (None, "nowhere", "--import nowhere: there is no module 'nowhere'"),
        (None, "outsid", "did you mean 'outside'?"),
        (None, "outside.nothing", "there is no module 'outside.nothing'"),
        (None, "./outside", "takes the dotted name of a module, as python -m does, and './outside' came"),
        (None, "outside.py", "write for example --import outside"),
        (None, "https://example.org/x.py", "takes the dotted name of a module"),
        (None, "a b", "takes the dotted name of a module"),
        (None, "", "takes the dotted name of a module"),
        ("raise ValueError('two\\nlines')", "mine", r"cannot be imported: ValueError: two lines ({here}/mine.py:1)"),
        ("import sys\n\nsys.exit(3)", "mine", "cannot be imported: SystemExit: 3 ({here}/mine.py:3)"),
        ("sys.exit(3", "mine", "SyntaxError: '(' was never closed ({here}/mine.py:1)"),
        ("import json\njson.loads('x')", "mine", "JSONDecodeError: Expecting value: line 1 column 1"),
        ("import json\njson.loads('x')", "mine", " ({here}/mine.py:2)"),
        ("import absent_package", "mine", "No module named 'absent_package' ({here}/mine.py:1)"),
        ("import qtwin\nqtwin.register(42)", "mine", "and 42 (int) came"),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_imported_is_one_sentence(tmp_path, monkeypatch, capsys, source, name, says):
    there = tmp_path if source else HERE
    monkeypatch.chdir(there)
    if source:
        (tmp_path / "mine.py").write_text(source)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(there.iterdir())
    code, text = told(capsys, "train", "CartPole-v1", "--import", name)
    assert (code, text.count("\n")) == (2, 1)
    assert says.replace("{here}", str(tmp_path)) in text
    assert "Traceback" not in text
    assert set(there.iterdir()) == before


def test_what_is_asked_for_stands_among_other_words(capsys):
    assert split_imports(["a", "--import", "b", "--x", "1", "--import=c.d", "--import", "b"]) == (
        ("b", "c.d"),
        ["a", "--x", "1"],
    )
    assert split_imports(["--", "--import", "b"]) == ((), ["--", "--import", "b"])
    assert told(capsys, "list", "agents", "--import") == (
        2,
        "qtwin: --import needs a value; see qtwin list --help\n",
    )
    for command in COMMANDS:
        assert "--import MODULE" in told(capsys, command, "--help")[1], command


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_module_is_imported_ends_the_command(tmp_path, number, code):
    (tmp_path / "mine.py").write_text(f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(20)\n")
    # SIGINT may be ignored where the tests run
    source = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); import qtwin.cli as cli; "
    words = [sys.executable, "-c", f"{source}sys.exit(cli.main())", "train", "CartPole-v1", "--import", "mine"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (code, "")
    assert not (tmp_path / "runs").exists()


def test_a_file_imports_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(HERE)
    (tmp_path / "asked.toml").write_text('env = "corridor:6"\nimport = "outside"\n')
    code, text = told(capsys, "train", "--config", str(tmp_path / "asked.toml"))
    assert (code, "unknown setting 'import'" in text) == (2, True)
    assert "outside" not in sys.modules


# register


def test_a_record_is_registered_once_and_again_when_its_module_is_imported_again():
    import outside
    from outside.agent import RECORD

    qtwin.register(RECORD)
    for name in [name for name in sys.modules if name.startswith("outside")]:
        del sys.modules[name]
    import outside as again

    assert again is not outside
    assert again.agent.RECORD is not RECORD
    with pytest.raises(
        Refusal, match=r"there is an agent 'cautious' already, registered by outside.agent, and another"
    ):
        qtwin.register(RECORD._replace(about="something else"))
    with pytest.raises(Refusal, match=r"there is an agent 'dqn' already, one of qtwin's own"):
        qtwin.register(RECORD._replace(name="dqn"))


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("agent", {"about": ""}, "the agent 'x' cannot be registered: about is empty"),
        ("agent", {"build": "outside.agent:reckless"}, "build refers to outside.agent:reckless, which does not exist"),
        ("agent", {"build": "outsider.agent:cautious"}, "which does not exist"),
        ("agent", {"build": "cautious"}, "build refers to cautious, which does not exist"),
        ("agent", {"build": 3}, "build is written package.module:name, not 3"),
        ("agent", {"defaults": None}, "defaults are no run of this agent"),
        ("agent", {"own": dict}, "own is no dataclass"),
        ("agent", {"losses": None}, "cannot be registered"),
        ("agent", {"output": "q"}, "output is one of"),
        ("agent", {"name": "my agent"}, "holds only letters, digits, '_', '-' and '.', and 'my agent' came"),
        ("agent", {"name": "a:b"}, "'a:b' came"),
        ("agent", {"name": ""}, "'' came"),
        ("agent", {"name": 3}, "'3' came"),
        ("rule", {"example": "x"}, "cannot be made"),
        ("rule", {"form": "y:TAU"}, "form does not begin with the name"),
        ("rule", {"make": "outside.rule:unbounded"}, "make refers to outside.rule:unbounded, which does not exist"),
        ("rule", {"make": None}, "make is empty"),
        ("rule", {"make": dict}, "cannot be registered"),
        ("home", {"resolve": ""}, "resolve is empty"),
        ("home", {"make": "outside.home:maker"}, "make refers to outside.home:maker, which does not exist"),
        ("home", {"engine": "gpu"}, "engine is one of fused, hosted"),
        ("home", {"extra": "mine"}, "extra is of qtwin's own packages"),
        ("home", {"prefix": "own", "form": "own:N"}, "own: stands before the names of what is handed in"),
        ("home", {"form": "corridor"}, "form is not written prefix:NAME"),
        ("diagnostic", {"read": ""}, "read is empty"),
        ("diagnostic", {"read": "outside.diagnostic:margins"}, "which does not exist"),
        ("diagnostic", {"unit": ""}, "unit is empty"),
        ("diagnostic", {"logged": "once"}, "logged is 'per seed'"),
        ("diagnostic", {"name": "loss"}, "a log point holds something else by that name"),
        ("diagnostic", {"needs": "policy"}, "needs is one of values, layers"),
    ],
)
def test_a_half_filled_record_is_refused(kind, change, says):
    import outside

    record = {"agent": outside.agent, "rule": outside.rule, "home": outside.home, "diagnostic": outside.diagnostic}[
        kind
    ]
    record = record.RECORD
    new = {type(record)._fields[0]: "x"}
    if kind == "rule":
        new |= {"form": "x:TAU:MOST", "example": "x:0.1:0.5"}
    if kind == "home":
        new |= {"form": "x:FIELDS"}
    with pytest.raises(Refusal) as refused:
        qtwin.register(record._replace(**new | change))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    for reference in catalogue.CATALOGUES.values():
        assert "x" not in imported(reference)


def test_an_own_setting_has_a_name_and_a_default_that_every_door_takes(capsys):
    import outside

    for name, default, says in (
        ("seeds", 3, "its own setting seeds has the name of an option of qtwin train"),
        ("lr", 0.1, "its own setting lr has the name of an option"),
        ("widths", (8, 8), "its own setting widths is by default no number, text, True or False, but (8, 8)"),
    ):
        field = (name, type(default), qtwin.setting(default, "N", "what it is"))
        own = dataclasses.make_dataclass("Own", [field], frozen=True)
        with pytest.raises(Refusal) as refused:
            qtwin.register(outside.agent.RECORD._replace(name="x", own=own, defaults=qtwin.recipe("x", own)))
        assert says in str(refused.value)
    shared = {field.name for field in dataclasses.fields(qtwin.Config)}
    for function in (qtwin.train, qtwin.session, qtwin.compare):
        assert set(inspect.signature(function).parameters) <= {*OPTIONS, *shared, "settings"}, function
    for command in ("train", "compare", "rates"):
        parser = Parser(prog="qtwin")
        imported(COMMANDS[command].options)(parser)
        others = {action.dest for action in parser._actions} - {*every_setting(), *shared}
        assert others <= set(OPTIONS), command


@pytest.mark.parametrize("what", [42, None, "dqn", qtwin.AgentInfo, ("a", "b"), {}, object()])
def test_what_is_no_record_is_refused(what):
    with pytest.raises(Refusal, match="register takes a record, one of AgentInfo, TargetRuleInfo"):
        qtwin.register(what)


def test_the_kinds_of_origin_and_what_they_are_asked_with():
    import outside

    for module, kind in (("rule", "target update"), ("home", "environment home"), ("diagnostic", "diagnostic")):
        record = getattr(outside, module).RECORD
        assert qtwin.origin_of(kind, record[0]) == f"outside.{module}"
    assert MEASURES.outside == ("margin",)


def test_functions_themselves_stand_in_records():
    """Where they are not in a module that can be imported, as in a notebook."""
    from outside import agent, rule

    qtwin.register(
        agent.RECORD._replace(name="lively", build=agent.cautious, defaults=qtwin.recipe("lively", agent.Caution))
    )
    renamed = {"name": "tight", "form": "tight:TAU:MOST", "example": "tight:0.1:0.5"}

    def tight(tau, most):
        return rule.bounded(tau, most)._replace(spec=f"tight:{tau}:{most}")

    qtwin.register(rule.RECORD._replace(make=tight, **renamed))
    assert qtwin.Config("corridor:6", target="tight:0.1:0.5")
    assert "lively" in qtwin.agents.catalog.AGENTS


def spec_of(**changes):
    return dataclasses.replace(qtwin.EnvSpec("x:6", (1,), "float32", 2, time_limit=24), **changes)


def raises(*given):
    raise ZeroDivisionError("by nothing")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resolve": raises}, "the environment home 'x': resolve raised ZeroDivisionError: by nothing ("),
        ({"resolve": lambda name: None}, "resolve returns a qtwin.EnvSpec, and a NoneType came"),
        (
            {"resolve": lambda name: spec_of(id="6")},
            "an id 'x:...' and the engine 'fused', and one with '6' and 'fused'",
        ),
        ({"resolve": lambda name: spec_of(engine="hosted")}, "and one with 'x:6' and 'hosted' came"),
        ({"make": raises}, "make raised ZeroDivisionError"),
        ({"make": lambda spec, name: 3}, "make returns a qtwin.JaxEnv with the spec that it was given, and a int came"),
        ({"make": "wider"}, "x:6: expected what a JaxEnv gives as step"),
        ({"make": lambda spec, name, care: raises, "hosted": True}, "raised ZeroDivisionError"),
        ({"make": lambda spec, name, care: None, "hosted": True}, "make returns a function of the number of env"),
        ({"make": "other", "hosted": True}, "make returns environments as resolve says"),
    ],
)
def test_a_home_that_does_not_keep_to_its_record_is_refused_before_the_run(tmp_path, change, says):
    from outside import home, hosted_home

    hosted = change.pop("hosted", False)
    record = home.RECORD._replace(prefix="x", form="x:N", names="", engine="hosted" if hosted else "fused")
    record = record._replace(resolve=lambda name: spec_of(engine=record.engine))
    others = {
        "wider": lambda spec, name: home.make(spec, name)._replace(reset=lambda key: (0, np.zeros(2, np.float32))),
        "other": lambda spec, name, care: hosted_home.make(spec, "6", care),
    }
    change = {field: others.get(value, value) for field, value in change.items()}
    qtwin.register(record._replace(**change))
    with pytest.raises(Refusal) as refused:
        qtwin.train("x:6", agent="dqn", out=str(tmp_path / "run"), net="mlp:8", quiet=True)
    assert says in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "says"), [(raises, "names raised ZeroDivisionError"), (lambda: [1], "names returns a dict from names to")]
)
def test_the_list_of_a_home_that_cannot_list_is_refused(capsys, names, says):
    from outside import home

    qtwin.register(home.RECORD._replace(prefix="x", form="x:N", names=names))
    code, text = told(capsys, "list", "envs")
    assert (code, says in text) == (2, True), text


def test_a_rule_that_raises_is_refused():
    from outside import rule

    def brittle(tau, most):
        return rule.bounded(tau, most / (tau - 0.3))._replace(spec="brittle:0.1:0.5") if tau < 0.2 else raises()

    qtwin.register(rule.RECORD._replace(name="brittle", form="brittle:T:M", example="brittle:0.1:-0.5", make=brittle))
    with pytest.raises(Refusal, match=r"the target update 'brittle:0.3:1' cannot be made: ZeroDivisionError"):
        parse("brittle:0.3:1")


def test_the_other_kinds_of_record(capsys):
    from qtwin.replay.catalog import REPLAYS, kinds

    bootstrap = BOOTSTRAPS["double"]._replace(name="twice", form="twice", paper="")
    regulariser = REGULARISERS["proximal"]._replace(name="near", form="near:C", example="near:3")
    method = METHODS["byol"]._replace(name="byte", about="BYTE: bytes", paper="")
    preset = dataclasses.replace(PRESETS["sb3"], name="lab")
    never = REPLAYS["ring"]._replace(name="never", suits=lambda env, c: c.batch == 77)
    for record in (bootstrap, regulariser, method, preset, never):
        qtwin.register(record)
        with pytest.raises(Refusal, match="already, registered by test_outside, and another"):
            qtwin.register(
                record._replace(about="else")
                if hasattr(record, "_replace")
                else dataclasses.replace(record, note="else")
            )
    for what, line in (
        ("bootstraps", "twice "), ("regularisers", "near:C "), ("methods", "byte "), ("presets", "lab "),
    ):  # fmt: skip
        assert line in told(capsys, "list", what)[1]
    env = qtwin.resolve("CartPole-v1")
    assert [kinds(env, qtwin.Config("CartPole-v1", batch=batch))[0].name for batch in (77, 78)] == ["never", "ring"]
    with pytest.raises(Refusal, match="its recipe is no run of a registered agent"):
        qtwin.register(dataclasses.replace(preset, name="other", config=None))
    with pytest.raises(Refusal, match="source is empty"):
        qtwin.register(dataclasses.replace(preset, name="other", source=""))


# A diagnostic


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (
            lambda agent, twin, batch: batch.reward,
            r"gives one number \[\] for each seed, and an array \[512\] of float32",
        ),
        (lambda agent, twin, batch: 1 / 0, "the diagnostic 'mine' raised ZeroDivisionError: division by zero"),
        (lambda agent, twin, batch: "much", "the diagnostic 'mine' raised TypeError"),
        (lambda agent: 0.0, "the diagnostic 'mine' raised TypeError"),
    ],
)
def test_a_diagnostic_that_cannot_be_read_is_refused_before_the_run(tmp_path, read, says):
    from outside.diagnostic import RECORD

    qtwin.register(RECORD._replace(name="mine", read=read))
    with pytest.raises(Refusal, match=says):
        qtwin.train("corridor:6", agent="cautious", out=str(tmp_path / "run"), net="mlp:8", diagnose=1, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_what_an_agent_does_not_tell_is_not_asked_for():
    from outside.diagnostic import RECORD, margin

    from qtwin.measure.diagnostics import read_outside

    silent = qtwin.Agent(None, None, None)
    qtwin.register(RECORD._replace(name="nothing", needs="", read=lambda agent, twin, batch: None))
    assert read_outside(silent, None, None) == {}
    assert margin.__module__ == "outside.diagnostic"


def test_every_field_of_a_log_point_is_known_to_be_taken():
    known = schemas.log_point()
    ours = {name for name, info in MEASURES.items() if not info.read}
    assert {*known.fields, *known.optional} <= {*LOG_FIELDS, *ours, "distance/LAYER"}  # a name may hold no slash


# Entry points


@pytest.fixture(name="installed")
def a_package_that_is_installed(tmp_path, monkeypatch):
    """``entry points -> None``: as pip leaves them, in a directory on ``sys.path``."""

    def install(**groups):
        home = tmp_path / "site"
        (home / "installed-1.0.dist-info").mkdir(parents=True)
        (home / "installed-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n"
        )
        lines = [line for group, points in groups.items() for line in (f"[qtwin.{group}]", *points)]
        (home / "installed-1.0.dist-info" / "entry_points.txt").write_text("\n".join(lines) + "\n")
        (home / "broken.py").write_text("raise RuntimeError('no luck')\n")
        (home / "installed.py").write_text(
            "import sys\nimport qtwin\nfrom outside import agent, home\n"
            "RECORD = agent.RECORD._replace(name='fetched', defaults=qtwin.recipe('fetched', agent.Caution))\n"
            "def homes(): return [home.RECORD]\ndef ends(): sys.exit(4)\n"
        )
        monkeypatch.syspath_prepend(str(HERE))
        monkeypatch.syspath_prepend(str(home))
        monkeypatch.setattr(catalogue, "_read", False)

    return install


def test_an_entry_point_is_read_when_a_name_is_not_known(installed, capsys):
    installed(agents=["fetched = installed:RECORD"], envs=["corridor = installed:homes"])
    assert qtwin.resolve("corridor:6").id == "corridor:6"
    assert "installed" in sys.modules
    assert qtwin.origin_of("agent", "fetched") == "installed"
    code, text = told(capsys, "rates", "--agent", "fetched", "--caution", "0.3", "--json")
    assert (code, json.loads(text)[0]["agent"]) == (0, "fetched")


def test_a_known_name_reads_none(installed):
    installed(agents=["fetched = installed:RECORD"])
    assert qtwin.config_of("dqn", "CartPole-v1").agent == "dqn"
    assert "installed" not in sys.modules


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ("bad = broken:RECORD", "the entry point bad of qtwin.agents cannot be loaded: RuntimeError: no luck"),
        ("bad = installed:nothing", "the entry point bad of qtwin.agents cannot be loaded: AttributeError"),
        ("bad = absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("bad = installed:ends", "SystemExit: 4"),
        ("bad = installed:sys", ""),
        ("bad = installed:__doc__", ""),
        ("bad = installed:__name__", "register takes a record"),
        ("bad = !", "cannot be loaded"),
    ],
)
def test_a_broken_entry_point_costs_a_line_and_not_the_command(installed, capsys, point, says):
    installed(agents=[point, "fetched = installed:RECORD"])
    code = main(["list", "agents"])
    said = capsys.readouterr()
    assert (code, "fetched" in said.out) == (0, True)
    assert said.err.count("\n") == bool(says)
    assert says in said.err
    assert main(["list", "agents"]) == 0
    assert capsys.readouterr().err == "", "said once"


def test_help_of_the_whole_reads_none(installed, capsys):
    installed(agents=["bad = broken:RECORD"])
    assert main(["--help"]) == 0
    assert main(["list", "nets"]) == 0
    assert capsys.readouterr().err == ""
