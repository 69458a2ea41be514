"""The snippets of the documentation run as they stand there, with smaller budgets."""

import os
import re
import runpy
from pathlib import Path

from qtwin.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
SMALLER = (
    (r"steps=\d[\d_]*", "steps=640"),
    (r"warmup=\d[\d_]*", "warmup=400"),
    (r"eval_episodes=\d+", "eval_episodes=1"),
    (r"advance\(\d[\d_]*\)", "advance(600)"),
)


def test_bring_your_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "bring-your-own.md").read_text(encoding="utf-8"), re.S)
    code = "\n".join(blocks).replace("eval_episodes=1", "log_points=1, eval_episodes=1")
    for pattern, budget in SMALLER:
        code = re.sub(pattern, budget, code)
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    told = runpy.run_path(str(tmp_path / "page.py"))
    assert told["run"].summary["transitions"] == 640
    assert sorted(os.listdir("runs")) == ["corridor-dqn-1", "corridor-dqn-2", "corridors-algorithm-1"]
    assert told["policy"].output == "own"
    assert told["run"].points[-1]["gradient_steps"] == 60
    assert told["current"].values([0.0, 0.0, 0.0, 0.0]).shape == (2,)
    assert told["seen"].points[-1]["gradient_steps"] == 60
    assert told["spec"].stack == 2


def test_a_package_of_your_own(tmp_path, monkeypatch, capsys, nothing_registered_stays):
    """Its file is saved, and the commands beside it are run; the comparison is the test's of tests/outside."""
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "bring-your-own.md").read_text(encoding="utf-8")
    for name, source in re.findall(r"```python (\w+\.py)\n(.*?)```", page, re.S):
        (tmp_path / name).write_text(source, encoding="utf-8")
    section = page[page.index("## A package of your own") :]
    commands = [line.split()[1:] for line in re.findall(r"^qtwin .*$", section, re.M)]
    assert [words[0] for words in commands] == ["train", "train", "eval", "compare"]
    little = "--steps 640 --warmup 400 --envs 2 --log-points 1 --eval-episodes 1 --diagnose 1 --quiet --net mlp:8"
    assert main(commands[0]) == 0
    assert "--caution W" in capsys.readouterr().out
    assert main([*commands[1], *little.split()]) == 0
    assert '"margin": [' in (tmp_path / "runs" / "cautious" / "metrics.jsonl").read_text(encoding="utf-8")
    assert main([*commands[2], "--episodes", "1"]) == 0
