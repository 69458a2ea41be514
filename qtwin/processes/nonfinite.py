"""Non-finite outputs of environments in JAX: they are reported, and never stored in the replay buffer.

`qtwin.envs.guard` does this for environments in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.envs.base import JaxEnv, Outcome
from qtwin.errors import Broken
from qtwin.state import Faults
from qtwin.types import Array, PyTree, Timestep

FIELDS = ("action", "obs", "reward", "next_obs")
VALUES = ("nan", "inf", "-inf")


def check_finite(chunk: Timestep, faults: Faults, before: Array) -> tuple[Timestep, Faults]:
    """Checks a chunk before it is stored; one with a non-finite value is replaced by zeros.

    Args:
      chunk: [T, N]
      faults: the fault counts; the first non-finite value is recorded in them.
      before: vector steps before this chunk. []

    Returns:
      the chunk, or zeros in its place, and the fault counts.
    """
    columns = {i: column for i, name in enumerate(FIELDS) if _inexact(column := getattr(chunk, name))}
    # Zero times a non-finite value is NaN, and a sum is faster than a reduction of isfinite.
    fine = jnp.isfinite(sum(jnp.sum(column * 0.0) for column in columns.values()))

    def first() -> Faults:
        bad = jnp.stack([~_finite(column, 2) for column in columns.values()], axis=-1)  # [T, N, F]
        values = jnp.stack([_value(column) for column in columns.values()], axis=-1)
        step, env, field = jnp.unravel_index(jnp.argmax(bad), bad.shape)
        return faults._replace(
            broken_at=before + step.astype(jnp.int32) + 1,
            broken_env=env.astype(jnp.int32),
            broken_field=jnp.asarray(list(columns), jnp.int32)[field],
            broken_value=values[step, env, field],
        )

    faults = jax.lax.cond(fine | (faults.broken_at > 0), lambda: faults, first)
    kept = {FIELDS[i]: jnp.where(fine, column, jnp.zeros_like(column)) for i, column in columns.items()}
    return chunk._replace(**kept), faults


def another(
    env: JaxEnv, key: Array, action: Array, obs: Array, stepped: tuple[PyTree, Array, Outcome]
) -> tuple[Array, tuple[PyTree, Array, Outcome], Array]:
    """Replaces environments whose step gave a non-finite value by the first step of a new environment.

    Args:
      env: one environment.
      key: for the new environments.
      action: also used for the first step of the new environments. [N, ...]
      obs: the observations acted on. [N, *obs_shape]
      stepped: the result of stepping all N: states, the observations to act on next, the outcome.

    Returns:
      ``obs`` and ``stepped`` with lost environments replaced, and which ones were lost [N] bool. Non-finite values of
      the new environments are left in place, for `check_finite` to find.
    """
    lost = not_finite(*stepped[1:])

    def replaced() -> tuple[Array, tuple[PyTree, Array, Outcome]]:
        begin_key, step_key = jax.random.split(key)
        envs = action.shape[0]
        state, first_obs = jax.vmap(env.reset)(jax.random.split(begin_key, envs))
        others = jax.vmap(env.step)(jax.random.split(step_key, envs), state, action)

        def pick(new: Array, old: Array) -> Array:
            return jnp.where(lost.reshape(envs, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(pick, (first_obs, others), (obs, stepped))

    obs, stepped = jax.lax.cond(jnp.any(lost), replaced, lambda: (obs, stepped))
    return obs, stepped, lost


def not_finite(obs: Array, outcome: Outcome) -> Array:
    """Which of N environments gave a non-finite reward or observation. [N] bool

    Args:
      obs: to act on next. [N, *obs_shape]
      outcome: each field [N].
    """
    lost = ~_finite(outcome.reward, 1)
    for seen in (outcome.next_obs, obs):
        lost = lost | ~_finite(seen, 1) if _inexact(seen) else lost
    return lost


def in_words(faults: Faults, name: str, seed: int) -> str:
    """The error message for a broken run. ``faults`` holds Python integers, with ``broken_at`` above 0."""
    field, value = FIELDS[faults.broken_field], VALUES[faults.broken_value]
    if field == "action":
        return (
            f"seed {seed}: the agent's action in environment {faults.broken_env} of {name} was {value} at vector step"
            f" {faults.broken_at:,}; the last checkpoint is good, try a smaller learning rate"
        )
    return (
        f"seed {seed}: environment {faults.broken_env} of {name} gave {value} as {field} at vector step"
        f" {faults.broken_at:,}, and finite numbers are needed; nothing of it is stored, and the last checkpoint is"
        " good; --on-nan drop goes on with another environment"
    )


def stop_if_broken(faults: Sequence[Faults], seeds: Sequence[int], name: str) -> None:
    """Checks the fault counts of each seed's environments, called ``name``.

    Raises:
      Broken: an environment gave a non-finite value.
    """
    for seed, fault in zip(seeds, faults, strict=True):
        if fault.broken_at:
            raise Broken(in_words(fault, name, seed))


def finite_returns(returns: np.ndarray, name: str) -> None:
    """Checks that the returns of an evaluation [..., episodes] are finite.

    Raises:
      Broken: a return is not finite.
    """
    bad = ~np.isfinite(returns)
    if bad.any():
        raise Broken(
            f"an evaluation episode of {name} had the return {returns[bad][0]}, and finite rewards are needed; the last"
            " checkpoint is good"
        )


def _inexact(column: Array) -> bool:
    return jnp.issubdtype(column.dtype, jnp.inexact)


def _finite(column: Array, leading: int) -> Array:
    """Whether all elements of each row are finite, for rows with ``leading`` leading axes."""
    return jnp.all(jnp.isfinite(column), axis=tuple(range(leading, column.ndim)))


def _value(column: Array) -> Array:
    """The index into `VALUES` of the non-finite value of each row of [T, N, ...]. [T, N] int32"""
    rest = tuple(range(2, column.ndim))
    nan, inf = jnp.any(jnp.isnan(column), axis=rest), jnp.any(column == jnp.inf, axis=rest)
    return jnp.where(nan, 0, jnp.where(inf, 1, 2)).astype(jnp.int32)
