"""The snippets of the documentation run as they stand there, with smaller budgets."""

import os
import re
import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
SMALLER = ((r"steps=\d[\d_]*", "steps=640"), (r"warmup=\d+", "warmup=400"), (r"eval_episodes=\d+", "eval_episodes=1"))


def test_bring_your_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "bring-your-own.md").read_text(encoding="utf-8"), re.S)
    code = "\n".join(blocks).replace("eval_episodes=1", "log_points=1, eval_episodes=1")
    for pattern, budget in SMALLER:
        code = re.sub(pattern, budget, code)
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    told = runpy.run_path(str(tmp_path / "page.py"))
    assert told["run"].summary["transitions"] == 640
    assert os.listdir("runs") == ["Corridor-v0-dqn-1"]
    assert told["policy"].values([0.5]).shape == (2,)
    assert told["learned"].points[-1]["gradient_steps"] == 60
    assert told["seen"].points[-1]["gradient_steps"] == 60
    assert told["spec"].stack == 2
