"""What a caller hands in where a name could stand, and what a resumed run needs again. Read without importing JAX."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from qtwin.agents import handed_in as agents
from qtwin.config.config import Config
from qtwin.envs import handed_in as envs
from qtwin.envs.catalog import resolve
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.request.run_config import SavedRun
from qtwin.types import OWN, HandedIn, module_of, own_name, stands_alone

NETS = ("net", "actor_net")


class Asked(NamedTuple):
    """What is to be run, as names; those of things that were handed in carry them.

    Attributes:
      env: the environment.
      env_kwargs: what it is made with, as JSON; "" for nothing.
      agent: the algorithm; None where none was named.
      settings: by name; text where a name is expected.
    """

    env: str
    env_kwargs: str
    agent: str | None
    settings: dict[str, Any]

    @property
    def spec(self) -> EnvSpec:
        return resolve(self.env, env_kwargs=self.env_kwargs)


def asked_of(env: Any, agent: Any, settings: dict[str, Any], saved: SavedRun | None) -> Asked:
    """Names for whatever was given.

    Args:
      env: a name or an environment (`qtwin.envs.handed_in`); None is the saved run's.
      agent: a name, an `Algorithm`, a function that makes one, or None.
      settings: ``net`` and ``actor_net`` may be networks, ``target`` a `TargetUpdate`, ``env_kwargs`` a dictionary.
      saved: the run to go on with; None for a new one.
    """
    settings = dict(settings)
    if env is None:
        if saved is None:
            raise Refusal(f"{envs.EXPECTED}, and None came; write for example 'CartPole-v1'")
        env = saved.config.env
        if stands_alone(env):
            plain = env.removeprefix(OWN)
            raise Refusal(
                f"the run learns in an environment that was handed in from Python, {plain}, and no file holds it; hand"
                f" it in again, as env={plain}"
            )
    kwargs = settings.pop("env_kwargs", None)
    if kwargs is None and saved is not None and _same_name(env, saved.config.env):
        kwargs = saved.config.env_kwargs
    if isinstance(kwargs, str):
        from qtwin.envs.gym_home import kwargs_of

        kwargs = kwargs_of(kwargs)
    if kwargs is not None and not isinstance(kwargs, dict):
        raise Refusal(f"env_kwargs is a dictionary of keyword arguments, and {kwargs!r} came")
    env, text = envs.handed_in(env, kwargs)
    if agent is not None and not isinstance(agent, str):
        agent = agents.handed_in(agent)
    for name in NETS:
        if name in settings and not isinstance(settings[name], str):
            settings[name] = _net(settings[name])
    if "target" in settings and not isinstance(settings["target"], str):
        settings["target"] = agents.target_in(settings["target"])
    return Asked(env, text, agent, settings | ({"env_kwargs": text} if text else {}))


def _same_name(env: Any, name: str) -> bool:
    """Does an environment, or the class or function that makes it, go by this name?"""
    if isinstance(env, str):
        return env == name
    return callable(env) and own_name(env) == name


def _net(thing: Any) -> HandedIn:
    if thing is None or (isinstance(thing, (int, float, list, tuple)) and not hasattr(thing, "apply")):
        raise Refusal(
            "net is a name such as mlp:120,84, a Flax NNX module class (or rngs -> module), a Flax Linen module, or a"
            f" qtwin.Net, and {thing!r} came"
        )
    plain = type(thing).__name__ if not hasattr(thing, "__name__") else thing.__name__
    return HandedIn(own_name(thing) if plain != "Net" else "own:net", thing, module_of(thing))


def check_agent(agent: str | None, settings: dict[str, Any], saved: SavedRun | None) -> None:
    """Refuses an algorithm that is missing, and settings that one which is put together cannot take."""
    name = agent if agent is not None else saved.config.agent if saved else ""
    if stands_alone(name):
        raise Refusal(f"{agents.hand_in_again('algorithm', name, 'agent')}{_call(saved)}")
    if not agents.is_finished(name):
        if isinstance(settings.get("net"), HandedIn) and "init" in settings:
            raise Refusal("a network that is handed in begins as it says itself; leave init out")
        return
    algorithm = name.thing
    for field in settings:
        if field not in agents.SETTABLE:
            raise Refusal(
                f"an Algorithm is put together already, and {field} came with it; hand in a function (EnvSpec, Config)"
                f" -> Algorithm that reads c.{field}, or leave it out"
            )
    gamma = algorithm.replay.gamma
    if gamma is not None and float(settings.get("discount", gamma)) != gamma:
        raise Refusal(
            f"the replay buffer of this Algorithm has the discount {gamma:g}, and discount={settings['discount']} came;"
            " leave it out"
        )


def _call(saved: SavedRun | None) -> str:
    """How the run is gone on with in Python, where it is known what is missing."""
    module = "" if saved is None else saved.file.get("own", {}).get("modules", {}).get("agent", "")
    return f" (it was defined in the module {module})" if module else ""


def modules_of(config: Config) -> dict[str, str]:
    """The modules that the things in a config are defined in, by field; "" where that is not known."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    own = {name: value for name, value in fields.items() if isinstance(value, HandedIn)}
    return {name: value.module for name, value in own.items() if value.startswith(OWN)}


def same_version(config: Config, version: str, saved: SavedRun) -> tuple[str, ...]:
    """Refuses another version of what was handed in; returns a note where nobody can tell whether it is the same.

    Args:
      config: the run that goes on.
      version: as it is given now; "" for none.
      saved: as it began.
    """
    names = [str(getattr(config, field)) for field in modules_of(config)]
    if not names:
        return ()
    before = saved.file.get("own", {}).get("version", "")
    if before and before != version:
        came = f"version {version!r}" if version else "no version"
        raise Refusal(
            f"the run began with version {before!r} of {' and '.join(names)}, and {came} came; train to another out, or"
            f" write version={before!r} if the code is the same"
        )
    if before:
        return ()
    return (
        f"whether {' and '.join(names)} is still what the run began with cannot be checked: shapes and settings are"
        " compared, code is not (the same version='...' at the start and on resuming says that it is)",
    )
