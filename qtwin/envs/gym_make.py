"""One environment of Gymnasium by its id, or a sentence that says why not. Read without importing JAX."""

from __future__ import annotations

import gymnasium as gym

from qtwin.envs.exits import contained
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Broken, Refusal

# What has to be installed for a family of environments: a part of its module's path, the package's name, the extra.
EXTRAS = (("box2d", "Box2D", "box2d"), ("mujoco", "MuJoCo", "mujoco"), ("toy_text", "pygame", "toy-text"))


def made(name: str, make_kwargs: dict) -> gym.Env:
    """An environment of Gymnasium.

    Args:
      name: its id.
      make_kwargs: handed to ``gymnasium.make``.

    Raises:
      Refusal: there is no such environment, a package is missing, or its constructor ends the process.
    """
    if name.startswith("ALE/"):
        try:
            import ale_py
        except ImportError:
            raise _missing(name, "ale-py", "atari") from None
        gym.register_envs(ale_py)
    entry = gym.registry.get(name)
    if entry is None:
        # This also turns away "module:id", with which Gymnasium would import any module that a saved run names.
        known = [other for other in gym.registry if not other.startswith("GymV")]
        raise Refusal(f"unknown environment 'gym:{name}'{nearest_env(name, known)}")
    where = str(entry.entry_point)
    if "_raise_mujoco_py_error" in where:
        newer = f"{name.rpartition('-')[0]}-v5"
        raise Refusal(f"{name} was removed from Gymnasium; write {newer}")
    try:
        with contained(name, "its constructor"):
            return gym.make(name, disable_env_checker=True, **make_kwargs)
    except Broken as exit:
        raise Refusal(str(exit)) from exit
    except (ImportError, gym.error.DependencyNotInstalled) as error:
        for part, package, extra in EXTRAS:
            if part in where or part in str(error).lower():
                raise _missing(name, package, extra) from None
        raise Refusal(f"{name} needs a package that is not installed: {first_line(error)}") from None
    except gym.error.Error as error:
        raise Refusal(f"Gymnasium cannot make {name}: {first_line(error)}") from None
    except TypeError as error:
        if not make_kwargs:
            raise
        raise Refusal(f"{name} does not take the options {make_kwargs}: {first_line(error)}") from None


def _missing(name: str, package: str, extra: str) -> Refusal:
    return Refusal(f"{name} needs {package}, which is not installed; write pip install 'qtwin[{extra}]'")


def first_line(error: Exception) -> str:
    """The first line of an error's message, its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
