"""From an environment's spec to the environment."""

from __future__ import annotations

from collections.abc import Callable

from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.guard import Care, Guarded
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, one_of
from qtwin.storage.files import staying

CARE = Care()


def jax_env(spec: EnvSpec) -> JaxEnv:
    """The environment in JAX that ``spec`` describes (``spec.engine == "fused"``)."""
    home, _, name = spec.id.partition(":")
    if home == "probe":
        from qtwin.envs.continuous_probes import continuous_probe
        from qtwin.envs.probes import probe

        return continuous_probe(name) if spec.continuous else probe(name)
    if home == "brax":
        from qtwin.envs.brax_envs import brax_env

        return brax_env(spec, name)
    from qtwin.envs.gymnax_envs import gymnax_env, minatar_env

    return minatar_env(spec, name) if home == "minatar" else gymnax_env(spec, name)


def host_env(spec: EnvSpec, care: Care = CARE) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv``: vectors of the environment that ``spec`` describes, for the hosted engine.

    Args:
      spec: the environment.
      care: what is done about those that go wrong.
    """
    home, _, name = spec.id.partition(":")
    if home == "ale":
        from qtwin.envs.ale_envs import AleMaker

        return AleMaker(spec)
    if home == "gym":
        from qtwin.envs.gym_envs import gym_env

        # Those in processes of their own are looked after one by one.
        timeout = None if care.mode == "async" else care.timeout
        return lambda envs: Guarded(gym_env(name, envs, care=care), timeout)
    if home == "envpool":
        from qtwin.envs.envpool_envs import envpool_env

        return lambda envs: Guarded(envpool_env(name, envs), care.timeout)
    from qtwin.envs.jax_on_host import host_of

    return lambda envs: Guarded(host_of(jax_env(spec), envs), care.timeout)


def try_out(spec: EnvSpec, care: Care = CARE) -> None:
    """Plays a few steps of one of Gymnasium's, to refuse what is not as it says itself before a run has begun."""
    home, _, name = spec.id.partition(":")
    if home == "gym":
        from qtwin.envs import gym_envs

        with staying():
            gym_envs.try_out(name, care)


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
