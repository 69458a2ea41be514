"""The reader in docs/reliability.md: ten lines of numpy act as `qtwin.load` does, and ten more in any space."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from spaces import random_space

from qtwin.agents.catalog import algorithm, config_of
from qtwin.config.config import Config
from qtwin.envs.catalog import resolve
from qtwin.envs.gym_envs import spec_of
from qtwin.envs.spaces import space_of, to_json
from qtwin.nets.build import network
from qtwin.run.policy import export, load

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"


def block(name):
    (found,) = re.findall(rf"<!-- {name} -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    lines = [line for line in found.splitlines() if line.strip() and not line.startswith("import")]
    assert len(lines) <= 14
    return found, len(lines)


@pytest.fixture(scope="module", name="reader")
def what_the_docs_define():
    names = {}
    for name in ("reader", "spaces"):
        exec(block(name)[0], names)
    return names


def test_the_reader_in_the_docs_acts_as_the_policy_does(tmp_path, reader):
    assert block("reader")[1] <= 12  # ten, and two that say what they define
    spec, c = resolve("CartPole-v1"), Config("CartPole-v1", net="mlp:16,8")
    online = network(spec, c.net, 2).init(jax.random.key(3))
    export(tmp_path / "policy", spec, c, {5: online})
    policy, weights = load(tmp_path), reader["read"](tmp_path / "policy" / "seed-5.safetensors")
    obs = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    actions = [reader["act"](weights, each) for each in obs]
    assert actions == policy(obs).tolist()
    assert len(set(actions)) == 2


@pytest.mark.parametrize(
    ("observations", "actions", "agent"),
    [
        (Discrete(7, start=2**40), Discrete(5, start=-(2**62)), "dqn"),
        (Discrete(7, start=-3), Box(np.float32([[0, -2, 5], [1, 1, 1]]), np.float32([[1, 2, 6], [3, 3, 1]])), "td3"),
        (Box(-1, 1, (2, 2), np.float64), Box(0.1, 0.3, (1,), np.float64), "sac"),
        (Box(0, 9, (3,), np.int64), Box(np.int16([-5, 0]), np.int16([4, 1]), dtype=np.int16), "sac"),
    ],
)
def test_with_the_spaces_in_policy_json_it_acts_in_the_environment_s_own(
    tmp_path, reader, observations, actions, agent
):
    spec = spec_of("gym:X-v0", observations, actions, None)
    c = config_of(agent, "gym:X-v0", net="mlp:8")
    variables = algorithm(spec, c).agent.init(jax.random.key(1))
    variables = jax.tree.map(lambda leaf: 3.0 * np.asarray(leaf), variables)
    export(tmp_path / "policy", spec, c, {0: variables})
    policy, weights = load(tmp_path), reader["read"](tmp_path / "policy" / "seed-0.safetensors")
    told = json.loads((tmp_path / "policy" / "policy.json").read_text())
    assert (policy.spec.own_observations, policy.spec.own_actions) == (spec.observation_space, spec.action_space)
    observations.seed(0)
    seen, different = [observations.sample() for _ in range(60)], set()
    batch = policy(np.stack(seen))
    assert batch.dtype == actions.dtype
    for obs, of_batch in zip(seen, batch, strict=True):
        action, read = policy(obs), reader["act_in"](told, weights, obs)
        assert actions.contains(action)
        assert actions.contains(read)
        assert actions.contains(of_batch if isinstance(actions, Box) else int(of_batch))
        np.testing.assert_array_equal(reader["member"](told["action_space"], policy.values(obs)), action)
        for other in (read, of_batch):
            np.testing.assert_allclose(np.float64(other), np.float64(action), rtol=1e-5, atol=1e-6)
        different.add(np.asarray(action).tobytes())
    assert len(different) > 2


def test_from_policy_json_alone_ten_thousand_random_spaces_contain_the_action(reader):
    random = np.random.default_rng(0)
    for _ in range(10_000):
        actions = random_space(random)
        told = json.loads(json.dumps(to_json(space_of("X", "actions", actions)), allow_nan=False))
        size = actions.n if isinstance(actions, Discrete) else int(np.prod(actions.shape))
        output = (random.normal(size=2 * size) * 10.0 ** random.integers(-3, 3)).astype(np.float32)
        action = reader["member"](told, output[: size if told["kind"] == "discrete" else None])
        assert actions.contains(action), (actions, action)
