"""Environments that the caller hands in: a class or a function, a vector of them, an instance, a `JaxEnv`.

Each becomes a name that carries it (`qtwin.types.HandedIn`) and resolves like any other. A run must be able to make its
environments again (to evaluate, to go on after a stop), so an instance is re-made from its Gymnasium spec, or refused.
Read without importing JAX.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.vector import VectorEnv

from qtwin.envs import gym_envs
from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.env_checker import try_gym, try_host, try_jax
from qtwin.envs.exits import contained
from qtwin.envs.guard import Care, Guarded
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Broken, Refusal, told
from qtwin.storage.files import staying
from qtwin.types import OWN, HandedIn, kind_of, module_of, own_name, plain_name

EXPECTED = (
    "env is a name, a gymnasium.Env class, a function that returns one environment, qtwin.vector(function), or a"
    " qtwin.JaxEnv"
)


class vector(NamedTuple):
    """A function that makes N environments at once, to be handed in as an environment.

        qtwin.train(qtwin.vector(lambda n: gymnasium.make_vec("CartPole-v1", num_envs=n)))

    Attributes:
      make: ``envs -> HostEnv`` or ``envs -> gymnasium.vector.VectorEnv``, in any of Gymnasium's three reset modes.
      stack: how many consecutive frames an image of a ``VectorEnv`` holds along its last axis, the newest last.
    """

    make: Callable[[int], HostEnv | VectorEnv]
    stack: int = 1


class OwnEnv(NamedTuple):
    """An environment that was handed in.

    Attributes:
      spec: its shape.
      make: ``Care -> JaxEnv``, or ``Care -> (envs -> HostEnv)``.
      try_out: ``(envs, Care) -> None``: plays a few steps, and refuses what is not as it says.
      replaces: one that fails can be replaced, and each can have a process of its own.
    """

    spec: EnvSpec
    make: Callable[[Care], Any]
    try_out: Callable[[int, Care], None]
    replaces: bool = False


def handed_in(env: Any, env_kwargs: dict[str, Any] | None = None) -> tuple[str, str]:
    """The name of an environment, and the arguments it is made with.

    Args:
      env: a name, or one of the things that this module's docstring lists.
      env_kwargs: handed to ``gymnasium.make`` with a registered id, or to a class or function.

    Returns:
      ``(name, kwargs)``: the name carries what was handed in; ``kwargs`` is JSON, "" where there are none, or where
      JSON cannot hold them (the name carries them all the same).

    Raises:
      Refusal: it is no environment, or cannot be made again.
    """
    kwargs = dict(env_kwargs or {})
    if isinstance(env, HandedIn):
        return env, _as_json(kwargs) or ""
    if isinstance(env, str):
        return _registered(env, kwargs) if kwargs else (env, "")
    if isinstance(env, gym.Env):
        return _again(env, kwargs)
    if kwargs and not callable(env):
        raise Refusal(
            "env_kwargs go with a registered id, a class or a function, not with what came as env; leave them out"
        )
    if isinstance(env, JaxEnv):
        return _jax(env), ""
    if isinstance(env, vector):
        return _vector(env), ""
    if isinstance(env, VectorEnv):
        raise Refusal(
            "a vector environment that is already made cannot be made again, as evaluation and an exact resume need;"
            " hand in qtwin.vector(function) with a function of the number of environments"
        )
    if callable(env):
        return _made_by(env, kwargs), _as_json(kwargs) or ""
    raise Refusal(f"{EXPECTED}, and {kind_of(env)} came")


def _named(thing: Any, own: Callable[[HandedIn], OwnEnv], name: str = "") -> HandedIn:
    """The name that carries an environment; its spec goes by that name too."""
    name = HandedIn(name or own_name(thing), None, module_of(thing))
    name.thing = own(name)
    return name


def _made_by(make: Callable, kwargs: dict[str, Any]) -> HandedIn:
    """Of a class or function that makes one environment."""
    _check_arguments(make, kwargs)
    return _one_by_one(functools.partial(make, **kwargs) if kwargs else make)


def _one_by_one(make: Callable[[], gym.Env], name: str = "") -> HandedIn:
    def own(name: HandedIn) -> OwnEnv:
        with staying():
            spec = gym_envs.made_spec(name, make)

        def of(care: Care) -> Callable[[int], Any]:
            timeout = None if care.mode == "async" else care.timeout

            def several(envs: int) -> Any:
                env: Any = gym_envs.copies(spec, make, envs, care)
                return Guarded(env, timeout)

            return several

        def try_out(envs: int, care: Care) -> None:
            del envs
            with staying():
                try_gym(str(name), make, care)

        return OwnEnv(spec, of, try_out, replaces=True)

    return _named(make, own, name)


def _check_arguments(make: Callable, kwargs: dict[str, Any]) -> None:
    """Refuses a function with arguments that nobody hands it."""
    try:
        inspect.signature(make).bind(**kwargs)
    except ValueError:  # of something built in, which does not tell
        return
    except TypeError as error:
        name = own_name(make).removeprefix(OWN)
        raise Refusal(
            f"{name} cannot be called without further arguments ({error}); give them as env_kwargs, or write"
            f" qtwin.vector({name}) if it takes the number of environments"
        ) from None


def _vector(made: vector) -> HandedIn:
    if not callable(made.make):
        raise Refusal(f"qtwin.vector takes a function of the number of environments, and {kind_of(made.make)} came")

    def several(envs: int) -> Any:
        try:
            with contained(name, "its constructor"):
                env = made.make(envs)
        except Exception as error:
            reason = str(error) if isinstance(error, Broken) else told(error)
            raise Refusal(f"{name} cannot be called with the number of environments, {envs}: {reason}") from error
        if isinstance(env, VectorEnv):
            if env.num_envs != envs:
                env.close()
                raise Refusal(f"{name} was called with {envs} and made {env.num_envs} environments")
            env = gym_envs.from_vector(env, id=name, stack=made.stack)
        if not isinstance(getattr(env, "spec", None), EnvSpec):
            raise Refusal(
                f"{name}: expected a gymnasium.vector.VectorEnv or a qtwin.HostEnv from the function in qtwin.vector,"
                f" and {kind_of(env)} came"
            )
        return env

    def own() -> OwnEnv:
        with staying():
            first = several(1)
        try:
            spec = first.spec
        finally:
            first.close()
        return OwnEnv(
            spec, lambda care: lambda envs: Guarded(several(envs), care.timeout), lambda n, care: try_host(several, n)
        )

    name = HandedIn(own_name(made.make), None, module_of(made.make))
    made_env = own()
    name.thing = made_env._replace(spec=_under(made_env.spec, name))
    return name


def _jax(env: JaxEnv) -> HandedIn:
    if not isinstance(env.spec, EnvSpec) or not callable(env.reset) or not callable(env.step):
        came = ", ".join(map(kind_of, env))
        raise Refusal(f"a JaxEnv is a qtwin.EnvSpec and two functions, reset and step, and ({came}) came")
    name = HandedIn(OWN + plain_name(env.spec.id.rpartition(":")[2]), None)
    env = env._replace(spec=_under(env.spec, name))
    name.thing = OwnEnv(env.spec, lambda care: env, lambda envs, care: try_jax(env))
    return name


def _under(spec: EnvSpec, name: HandedIn) -> EnvSpec:
    return dataclasses.replace(spec, id=name)


def _again(env: gym.Env, kwargs: dict[str, Any]) -> tuple[str, str]:
    """Of an instance: by its id if that says it all, else by its spec."""
    what = type(env.unwrapped).__name__
    if kwargs:
        raise Refusal(f"env_kwargs make an environment, and {what} is made already; hand in its class or its id")
    try:
        spec = env.spec
    except Exception:
        spec = None
    if spec is None:
        raise Refusal(
            f"this {what} cannot be made again, as evaluation and an exact resume need: it was not made by"
            f" gymnasium.make; hand in the class {what}, or a function that makes one"
        )
    try:
        second = gym.make(spec)
    except Exception as error:
        line = (str(error).splitlines() or [""])[0][:200]
        raise Refusal(
            f"this {what} cannot be made again from its spec ({type(error).__name__}: {line}); hand in a function that"
            " makes one"
        ) from None
    same = _layers(env) == _layers(second) and env.observation_space == second.observation_space
    same = same and env.action_space == second.action_space
    second.close()
    if not same:
        raise Refusal(
            f"this {what} cannot be made again from its spec, which does not know all of its wrappers; hand in a"
            " function that makes one"
        )
    entry = gym.registry.get(spec.id)
    if entry is not None and not spec.additional_wrappers and entry.entry_point == spec.entry_point:
        own = {k: v for k, v in spec.kwargs.items() if k not in entry.kwargs or entry.kwargs[k] != v}
        own = {k: v for k, v in own.items() if not (k == "render_mode" and v is None)}
        if spec.max_episode_steps == entry.max_episode_steps and _as_json(own) is not None:
            return _registered(f"gym:{spec.id}", own)
    return _one_by_one(functools.partial(gym.make, spec), OWN + re.sub(r"[^\w.-]+", "-", spec.id)), ""


def _layers(env: gym.Env) -> list[type]:
    found = [type(env)]
    while isinstance(env, gym.Wrapper):
        env = env.env
        found.append(type(env))
    return found


def _registered(name: str, kwargs: dict[str, Any]) -> tuple[str, str]:
    """Of an id of Gymnasium's with arguments: plain data where JSON can hold them."""
    name = name if ":" in name else f"gym:{name}"
    home, _, plain = name.partition(":")
    if home != "gym":
        raise Refusal(f"env_kwargs are for environments of Gymnasium, and {name} came with them; leave them out")
    text = _as_json(kwargs)
    if text is not None:
        return name, text
    from qtwin.envs.gym_make import made

    return _one_by_one(functools.partial(made, plain, kwargs), OWN + re.sub(r"[^\w.-]+", "-", plain)), ""


def _as_json(kwargs: dict[str, Any]) -> str | None:
    """``kwargs`` as JSON that reads back as the same; "" for none, None where JSON cannot hold them."""
    if not kwargs:
        return ""
    try:
        text = json.dumps(kwargs, sort_keys=True, allow_nan=False)
        return text if json.loads(text) == kwargs else None
    except (TypeError, ValueError):
        return None
