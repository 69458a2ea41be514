"""An environment is tried out before a run begins: what is not as it says itself is refused, with the field.

Read without importing JAX, but for `try_jax`.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.guard import Care, Guarded, Watchdog, leave
from qtwin.envs.spec import EnvSpec
from qtwin.envs.supervised import CONTEXT
from qtwin.errors import Broken, Refusal

STEPS, SECONDS = 40, 2.0  # of a trial, whichever is over first; one step is always taken
HOST_STEPS = 3


class Fault(Exception):
    """What may happen to a sound environment too: it raised, or gave a number that is not finite."""


def try_gym(name: str, make: Callable[[], gym.Env], care: Care) -> None:
    """Plays a few steps at random in an environment of Gymnasium of its own, which is closed again.

    Args:
      name: for what is said.
      make: makes it.
      care: where environments are replaced, one that raises or gives what is not finite is not refused; where each has
        a process of its own, so has this one, and one that hangs or dies there is not refused either.

    Raises:
      Refusal: it does not keep to Gymnasium's interface or to its own spaces, raises, or gives what is not finite.
    """
    if care.mode == "async":
        said = _apart(name, make, care.timeout)
    elif care.timeout is None:
        said = _said(name, make)
    else:
        dog = Watchdog(care.timeout, name, leave)
        with dog:
            said = _said(name, make)
        dog.close()
    if said is not None and not (care.replaces and said.startswith(FAULT)):
        raise Refusal(f"{said.removeprefix(FAULT)}; nothing was trained")


FAULT = "fault: "


def _said(name: str, make: Callable[[], gym.Env]) -> str | None:
    """What is wrong, None where nothing is."""
    env = make()
    try:
        # First without the wrappers, which answer a wrong answer with an error of their own.
        _play(name, env.unwrapped, 2)
        _play(name, env, STEPS)
        return None
    except Refusal as refusal:
        return str(refusal)
    except Fault as fault:
        return f"{FAULT}{fault}"
    finally:
        with contextlib.suppress(Exception):
            env.close()


def _apart(name: str, make: Callable[[], gym.Env], timeout: float | None) -> str | None:
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_answer, args=(there, name, make), daemon=True)
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(timeout) else None
    except (EOFError, OSError):
        return None  # it has died; those that are trained on are looked after one by one
    finally:
        process.kill()
        process.join()
        here.close()


def _answer(pipe: Any, name: str, make: Callable[[], gym.Env]) -> None:
    pipe.send(_said(name, make))


def _play(name: str, env: gym.Env, steps: int) -> None:
    space, actions = env.observation_space, env.action_space
    actions.seed(0)
    _reset(name, env, space, seed=0)
    began = time.monotonic()
    for t in range(1, steps + 1):
        came = _called(name, f"step {t}", lambda: env.step(actions.sample()))
        if not isinstance(came, tuple) or len(came) != 5:
            _refuse(name, f"step {t}", "(obs, reward, terminated, truncated, info)", _kind(came))
        obs, reward, terminated, truncated, info = came
        _observation(name, f"obs of step {t}", obs, space)
        _reward(name, f"reward of step {t}", reward)
        for field, ends in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(ends, bool | np.bool_):
                _refuse(name, f"{field} of step {t}", "True or False", _told(ends))
        _info(name, f"info of step {t}", info)
        if terminated or truncated:
            _reset(name, env, space, seed=None)
        if time.monotonic() - began > SECONDS:
            return


def _reset(name: str, env: gym.Env, space: Space, seed: int | None) -> None:
    came = _called(name, "reset", lambda: env.reset(seed=seed, options=None))
    if not isinstance(came, tuple) or len(came) != 2:
        _refuse(name, "what reset gives", "(obs, info)", _kind(came))
    _observation(name, "obs of reset", came[0], space, first=True)
    _info(name, "info of reset", came[1])


def _observation(name: str, field: str, obs: Any, space: Space, first: bool = False) -> None:
    if isinstance(space, Discrete):
        last = int(space.start + space.n) - 1
        whole = isinstance(obs, numbers.Integral | np.ndarray) and np.shape(obs) == ()
        whole = whole and np.asarray(obs).dtype.kind in "iu"
        if not whole or not space.start <= int(obs) <= last:
            _refuse(name, field, f"a whole number from {int(space.start)} to {last}", _told(obs))
        return
    if not isinstance(space, Box):
        return  # refused with the spec
    wanted = f"{space.dtype}{list(space.shape)}"
    if not isinstance(obs, np.ndarray | np.generic):
        _refuse(name, field, wanted, _kind(obs))
    if obs.shape != space.shape or not np.can_cast(obs.dtype, space.dtype, "same_kind"):
        _refuse(name, field, wanted, f"{obs.dtype}{list(obs.shape)}")
    if obs.dtype.kind == "f" and not np.isfinite(obs).all():
        raise Fault(f"{name}: expected finite numbers as {field}, and got {obs[~np.isfinite(obs)][0]}")
    # Later ones may lie outside here and there: some of Gymnasium's own do, where an episode ends.
    if first and ((obs < space.low) | (obs > space.high)).any():
        at = tuple(int(i) for i in np.argwhere((obs < space.low) | (obs > space.high))[0])
        bounds = f"{space.low[at]:g} to {space.high[at]:g} at {list(at)}, as its observation_space says"
        _refuse(name, field, bounds, f"{obs[at]:g}")


def _reward(name: str, field: str, reward: Any) -> None:
    one = isinstance(reward, numbers.Real | np.bool_) or (isinstance(reward, np.ndarray) and reward.shape == ())
    if not one or np.asarray(reward).dtype.kind not in "fiub":
        _refuse(name, field, "a number", _told(reward))
    if not math.isfinite(reward):
        raise Fault(f"{name}: expected a finite number as {field}, and got {reward}")


def _info(name: str, field: str, info: Any) -> None:
    if not isinstance(info, dict):
        _refuse(name, field, "a dictionary", _told(info))


def _called(name: str, what: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        line = (str(error).splitlines() or [""])[0][:200]
        came = f"{type(error).__name__}: {line}"
        raise Fault(f"{name}: expected what a gymnasium.Env gives as {what}, and got {came}") from error


def try_host(make_env: Callable[[int], HostEnv], envs: int) -> None:
    """Takes a few steps at random with environments in Python of the caller's own, which are closed again.

    Raises:
      Refusal: they break the contract (`qtwin.envs.base.HostEnv`) or raise.
    """
    env = make_env(envs)
    spec = env.spec
    try:
        guarded, chance = Guarded(env), np.random.default_rng(0)
        guarded.reset(0)
        for _ in range(HOST_STEPS):
            shape = (envs, *spec.action_shape)
            drawn = chance.uniform(-1, 1, shape) if spec.continuous else chance.integers(0, spec.num_actions, shape)
            guarded.step(drawn.astype(spec.action_dtype))
    except Broken as broken:
        raise Refusal(f"{str(broken).partition('; ')[0]}; nothing was trained") from broken
    finally:
        env.close()


def try_jax(env: JaxEnv) -> None:
    """Holds the shapes and types that an environment in JAX gives against its spec; nothing is computed.

    Raises:
      Refusal: they differ, or it cannot be traced.
    """
    import jax

    spec = env.spec
    key = jax.eval_shape(lambda: jax.random.key(0))
    action = jax.ShapeDtypeStruct(spec.action_shape, np.dtype(spec.action_dtype))
    state, obs = _traced(spec, "reset", lambda: jax.eval_shape(env.reset, key))
    after, seen, outcome = _traced(spec, "step", lambda: jax.eval_shape(env.step, key, state, action))
    wanted = spec.obs_shape, np.dtype(spec.obs_dtype)
    number, flag = ((), np.dtype("float32")), ((), np.dtype("bool"))
    for field, came, (shape, dtype) in (
        ("obs of reset", obs, wanted), ("obs of step", seen, wanted), ("next_obs of step", outcome.next_obs, wanted),
        ("reward of step", outcome.reward, number), ("discount of step", outcome.discount, number),
        ("last of step", outcome.last, flag),
    ):  # fmt: skip
        if (came.shape, came.dtype) != (shape, dtype):
            _refuse(spec.id, field, f"{dtype}{list(shape)}", f"{came.dtype}{list(came.shape)}")
    like = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree)  # noqa: E731
    if like(after) != like(state):
        _refuse(spec.id, "state of step", f"what reset gives, {like(state)}", str(like(after)))


def _traced(spec: EnvSpec, what: str, function: Callable[[], Any]) -> Any:
    wanted = 2 if what == "reset" else 3
    try:
        came = function()
    except Exception as error:
        line = (str(error).splitlines() or [""])[0][:200]
        came = f"{type(error).__name__}: {line}"
        raise Refusal(f"{spec.id}: expected what a JaxEnv gives as {what}, and got {came}") from error
    if not isinstance(came, tuple) or len(came) != wanted:
        _refuse(spec.id, what, "(state, obs)" if wanted == 2 else "(state, obs, Outcome)", _kind(came))
    return came


def _kind(came: Any) -> str:
    return f"{len(came)} of them" if isinstance(came, tuple) else type(came).__name__


def _told(came: Any) -> str:
    shape = getattr(came, "shape", None)
    if shape:
        return f"{came.dtype}{list(shape)}"
    return f"{str(came)[:40]} ({type(came).__name__})"


def _refuse(name: str, field: str, expected: str, got: str) -> None:
    raise Refusal(f"{name}: expected {expected} as {field}, and got {got}")
