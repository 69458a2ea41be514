"""Each file of examples/ runs, with a small budget, and prints what it says."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
STEPS = {"dqn_by_hand": "1100", "session_by_hand": "1000", "own_algorithm": "400", "own_target_rule": "400"}
SAYS = {
    "dqn_by_hand": "greedy return of each seed: [",
    "own_algorithm": "4 of 4 cells done",
    "own_gymnasium_env": "by its id: Run(dqn gym:Corridor-v0",
    "own_jax_env": "push when it rolls to the right:",
    "own_target_rule": "2 of 2 cells done",
    "session_by_hand": "log points so far: 20",
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), STEPS.get(example.stem, "400")])
    runpy.run_path(str(example), run_name="__main__")
    assert SAYS[example.stem] in capsys.readouterr().out
