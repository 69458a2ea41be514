"""Policies that an earlier version exported load and answer as they did (fixtures/make_policies.py)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures.make_policies import HERE, weights
from safetensors.numpy import save_file

from qtwin.run.policy import load

EXPECTED = json.loads((HERE / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_policy_of_format_2_answers_as_it_did(tmp_path, name):
    expected, folder = EXPECTED[name], tmp_path / "policy"
    folder.mkdir()
    shutil.copy(HERE / f"{name}.json", folder / "policy.json")
    if (HERE / f"{name}.safetensors").exists():
        shutil.copy(HERE / f"{name}.safetensors", folder / "seed-0.safetensors")
    else:
        save_file(weights(expected["shapes"]), folder / "seed-0.safetensors")
    policy = load(tmp_path)
    kind = "float32" if policy.spec.obs_dtype == "float32" else "int64"
    obs, values = np.array(expected["obs"], kind), np.float32(expected["values"])
    np.testing.assert_allclose(policy.values(obs), values, rtol=1e-4, atol=1e-5)
    actions = policy(obs)
    if policy.spec.continuous:
        assert (actions.dtype, actions.shape) == (np.float32, (len(obs), 3))
        np.testing.assert_allclose(actions, np.float32(expected["actions"]), atol=1e-6)
    else:
        assert actions.tolist() == expected["actions"]


def test_the_fixtures_are_of_the_old_format_and_small():
    for file in HERE.iterdir():
        assert file.stat().st_size < 60_000
    for name in EXPECTED:
        described = json.loads((HERE / f"{name}.json").read_text())
        assert described["format"] == 2
        assert "action_space" not in described
    assert Path(HERE).name == "policies_2"
