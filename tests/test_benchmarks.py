"""Every script under benchmarks/ can be tried out and shows its result; neither changes anything in the checkout."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
SCRIPTS = sorted(path for path in BENCHMARKS.rglob("*.py") if '__name__ == "__main__"' in path.read_text())
MADE_BY_TOOLS = ("__pycache__", ".git", ".hypothesis", ".pytest_cache", ".ruff_cache")
sys.path.insert(0, str(BENCHMARKS))
import script  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """``run(script, flag)``: the exit code and what was printed, in a folder that stays empty."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "script_server.py")],
        cwd=folder, env=environment, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def ask(script: Path, flag: str) -> tuple[int, str]:
        server.stdin.write(json.dumps([str(script), flag]) + "\n")
        answer = json.loads(server.stdout.readline())
        return answer["code"], answer["printed"]

    yield ask
    server.stdin.close()
    assert server.wait(timeout=60) == 0
    assert list(folder.iterdir()) == []


def checkout() -> dict[str, str]:
    """What could be written to: the results with their bytes, all files under benchmarks/, what lies at the top."""
    there = {str(path): "" for folder in (ROOT, ROOT / "runs") if folder.is_dir() for path in folder.iterdir()}
    there |= {str(path): "" for path in BENCHMARKS.rglob("*")}
    there |= {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in RESULTS.iterdir()}
    return {path: bytes_ for path, bytes_ in there.items() if not any(name in path for name in MADE_BY_TOOLS)}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_a_script_shows_its_result_and_can_be_tried_out(path, run):
    before = checkout()
    for flag in ("--show", "--smoke"):
        code, printed = run(path, flag)
        assert code == 0, f"{path} {flag}\n{printed}"
        assert printed.strip(), f"{path} {flag} says nothing"
        assert checkout() == before, f"{path} {flag} has written"


NUMBER = r"-?[\d,]*\d(?:\.\d+)?"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
SEEDS = re.compile(rf"(?<=[|(]) *({NUMBER}(?:, {NUMBER}){{2,}}) *(?=[|)])")
PAGES = (ROOT / "README.md", BENCHMARKS / "README.md", *(ROOT / "docs").rglob("*.md"))


def told(text: str) -> list[tuple[str, ...]]:
    """What a text says in the form 1.2 [1.0, 1.4], and its lists of seeds."""
    return [found.groups() for found in INTERVAL.finditer(text)] + [
        tuple(found[1].split(", ")) for found in SEEDS.finditer(text)
    ]


def same(said: tuple[str, ...], shown: tuple[str, ...]) -> bool:
    """Equal to the digits that are said."""
    if len(said) != len(shown):
        return False
    for one, other in zip(said, shown, strict=True):
        digits = len(one.partition(".")[2])
        if abs(float(one.replace(",", "")) - float(other.replace(",", ""))) > 0.5 * 10**-digits + 1e-9:
            return False
    return True


def test_every_interval_and_every_list_of_seeds_on_the_pages_is_shown_by_a_script(run):
    shown = [found for path in SCRIPTS if path.parent.name != "contenders" for found in told(run(path, "--show")[1])]
    by_length = {}
    for found in shown:
        by_length.setdefault(len(found), set()).add(found)
    assert len(shown) > 300
    for page in PAGES:
        if page.name not in ("statistics.md", "reliability.md", "bring-your-own.md"):  # whose numbers are others
            for said in told(page.read_text()):
                assert any(same(said, found) for found in by_length.get(len(said), ())), f"{page}: {said}"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_a_result_says_which_commit_it_is_of(path):
    found = json.loads(path.read_text())
    assert script.where_from(path).startswith(f"benchmarks/results/{path.name}: commit {found['commit']}")
    assert found["commit"] is None or len(found["commit"].removesuffix("-dirty")) == 12


def test_a_result_without_a_file_is_said(tmp_path):
    assert script.where_from(tmp_path / "none.json").endswith("none.json: no result has been committed")


def test_the_commit_is_that_of_this_checkout_and_says_whether_it_was_changed(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    monkeypatch.setattr(script, "ROOT", tmp_path.resolve())
    assert script.commit() is None  # no checkout
    git("init")
    (tmp_path / "code.py").write_text("1")
    (results / "a.json").write_text("{}")
    git("add", ".")
    git("commit", "-m", "one")
    clean = script.commit()
    assert len(clean) == 12
    (results / "a.json").write_text("{1}")
    (results / "b.json").write_text("{}")
    assert script.commit() == clean  # what was measured before does not change what is measured
    (tmp_path / "code.py").write_text("2")
    assert script.commit() == f"{clean}-dirty"
    monkeypatch.setattr(script, "ROOT", (tmp_path / "benchmarks").resolve())
    assert script.commit() is None  # a copy inside another project's checkout


def test_rows_and_results_keep_where_they_come_from(tmp_path):
    script.keep_row(tmp_path / "rows.json", "one", {"value": 1})
    rows = script.keep_row(tmp_path / "rows.json", "two", {"value": 2})
    assert [rows[name]["value"] for name in ("one", "two")] == [1, 2]
    assert {"commit", "machine", "versions"} < rows["one"].keys()
    assert script.read_rows(tmp_path / "rows.json") == rows
    script.write_result(tmp_path / "one.json", {"value": 3})
    found = script.read(tmp_path / "one.json")
    assert found["value"] == 3
    assert found["commit"] == script.commit() == script.read(tmp_path / "rows.json")["commit"]
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["jax"]
