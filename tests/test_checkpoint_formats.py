"""Checkpoints of earlier formats are read: their leaves have other names."""

import hashlib
import json

import numpy as np
from safetensors.numpy import load_file, save_file

from qtwin.run import checkpoint
from qtwin.twin import Twin
from qtwin.types import Variables


def a_state(value: float) -> dict:
    online, target, second = ({"w": np.full(3, value + k, np.float32)} for k in range(3))
    return {"twin": Twin(Variables(online, {}), Variables(target, {}), sibling_variables=Variables(second, {}))}


def test_the_target_of_format_3_was_called_its_follower(tmp_path):
    path = checkpoint.write(tmp_path, 5, 0, (0,), [a_state(1.0)])
    file = path / "seed-0.safetensors"
    old = {"target_variables": "follower", "sibling_variables": "sibling_follower"}
    named = {}
    for name, leaf in load_file(file).items():
        twin, field, rest = name.split(".", 2)
        named[f"{twin}.{old.get(field, field)}.{rest}"] = leaf
    assert {name.split(".")[1] for name in named} == {"online", "follower", "sibling_follower"}
    save_file(named, file)
    manifest = json.loads((path / "manifest.json").read_text()) | {"format": 3}
    manifest["sha256"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
    manifest["bytes"] = {file.name: file.stat().st_size}
    manifest["closing"] = checkpoint.closing(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    (state,) = checkpoint.read(*found, [a_state(0.0)])
    assert state["twin"].online.params["w"][0] == 1.0
    assert state["twin"].target_variables.params["w"][0] == 2.0
    assert state["twin"].sibling_variables.params["w"][0] == 3.0
