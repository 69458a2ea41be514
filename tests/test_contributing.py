"""Every example in CONTRIBUTING.md works when a copy of the package is edited as it says, and nothing else is."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import fork_server
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = {part.partition("\n")[0]: part for part in TEXT.split("\n## ") if part.startswith("Add ")}
STEP = re.compile(r"<!-- (.*?) -->\n```(?:python|sh|text)\n(.*?)```", re.S)


def edited(root, where, text):
    """One of the page's edits."""
    if where.startswith("new file: "):
        path = root / where.removeprefix("new file: ")
        assert not path.exists()
        path.write_text(text, encoding="utf-8")
        return
    file, _, place = where.removeprefix("in ").partition(", ")
    old = (root / file).read_text(encoding="utf-8")
    if place == "at the end":
        new = f"{old}\n\n{text}"
    else:
        how, line = re.fullmatch(r'(after|instead of) "(.*)"', place).groups()
        assert old.count(line + "\n") == 1, where
        new = old.replace(line + "\n", text if how == "instead of" else f"{line}\n{text}")
    (root / file).write_text(new, encoding="utf-8")


def test_every_kind_of_record_has_its_example():
    assert len(EXAMPLES) == 6
    for part in EXAMPLES.values():
        steps = [where for where, _ in STEP.findall(part)]
        assert steps[-1] == "run"
        assert len(steps) > 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_as_it_is_written(name, tmp_path):
    shutil.copytree(ROOT / "qtwin", tmp_path / "qtwin", ignore=shutil.ignore_patterns("__pycache__"))
    for where, text in STEP.findall(EXAMPLES[name]):
        if where != "run":
            edited(tmp_path, where, text)
            continue
        for line in text.splitlines():
            words = shlex.split(line)
            environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
            if words[0] == "qtwin":
                done = fork_server.run(["-m", *words], tmp_path, environment)
            else:
                done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    linted = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "qtwin"]
    done = subprocess.run(linted, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert max(file.read_text("utf-8").count("\n") for file in (tmp_path / "qtwin").rglob("*.py")) <= 300
