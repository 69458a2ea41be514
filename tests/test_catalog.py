"""The catalogue of environments says what gymnax says, and refuses with sentences."""

import functools
import re
import subprocess
import sys

import numpy as np
import pytest

from qtwin.envs import catalog, gymnax_specs
from qtwin.errors import Refusal


@functools.cache
def made(name):
    import gymnax

    return gymnax.make(name)


def test_the_table_is_gymnax_own_registry():
    from gymnax.registration import registered_envs

    assert set(gymnax_specs.GYMNAX) | set(gymnax_specs.NEEDS_DOWNLOAD) == set(registered_envs)


@pytest.mark.parametrize("name", gymnax_specs.GYMNAX)
def test_shapes_actions_and_time_limits_are_gymnax_own(name):
    import jax
    from gymnax.environments import spaces

    entry, (env, params) = gymnax_specs.GYMNAX[name], made(name)
    obs_space, action_space = env.observation_space(params), env.action_space(params)
    obs = jax.eval_shape(lambda key: env.reset(key, params)[0], jax.random.key(0))
    assert obs.shape == entry.obs_shape
    assert entry.obs_dtype in ("bool", obs.dtype.name)
    if isinstance(action_space, spaces.Discrete):
        assert (action_space.n, (), ()) == (entry.num_actions, entry.low, entry.high)
    else:
        assert isinstance(action_space, spaces.Box)
        assert entry.num_actions is None
        assert action_space.shape == (len(entry.low),) == (len(entry.high),)
        for ours, theirs in ((entry.low, action_space.low), (entry.high, action_space.high)):
            assert (np.float32(ours) == np.broadcast_to(np.float32(theirs), action_space.shape)).all()
    assert (obs_space.n if isinstance(obs_space, spaces.Discrete) else None) == entry.num_states
    assert params.max_steps_in_episode == entry.time_limit


@pytest.mark.parametrize("name", [name for name, entry in gymnax_specs.GYMNAX.items() if entry.obs_dtype == "bool"])
def test_observations_kept_as_flags_lose_nothing(name):
    import jax
    import jax.numpy as jnp

    env, params = made(name)

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def episode(key):
        obs, state = env.reset(key, params)

        def step(state, key):
            what, how = jax.random.split(key)
            seen, state, *_ = env.step_env(how, state, env.action_space(params).sample(what), params)
            return state, seen

        return obs, jax.lax.scan(step, jax.tree.map(jnp.asarray, state), jax.random.split(key, 100))[1]

    # Compiling is what this costs: asked to be short, and without gymnax's automatic resets.
    for seed in range(5):
        for obs in episode(jax.random.key(seed)):
            assert jnp.array_equal(obs.astype(bool).astype(obs.dtype), obs)
            assert obs.max() == 1  # something was seen


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("CartPole-v1", "gymnax:CartPole-v1"),
        ("gymnax:CartPole-v1", "gymnax:CartPole-v1"),
        ("FrozenLake-v1", "gymnax:FrozenLake-misc"),
        ("FrozenLake-misc", "gymnax:FrozenLake-misc"),
        ("Catch", "gymnax:Catch-bsuite"),
        ("gymnax:DeepSea", "gymnax:DeepSea-bsuite"),
        ("FourRooms", "gymnax:FourRooms-misc"),
        ("minatar:Breakout", "gymnax:Breakout-MinAtar"),
        ("Breakout-MinAtar", "gymnax:Breakout-MinAtar"),
        ("Pendulum-v1", "gymnax:Pendulum-v1"),
        ("MountainCarContinuous-v0", "gymnax:MountainCarContinuous-v0"),
        ("Reacher", "gymnax:Reacher-misc"),
        ("gymnax:Swimmer-misc", "gymnax:Swimmer-misc"),
    ],
)
def test_a_plain_id_takes_the_fastest_home(name, full):
    spec = catalog.resolve(name)
    assert (spec.id, spec.engine) == (full, "fused")


def test_a_plain_id_that_only_gymnasium_has_goes_there():
    spec = catalog.resolve("CliffWalking-v1")
    assert (spec.id, spec.engine, spec.num_states, spec.num_actions) == ("gym:CliffWalking-v1", "hosted", 48, 4)
    assert catalog.resolve("gym:CartPole-v1").engine == "hosted"


def test_continuous_actions_say_their_bounds():
    for name in ("Pendulum-v1", "gym:Pendulum-v1"):
        spec = catalog.resolve(name)
        assert (spec.num_actions, spec.action_low, spec.action_high, spec.action_shape) == (None, (-2.0,), (2.0,), (1,))
        assert (spec.obs_shape, spec.obs_dtype, spec.time_limit) == ((3,), "float32", 200)
    assert catalog.resolve("PointRobot").action_high == (0.1, 0.1)


def test_every_listed_name_resolves_to_what_the_list_says():
    for name, spec in catalog.names().items():
        assert catalog.resolve(name) == spec


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CartPole-v2", "did you mean 'CartPole-v1'?"),
        ("cartpole", "did you mean 'CartPole-v1'?"),
        ("Lunar-Lander-v3", "did you mean 'LunarLander-v3'?"),
        ("gymnax:Cach", "did you mean 'gymnax:Catch-bsuite'?"),
        ("minatar:Brekout", "did you mean 'minatar:Breakout'?"),
        ("gymx:CartPole-v1", "unknown home 'gymx:'"),
        ("Pendulum-v2", "did you mean 'Pendulum-v1'?"),
        ("MNISTBandit-bsuite", "downloads"),
        ("probe:nothing", "probe:"),
        ("", "unknown environment"),
    ],
)
def test_wrong_names_are_refused_with_a_sentence(name, says):
    with pytest.raises(Refusal, match=re.escape(says)) as refusal:
        catalog.resolve(name)
    assert "\n" not in str(refusal.value)


def test_what_gymnax_only_draws_with_is_not_imported():
    """seaborn takes longer than JAX; it is there all the same for who asks for it."""
    script = (
        "import sys\nfrom qtwin.envs.catalog import resolve\nfrom qtwin.envs.make import make\n"
        "make(resolve('CartPole-v1'))\nassert 'seaborn.relational' not in sys.modules\n"
        "import seaborn\nassert seaborn.lineplot"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
