"""What an environment written in JAX gives that is no finite number: named, and never remembered.

Environments in Python are looked after by `qtwin.envs.guard`.
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
    """A chunk that may be remembered: as it came, or zeros where not every number in it is finite.

    Args:
      chunk: [T, N]
      faults: say, after the first number that is not finite, which it was.
      before: vector steps before this chunk. []
    """
    columns = {i: column for i, name in enumerate(FIELDS) if _inexact(column := getattr(chunk, name))}
    # Zero times what is not finite is no number, and its sum is a quicker pass than a reduction of isfinite.
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
    """Where a step gave what is not finite, the same action in another environment's first step.

    Args:
      env: one environment.
      key: where the others' chance comes from.
      action: [N, ...]
      obs: what was acted on. [N, *obs_shape]
      stepped: what the step of all N gave: states, the observations to act on next, the outcome.

    Returns:
      ``obs`` and ``stepped`` with the lost ones replaced, and which those are [N] bool. What another environment gives
      that is not finite stands there as it came, for `check_finite` to find.
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
    """Which of N environments gave a reward or an observation that is not finite. [N] bool

    Args:
      obs: to act on next. [N, *obs_shape]
      outcome: each field [N].
    """
    lost = ~_finite(outcome.reward, 1)
    for seen in (outcome.next_obs, obs):
        lost = lost | ~_finite(seen, 1) if _inexact(seen) else lost
    return lost


def in_words(faults: Faults, name: str, seed: int) -> str:
    """What broke a run, for a person. ``faults`` hold whole numbers, ``broken_at`` above 0."""
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
    """Looks at what went wrong in each seed's environments, called ``name``.

    Raises:
      Broken: one gave what is not finite.
    """
    for seed, fault in zip(seeds, faults, strict=True):
        if fault.broken_at:
            raise Broken(in_words(fault, name, seed))


def finite_returns(returns: np.ndarray, name: str) -> None:
    """Looks at the returns of an evaluation [..., episodes], which have to be finite.

    Raises:
      Broken: one is not.
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
    """Of each row, with so many leading axes: is every number finite?"""
    return jnp.all(jnp.isfinite(column), axis=tuple(range(leading, column.ndim)))


def _value(column: Array) -> Array:
    """Which of `VALUES` a row of [T, N, ...] that is not finite holds. [T, N] int32"""
    rest = tuple(range(2, column.ndim))
    nan, inf = jnp.any(jnp.isnan(column), axis=rest), jnp.any(column == jnp.inf, axis=rest)
    return jnp.where(nan, 0, jnp.where(inf, 1, 2)).astype(jnp.int32)
