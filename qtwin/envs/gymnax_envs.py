"""Environments of gymnax, through the one contract."""

from __future__ import annotations

import sys
from types import ModuleType

import jax
import jax.numpy as jnp

from qtwin.envs.actions import to_bounds
from qtwin.envs.base import JaxEnv, Outcome
from qtwin.envs.gymnax_specs import MINATAR_OWN, MINATAR_STICKY
from qtwin.envs.spec import EnvSpec
from qtwin.types import Array, PyTree


def gymnax_env(spec: EnvSpec, name: str, **options) -> JaxEnv:
    """The gymnax environment ``name`` as a `JaxEnv`.

    gymnax resets by itself and hands the true last observation in ``info``; its ``terminated`` excludes the time limit.

    Args:
      spec: its entry in the catalogue; ``obs_dtype`` decides how observations are kept (MinAtar's are flags, one byte
        each), and actions in [-1, 1] are translated to its bounds.
      name: gymnax's own id.
      options: of gymnax, as the environment is made.
    """
    env, params = import_gymnax().make(name, **options)
    if spec.time_limit != params.max_steps_in_episode:
        params = params.replace(max_steps_in_episode=spec.time_limit)
    kept = jnp.dtype(spec.obs_dtype)
    low, high = jnp.array(spec.action_low, jnp.float32), jnp.array(spec.action_high, jnp.float32)

    def keep(obs):
        return jnp.asarray(obs).astype(kept).reshape(spec.obs_shape)

    def reset(key):
        obs, state = env.reset(key, params)
        return _settled(state), keep(obs)

    def step(key, state, action):
        if spec.continuous:
            action = to_bounds(action, low, high)
        # gymnax adds arrays of different ranks, whatever the rule in this process.
        with jax.numpy_rank_promotion("allow"):
            obs, state, reward, terminated, truncated, info = env.step(key, state, action, params)
        outcome = Outcome(
            reward=jnp.asarray(reward, jnp.float32).reshape(()),
            discount=1.0 - jnp.asarray(terminated, jnp.float32).reshape(()),
            next_obs=keep(info["final_observation"]),
            last=jnp.asarray(terminated | truncated, bool).reshape(()),
        )
        return _settled(state), keep(obs), outcome

    return JaxEnv(spec, reset, step)


def minatar_env(spec: EnvSpec, name: str) -> JaxEnv:
    """A game as MinAtar itself has it (Young & Tian 2019): all six actions, sticky ones, and no limit of gymnax's.

    With probability 0.1 an action is replaced by the one before it, which may itself have been; the first action that
    there is may be replaced by 0, "stay". MinAtar does not forget the last action when an episode ends, nor is it
    forgotten here.

    Args:
      spec: its entry in the catalogue.
      name: as MinAtar registers it with Gymnasium, ``Breakout-v0``.
    """
    game = gymnax_env(spec, MINATAR_OWN[name], use_minimal_action_set=False)
    prepare = PREPARED.get(name)

    def reset(key):
        state, obs = game.reset(key)
        return (state, jnp.int32(0)), obs

    def step(key, state, action):
        inner, last_action = state
        repeat, move = jax.random.split(key)
        action = jnp.where(jax.random.bernoulli(repeat, MINATAR_STICKY), last_action, action)
        if prepare:
            key, move = jax.random.split(move)
            inner = prepare(key, inner)
        inner, obs, outcome = game.step(move, inner, action)
        return (inner, action), obs, outcome

    return JaxEnv(spec, reset, step)


def spawned(key: Array, state: PyTree) -> PyTree:
    """Asterix, before its step: an enemy or a treasure in one of the free rows, if one is due and a row is free.

    gymnax looks for a row itself, when the timer is at 0, and where nearly all are taken it may empty one instead. So
    the timer is set here.
    """
    side, kind, row = jax.random.split(key, 3)
    free, due = state.entities[:, 4] == 0, state.spawn_timer == 0
    slot = jnp.argmax(jnp.where(free, jax.random.uniform(row, free.shape), -1.0))
    rightwards, gold = jax.random.bernoulli(side, 0.5), jax.random.bernoulli(kind, 1 / 3)
    entity = [jnp.where(rightwards, 0, 9), slot + 1, rightwards, gold, True]  # column, row, which way, treasure, there
    entity = jnp.stack([jnp.asarray(part, state.entities.dtype) for part in entity])
    entities = jnp.where(due & free.any(), state.entities.at[slot].set(entity), state.entities)
    return state.replace(entities=entities, spawn_timer=jnp.where(due, state.spawn_speed, state.spawn_timer))


PREPARED = {"Asterix-v0": spawned}  # what gymnax does otherwise than MinAtar is done before its step


class _Seaborn(ModuleType):
    """Stands for seaborn until something of it is asked for."""

    def __getattr__(self, name: str):
        import seaborn

        return getattr(seaborn, name)


def import_gymnax() -> ModuleType:
    """gymnax, which imports seaborn for drawing: that takes longer than JAX itself, so it waits until then."""
    if "seaborn" in sys.modules:
        import gymnax

        return gymnax
    sys.modules["seaborn"] = _Seaborn("seaborn")
    try:
        import gymnax
    finally:
        del sys.modules["seaborn"]  # whoever imports it from here on gets it
    return gymnax


def _settled(state):
    # Several gymnax environments start from Python numbers and step to arrays; a loop's carry needs one type.
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jax.dtypes.canonicalize_dtype(jnp.result_type(leaf))), state)
