"""Prints a SHA-256 of all that an agent of each kind is after a few cycles; `test_long_runs.py` runs it twice."""

import hashlib
import json

import numpy as np

from qtwin.agents.catalog import algorithm, config_of
from qtwin.config.config import Config
from qtwin.config.siamese import SiameseConfig
from qtwin.engine.fleet import fleet_of
from qtwin.envs.catalog import resolve
from qtwin.envs.make import make
from qtwin.run.checkpoint import named_leaves
from qtwin.run.devices import prepare
from qtwin.run.siamese.train import _fleet, method_of

LITTLE = {"envs": 2, "collect": 2, "warmup": 20, "replay": 64, "batch": 8, "steps": 400, "explore": "0.2"}
ONE = LITTLE | {"replay": 0, "batch": 1, "envs": 1, "collect": 1}
KINDS = {
    "online": Config("probe:action-observation", "online_q", net="linear", **ONE),
    "replay, fused": Config("probe:action-observation", "dqn", net="mlp:8", **LITTLE),
    "prioritised": Config("probe:action-observation", "dqn", net="mlp:8", prioritise="0.6:0.4", **LITTLE),
    "actor-critic": config_of("sac", "probe:continuous-constant", net="mlp:8", loss="half-mse", **LITTLE),
    "replay, hosted": Config("gym:CartPole-v1", "dqn", net="mlp:8", **LITTLE),
}  # fmt: skip


def digest(fleet):
    whole = hashlib.sha256()
    for name, leaf in sorted(named_leaves(fleet.snapshot(0)).items()):
        whole.update(f"{name} {leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
    fleet.close()
    return whole.hexdigest()


def digests():
    found = {}
    for kind, c in KINDS.items():
        spec = resolve(c.env)
        for seed in (0, 1) if kind == "online" else (0,):
            fleet = fleet_of(algorithm(spec, c), make(spec), c.envs, (seed,))
            fleet.warm_up(fleet.turn.warmup_vector_steps)
            fleet.advance(30)
            found[f"{kind}, seed {seed}"] = digest(fleet)
    c = SiameseConfig("simsiam", encoder="conv:4", projector="8,8", batch=8, epochs=1, augment="shift:2")
    images = np.random.default_rng(0).random((32, 12, 12, 1)).astype(np.float32)
    fleet = _fleet(method_of(images, c), images, (0,), lambda variables: (0.0,))
    fleet.advance(4)
    return found | {"siamese": digest(fleet)}


if __name__ == "__main__":
    prepare(1)
    print(json.dumps(digests()))
