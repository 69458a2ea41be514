"""Row 12 of docs/reliability.md: files that somebody else has written run no code and reach nothing outside."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import qtwin
from qtwin.cli import main

ROOT = Path(__file__).parents[1]
SOURCES = sorted(Path(qtwin.__file__).parent.rglob("*.py"))
NO_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "imp",
    "code",
}
NO_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "execfile", "literal_eval", "loads_unsafe"}
RUN = [
    "train", "gym:CartPole-v1", "--net", "linear", "--warmup", "100", "--replay", "500", "--batch", "8",
    "--steps", "300",
    "--log-points", "1", "--checkpoints", "1", "--eval-episodes", "1", "--envs", "2", "--collect", "2",
    "--quiet",
]  # fmt: skip


def test_the_package_holds_nothing_that_makes_code_of_what_it_reads():
    """No pickle, eval, exec, yaml or shell; every module that is imported by name has a name out of a table here."""
    assert len(SOURCES) > 100
    by_name, references = {}, set()
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not NO_MODULES & {alias.name.split(".")[0] for alias in node.names}, where
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in NO_MODULES, where
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "id", None)
                assert name not in NO_CALLS, where
                attribute = getattr(node.func, "attr", None)
                owner = getattr(getattr(node.func, "value", None), "id", None)
                assert (owner, attribute) not in {("os", "system"), ("os", "popen"), ("builtins", "eval")}, where
                said = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                assert not said.get("shell"), where
                if owner in ("np", "numpy") and attribute == "load":
                    assert said.get("allow_pickle") is False, where
                if name == "imported":
                    references.add(ast.unparse(node.args[0]))
                if attribute == "import_module":
                    by_name[file.relative_to(SOURCES[0].parent).as_posix()] = ast.unparse(node)
    assert by_name == {
        "__init__.py": "importlib.import_module(_HOME[name])",
        "records/fields.py": "importlib.import_module(module)",  # by `imported`
        "request/imports.py": "importlib.import_module(name)",  # after --import, which stands in no file
    }
    # What is imported by a reference stands in a record: nothing that was read back says it.
    of_a_record = re.compile(
        r"(info|home|kind|command|choice\.info|REGULARISERS\[choice\.kind\]|METHODS\[c\.method\])\.\w+"
    )
    assert [text for text in sorted(references) if not of_a_record.fullmatch(text)] == [
        "'qtwin.envs.gym_home:resolved_with'",  # above the catalogue that asks for it
        "build",  # an agent's, see there
        "getattr(home, field)",  # a field of a home's record
        "reference",  # of a catalogue, by the type of a record
        "self.problems",  # a catalogue's own
    ]


@pytest.fixture(scope="module", name="loaded")
def what_happened_when_hostile_files_were_loaded(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    assert main([*RUN, "--out", str(home / "in" / "good")]) == 0
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "hostile.py"), str(home / "in")], cwd=home, encoding="utf-8",
        capture_output=True, env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return home, json.loads(done.stdout)


def test_no_hostile_file_runs_code_or_writes_outside(loaded):
    home, told = loaded
    assert told["tried"] > 500
    assert told["events"] == []
    assert sorted(each.name for each in home.iterdir()) == ["elsewhere", "in"]
    assert not list((home / "elsewhere").iterdir())


def test_every_hostile_file_is_refused_in_words(loaded):
    """What is not refused is what nothing depends on; no other error reaches the user."""
    _, told = loaded
    assert set(told["ends"]) == {"refused", "loaded"}, {k: v[:3] for k, v in told["ends"].items()}
