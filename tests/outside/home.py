"""A home of environments written in JAX: ``corridor:N``, N fields to walk along."""

from __future__ import annotations

import qtwin


def resolve(name: str) -> qtwin.EnvSpec:
    if not name.isdigit() or not 2 <= int(name) <= 1_000:
        raise qtwin.Refusal(f"a corridor has 2 to 1000 fields, not '{name}'; write for example corridor:6")
    return qtwin.EnvSpec(f"corridor:{name}", (1,), "float32", 2, time_limit=4 * int(name))


def make(spec: qtwin.EnvSpec, name: str) -> qtwin.JaxEnv:
    import jax.numpy as jnp

    fields, limit = int(name), spec.time_limit

    def seen(field):
        return jnp.reshape(field / (fields - 1), 1).astype(jnp.float32)

    def reset(key):
        del key
        state = (jnp.int32(0), jnp.int32(0))  # the field, and how many steps were taken
        return state, seen(state[0])

    def step(key, state, action):
        field, time = jnp.maximum(state[0] + 2 * action - 1, 0), state[1] + 1
        there, over = field == fields - 1, time == limit
        outcome = qtwin.Outcome(jnp.float32(-1.0), 1.0 - there.astype(jnp.float32), seen(field), there | over)
        field, time = jnp.where(outcome.last, 0, field), jnp.where(outcome.last, 0, time)
        return (field.astype(jnp.int32), time.astype(jnp.int32)), seen(field), outcome

    return qtwin.JaxEnv(spec, reset, step)


def names() -> dict[str, qtwin.EnvSpec]:
    return {f"corridor:{fields}": resolve(str(fields)) for fields in (6, 20)}


RECORD = qtwin.EnvHomeInfo(
    "corridor", "corridor:FIELDS", "a corridor, written in JAX", "fused", "outside.home:resolve", "outside.home:make",
    names="outside.home:names",
)  # fmt: skip
qtwin.register(RECORD)
