"""How a TD target uses the twin, and how else the target holds the online network: by hand, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtwin.agents.catalog import algorithm
from qtwin.config.bootstrap_specs import BOOTSTRAPS, REGULARISERS, parse, parse_regulariser
from qtwin.config.config import Config
from qtwin.envs.catalog import resolve
from qtwin.errors import Refusal
from qtwin.nets.net import from_functions
from qtwin.request.train import build
from qtwin.run import policy
from qtwin.td import targets
from qtwin.td.bootstrap import bootstrap, make_regulariser, target_values
from qtwin.twin import Twin
from qtwin.types import Transition, Variables

NET = from_functions(lambda key: {}, lambda params, obs: params["q"][obs])
ONLINE = Variables({"q": jnp.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0]])}, {})
TARGET = Variables({"q": jnp.array([[1.0, 2.0, 0.0], [1.0, 3.0, 2.0]])}, {})
PAIR = Twin(ONLINE, TARGET)
BATCH = Transition(  # from state 0 to state 1 with action 1; and the same, terminal
    jnp.array([0, 0]), jnp.array([1, 1]), jnp.array([1.0, -2.0]), jnp.array([0.5, 0.0]), jnp.array([1, 1])
)


def y(spec, pair=PAIR):
    return bootstrap(spec, NET)(pair, BATCH, jax.random.key(0))


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("max", 3.0),  # of the target's (1, 3, 2)
        ("double", 1.0),  # the online network's (4, 0, 1) choose the first, the target's value it
        ("inverse-double", 0.0),  # and the other way round: the second, worth 0
        ("online", 4.0),
        ("residual", 4.0),
        ("minto", 1.0),  # least (1, 0, 1)
        ("minto:max", 4.0),  # most (4, 3, 2)
        ("minto:mean", 2.5),  # mean (2.5, 1.5, 1.5)
        ("mellowmax:2", np.log(np.mean(np.exp([2.0, 6.0, 4.0]))) / 2),
    ],
)
def test_every_bootstrap_by_hand(spec, value):
    """r + discount * value, where the value of s' is the one given; and r where s' is terminal."""
    np.testing.assert_allclose(y(spec), [1.0 + 0.5 * value, -2.0], rtol=1e-6)


def test_munchausen_pays_for_the_policy_of_the_target_network():
    here, then = np.array([1.0, 2.0, 0.0]), np.array([1.0, 3.0, 2.0])
    tau, bonus = 0.5, 0.9 * max(0.5 * np.log(np.exp(2 / 0.5) / np.exp(here / 0.5).sum()), -1.0)
    value = tau * np.log(np.exp(then / tau).sum())  # what sum_a pi (Q - tau log pi) comes to
    np.testing.assert_allclose(y("munchausen:0.9:0.5:-1"), [1 + bonus + 0.5 * value, -2 + bonus], rtol=1e-5)


def test_minto_random_is_one_or_the_other():
    many = BATCH._replace(
        next_obs=jnp.ones(400, jnp.int32), reward=jnp.zeros(400), discount=jnp.ones(400), obs=None, action=None
    )
    values = bootstrap("minto:random", NET)(PAIR, many, jax.random.key(0))
    assert set(np.asarray(values).tolist()) == {3.0, 4.0}
    assert 150 < int((values == 3.0).sum()) < 250


@pytest.mark.parametrize(("spec", "passes"), [("max", 1), ("double", 2), ("minto", 2), ("munchausen:0.9:0.5:-1", 2)])
def test_each_pass_of_a_noisy_network_has_noise_of_its_own(spec, passes):
    """Fortunato et al. 2018, section 3.1: independent noise for the online and for the target network."""
    seen, key = [], jax.random.key(3)
    told = lambda key: tuple(jax.random.key_data(key).tolist())  # noqa: E731

    def noisy(variables, obs, key):
        seen.append(told(key))
        return NET.apply(variables, obs)

    bootstrap(spec, NET._replace(noisy=noisy))(PAIR, BATCH, key)
    assert len(seen) == passes
    assert len({*seen, told(key)}) == passes + 1, "and minto draws by the key itself"


def test_maxmin_is_the_best_of_the_least():
    q = jnp.stack([TARGET.params["q"][BATCH.next_obs], ONLINE.params["q"][BATCH.next_obs]])
    np.testing.assert_allclose(targets.maxmin_target(BATCH.reward, BATCH.discount, q), [1.5, -2.0])


def test_an_averaged_target_is_the_mean_of_values_not_of_parameters():
    """With Q = theta^2 and snapshots 1 and 3 the mean value is 5, while the mean parameter's would be 4."""
    net = from_functions(lambda key: {}, lambda params, obs: params["w"] ** 2 * jnp.ones((2, 3)))
    one, three = Variables({"w": jnp.float32(1.0)}, {}), Variables({"w": jnp.float32(3.0)}, {})
    pair = Twin(one, three, older=(one,))
    np.testing.assert_array_equal(target_values(net, pair, BATCH.obs), np.full((2, 3), 5.0))


def test_a_gradient_passes_through_residual_alone():
    for spec in BOOTSTRAPS:
        if spec == "maxmin":
            continue
        name = "mellowmax:5" if spec == "mellowmax" else spec
        slope = jax.grad(lambda v, s=name: y(s, Twin(v, TARGET)).sum())(ONLINE).params["q"]
        expected = np.zeros((2, 3))
        if spec == "residual":
            expected[1, 0] = 0.5
        np.testing.assert_array_equal(slope, expected, err_msg=spec)


def test_regularisers_by_hand():
    q = jnp.array([0.0, 0.5])  # Qbar(s, a) is 2
    assert make_regulariser("none", NET)(PAIR, BATCH, q) == 0.0
    np.testing.assert_allclose(make_regulariser("functional:3", NET)(PAIR, BATCH, q), 1.5 * (4.0 + 2.25) / 2)
    np.testing.assert_allclose(make_regulariser("proximal:3", NET)(PAIR, BATCH, q), (1 + 4 + 9 + 9 + 1) / 6)
    slope = jax.grad(lambda q: make_regulariser("functional:3", NET)(PAIR, BATCH, q))(q)
    np.testing.assert_allclose(slope, 1.5 * (np.array([0.0, 0.5]) - 2.0))


def test_every_name_reads_back():
    assert set(REGULARISERS) == {"none", "functional", "proximal"}
    assert parse("maxmin:4").networks == 4
    assert parse("munchausen").numbers == ()
    assert parse("munchausen:0.9:0.03:-1").numbers == (0.9, 0.03, -1.0)
    assert parse("minto:mean").kind == "minto:mean"
    assert parse_regulariser("functional:0.5") == ("functional", 0.5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bootstrap": "dubble"}, "'double'"),
        ({"bootstrap": "minto:median"}, "minto"),
        ({"bootstrap": "maxmin"}, "maxmin:4"),
        ({"bootstrap": "maxmin:1"}, "maxmin:4"),
        ({"bootstrap": "mellowmax:-2"}, "mellowmax:5"),
        ({"bootstrap": "munchausen:2:0.1:-1"}, "munchausen:0.9:0.03:-1"),
        ({"bootstrap": "max:2"}, "write max"),
        ({"regularise": "funtional:1"}, "'functional'"),
        ({"regularise": "functional"}, "functional:0.5"),
        ({"regularise": "proximal:0"}, "proximal:10"),
        ({"regularise": "proximal:1", "target": "tied"}, "hard:500"),
        ({"bootstrap": "minto", "target": "tied"}, "they are one"),
        ({"bootstrap": "maxmin:2", "target": "chain:2:10"}, "hard:500"),
        ({"bootstrap": "double", "target": "chain:2:10"}, "leave it out"),
        ({"bootstrap": "maxmin:2", "target": "averaged:2:10"}, "hard:500"),
        ({"bootstrap": "maxmin:2", "agent": "fqi"}, "--agent dqn"),
        ({"target": "last-layer:hard:5", "net": "linear"}, "mlp:120,84"),
        ({"target": "averaged:3:10", "agent": "online_q"}, "dqn and fqi"),
        ({"target": "averaged:3:10", "self_predict": "byol"}, "--self-predict"),
        ({"regularise": "functional:1", "agent": "online_q"}, "leave it out"),
    ],
)
def test_what_does_not_go_together_is_refused(options, says):
    agent = options.pop("agent", None)
    with pytest.raises(Refusal, match=says) as refused:
        build("CartPole-v1", agent=agent, settings=options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("options", [{"bootstrap": "maxmin:3"}, {"target": "chain:3:10/2"}])
def test_of_several_networks_the_exported_policy_acts_as_the_agent_does(tmp_path, options):
    config = Config("CartPole-v1", net="mlp:8", **options)
    spec = resolve("CartPole-v1")
    agent = algorithm(spec, config).agent
    variables = agent.init(jax.random.key(1))
    policy.export(tmp_path / "policy", spec, config, {0: jax.tree.map(np.asarray, variables)})
    obs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    loaded = policy.load(tmp_path, 0)
    np.testing.assert_allclose(loaded.values(obs), agent.values(variables, obs), rtol=1e-5)
    greedy = agent.act(variables, obs, jnp.float32(0.0), jax.random.key(0))
    np.testing.assert_array_equal(loaded(obs), greedy)
    assert 0 < int(greedy.sum()) < 64
