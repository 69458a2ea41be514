"""`qtwin.agents.catalog.READ_BY` beside what the agents' own files read."""

import re
from pathlib import Path

import pytest

from qtwin.agents.catalog import AGENTS, READ_BY

FOLDER = Path(__file__).parents[1] / "qtwin" / "agents"
FILES = {name: [name] for name in AGENTS} | {"dqn": ["dqn", "maxmin", "iterated"], "sac": ["sac", "discrete_sac"]}
# read by a function that is handed the whole config
BY = {
    "temperature": r"\btemperature_of\(env, c\)",
    "target_entropy": r"\btemperature_of\(env, c\)",
    "actor_learning_rate": r"\bof_improvement\(c, ",
}


@pytest.mark.parametrize("field", READ_BY)
def test_a_setting_is_for_the_agents_whose_files_read_it(field):
    pattern = BY.get(field, rf"\bc\.{field}\b")
    read = {
        agent
        for agent, files in FILES.items()
        if any(re.search(pattern, (FOLDER / f"{file}.py").read_text(encoding="utf-8")) for file in files)
    }
    assert read == set(READ_BY[field])
