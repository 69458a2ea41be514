"""Policies and encoders that earlier versions exported load and answer as they did (fixtures/make_*.py)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures.make_exports import HERE as EXPORTS
from fixtures.make_exports import made_anew
from fixtures.make_policies import HERE, weights
from safetensors.numpy import save_file

from qtwin.nets.names import KINDS
from qtwin.run.policy import load
from qtwin.run.siamese.encoder import load_encoder

EXPORTED = json.loads((EXPORTS / "expected.json").read_text())
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


def placed(name, expected, folder, described):
    """The files of an export in ``folder``, as a run directory has them."""
    folder.mkdir()
    shutil.copy(EXPORTS / f"{name}.json", folder / described)
    if "shapes" in expected:
        save_file(made_anew(expected["shapes"]), folder / "seed-0.safetensors")
    else:
        shutil.copy(EXPORTS / f"{name}.safetensors", folder / "seed-0.safetensors")


@pytest.mark.parametrize("name", EXPORTED["policies"])
def test_a_policy_of_each_kind_of_network_answers_as_it_did(tmp_path, name):
    expected = EXPORTED["policies"][name]
    placed(name, expected, tmp_path / "policy", "policy.json")
    policy = load(tmp_path)
    kind = "float32" if policy.spec.obs_dtype == "float32" else "int64"
    obs = np.array(expected["obs"], kind)
    values = np.float32(expected["values"])
    assert np.isfinite(values).all()
    np.testing.assert_allclose(policy.values(obs), values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(policy(obs), np.float32(expected["actions"]), atol=1e-5)


@pytest.mark.parametrize("name", EXPORTED["encoders"])
def test_an_encoder_of_each_kind_answers_as_it_did(tmp_path, name):
    expected = EXPORTED["encoders"][name]
    placed(name, expected, tmp_path / "encoder", "encoder.json")
    features = np.float32(expected["features"])
    assert np.isfinite(features).all()
    came = load_encoder(tmp_path)(np.float32(expected["obs"]))
    np.testing.assert_allclose(came, features, rtol=1e-4, atol=1e-5)


def test_there_is_an_export_of_every_kind_of_network():
    described = [json.loads(file.read_text()) for file in EXPORTS.glob("*.json")]
    nets = [each["net"] for each in described if "net" in each]
    assert {net.partition(":")[0].partition("+")[0] for net in nets} == set(KINDS)
    assert {each["gives"][0] for each in described if "gives" in each} == {
        "", "atoms", "classes", "quantiles", "fractions",
    }  # fmt: skip


def test_the_fixtures_are_of_the_old_format_and_small():
    for file in HERE.iterdir():
        assert file.stat().st_size < 60_000
    for name in EXPECTED:
        described = json.loads((HERE / f"{name}.json").read_text())
        assert described["format"] == 2
        assert "action_space" not in described
    assert Path(HERE).name == "policies_2"
