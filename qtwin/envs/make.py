"""From an environment's spec to the environment."""

from __future__ import annotations

from collections.abc import Callable

from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.catalog import EnvHomeInfo, home_of
from qtwin.envs.guard import Care, Guarded
from qtwin.envs.registered import host_made, jax_made, tried_out
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, one_of
from qtwin.types import HandedIn

CARE = Care()


def jax_env(spec: EnvSpec) -> JaxEnv:
    """The environment in JAX that ``spec`` describes (``spec.engine == "fused"``)."""
    if isinstance(spec.id, HandedIn):
        return spec.id.thing.make(CARE)
    home, name = _home_of(spec)
    return jax_made(home, spec, name)


def host_env(spec: EnvSpec, care: Care = CARE) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv``: vectors of the environment that ``spec`` describes, for the hosted engine.

    Args:
      spec: the environment.
      care: what is done about those that go wrong.
    """
    home, name = _home_of(spec)
    if isinstance(spec.id, HandedIn) and spec.engine == "hosted":
        return spec.id.thing.make(care)
    if home.engine == "hosted":
        return host_made(home, spec, name, care)
    from qtwin.envs.jax_on_host import host_of

    return lambda envs: Guarded(host_of(jax_env(spec), envs), care.timeout)


def try_out(spec: EnvSpec, care: Care = CARE, envs: int = 1) -> None:
    """Plays a few steps where the home asks for it, to refuse what is not as it says itself before a run has begun.

    Args:
      spec: the environment.
      care: as for `host_env`.
      envs: how many the run will step together.
    """
    if isinstance(spec.id, HandedIn):
        spec.id.thing.try_out(envs, care)
        return
    home, name = home_of(spec)
    if home:
        tried_out(home, spec, name, care)


def make(spec: EnvSpec, engine: str = "auto", care: Care = CARE) -> JaxEnv | Callable[[int], HostEnv]:
    """The environment in the form that an engine takes: a `JaxEnv` (fused), or ``envs -> HostEnv`` (hosted).

    Args:
      spec: the environment.
      engine: "fused", "hosted", or "auto" for the environment's own.
      care: as for `host_env`.

    Raises:
      Refusal: the fused engine was asked for and the environment is not written in JAX.
    """
    if one_of("engine", engine, ("auto", "fused", "hosted")) == "auto":
        engine = spec.engine
    if engine == "fused" and spec.engine != "fused":
        raise Refusal(
            f"the fused engine needs an environment written in JAX, and {spec.id} is not; write --engine hosted"
        )
    return jax_env(spec) if engine == "fused" else host_env(spec, care)


def _home_of(spec: EnvSpec) -> tuple[EnvHomeInfo, str]:
    home, name = home_of(spec)
    if home is None:
        raise Refusal(f"{spec.id} cannot be created from its name; pass the environment itself")
    return home, name
