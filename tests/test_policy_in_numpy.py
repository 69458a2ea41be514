"""The reader in docs/reliability.md: ten lines of numpy act as `qtwin.load` does."""

import re
from pathlib import Path

import jax
import numpy as np

from qtwin.config import Config
from qtwin.envs.catalog import resolve
from qtwin.nets.bodies import network
from qtwin.run.policy import export, load

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"


def test_the_reader_in_the_docs_acts_as_the_policy_does(tmp_path):
    (block,) = re.findall(r"<!-- reader -->\n```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("import")]
    assert len(lines) <= 12  # ten, and two that say what they define
    names = {}
    exec(block, names)
    spec, c = resolve("CartPole-v1"), Config("CartPole-v1", net="mlp:16,8")
    online = network(spec, c.net, 2).init(jax.random.key(3))
    export(tmp_path / "policy", spec, c, {5: online})
    policy, weights = load(tmp_path), names["read"](tmp_path / "policy" / "seed-5.safetensors")
    obs = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    actions = [names["act"](weights, each) for each in obs]
    assert actions == policy(obs).tolist()
    assert len(set(actions)) == 2
