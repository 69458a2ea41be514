"""What a home's record leads to, held to its contract where the home is from outside this package.

Read without importing JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Broken, Refusal, told
from qtwin.records import imported, origin_of

if TYPE_CHECKING:
    from qtwin.envs.guard import Care

Home = Any  # an `EnvHomeInfo`, whose catalogue uses this module


def resolved(home: Home, name: str) -> EnvSpec:
    """What an agent may know of the environment ``name`` of a home.

    Raises:
      Refusal: there is no such environment, or the home does not keep to its own record.
    """
    spec = called(home, "resolve", name)
    if not _outside(home):
        return spec
    if not isinstance(spec, EnvSpec):
        raise _unlike(home, "resolve", "a qtwin.EnvSpec", f"a {type(spec).__name__}")
    if spec.id.partition(":")[0] != home.prefix or spec.engine != home.engine:
        wanted = f"an EnvSpec with an id '{home.prefix}:...' and the engine '{home.engine}'"
        raise _unlike(home, "resolve", wanted, f"one with '{spec.id}' and '{spec.engine}'")
    return spec


def listed(home: Home) -> dict[str, EnvSpec]:
    """The environments of a home that lists them one by one, by the names to write; else none."""
    if not home.names:
        return {}
    found = called(home, "names")
    if _outside(home) and not (isinstance(found, dict) and all(isinstance(each, EnvSpec) for each in found.values())):
        raise _unlike(home, "names", "a dict from names to qtwin.EnvSpec", f"a {type(found).__name__}")
    return found


def jax_made(home: Home, spec: EnvSpec, name: str) -> JaxEnv:
    """The environment in JAX that a home makes; one from outside is traced first, to refuse what is not as it says."""
    env = called(home, "make", spec, name)
    if not _outside(home):
        return env
    from qtwin.envs.env_checker import try_jax

    if not isinstance(env, JaxEnv) or env.spec != spec:
        came = f"a {type(env).__name__}" if not isinstance(env, JaxEnv) else f"one whose spec is {env.spec}"
        raise _unlike(home, "make", "a qtwin.JaxEnv with the spec that it was given", came)
    try_jax(env)
    return env


def host_made(home: Home, spec: EnvSpec, name: str, care: Care) -> Callable[[int], HostEnv]:
    """``envs -> HostEnv`` of a home in Python; those from outside are checked at every step."""
    several = called(home, "make", spec, name, care)
    if not _outside(home):
        return several
    from qtwin.envs.guard import guarded

    if not callable(several):
        raise _unlike(home, "make", "a function of the number of environments", f"a {type(several).__name__}")
    return guarded(several, care.timeout)


def tried_out(home: Home, spec: EnvSpec, name: str, care: Care) -> None:
    """Plays a few steps before a run: where the home asks for it, and with those in Python from outside."""
    if home.try_out:
        called(home, "try_out", name, care, *((spec.env_kwargs,) if spec.env_kwargs else ()))
    elif _outside(home) and home.engine == "hosted":
        from qtwin.envs.env_checker import try_host

        several = host_made(home, spec, name, care)
        try:
            first = several(1)
        except (Refusal, Broken) as broken:
            raise Refusal(f"{str(broken).partition('; ')[0]}; nothing was trained") from broken
        except Exception as error:
            raise Refusal(f"the environment home '{home.prefix}': what make returns raised {told(error)}") from error
        came, shape = getattr(first, "spec", None), ("obs_shape", "obs_dtype", "num_actions", "num_states")
        first.close()
        if [getattr(came, field, None) for field in shape] != [getattr(spec, field) for field in shape]:
            raise _unlike(home, "make", f"environments as resolve says, {spec}", f"environments with {came}")
        try_host(several, 1)


def called(home: Home, field: str, *arguments: Any) -> Any:
    """What a function of a home's record returns; what one from outside raises is a refusal."""
    try:
        return imported(getattr(home, field))(*arguments)
    except Refusal:
        raise
    except Exception as error:
        if not _outside(home):
            raise
        raise Refusal(f"the environment home '{home.prefix}': {field} raised {told(error)}") from error


def _outside(home: Home) -> bool:
    return bool(origin_of("environment home", home.prefix))


def _unlike(home: Home, field: str, wanted: str, came: str) -> Refusal:
    return Refusal(f"the environment home '{home.prefix}': {field} returns {wanted}, and {came} came")
