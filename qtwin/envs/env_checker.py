"""An environment is tried out before a run begins: what is not as it says itself is refused, with the field.

Read without importing JAX, but for `try_jax`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Space

from qtwin.envs.base import HostEnv, JaxEnv
from qtwin.envs.edge import (
    RESET,
    STEP,
    Amiss,
    end_check,
    info_check,
    kind,
    observation_check,
    parts_check,
    reward_check,
)
from qtwin.envs.exits import INSIDE, contained
from qtwin.envs.guard import Care, Watchdog, guarded, leave
from qtwin.envs.seats import CONTEXT
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Broken, Refusal, told

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
    try:
        with contained(name, "its constructor"):
            env = make()
    except Broken as broken:
        return str(broken)
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
        with contextlib.suppress(Exception), contained(name, "close"):
            env.close()


def _apart(name: str, make: Callable[[], gym.Env], timeout: float | None) -> str | None:
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_answer, args=(there, name, make), daemon=True)
    try:
        process.start()
    except Exception as error:  # what cannot be sent to another process: a lambda, a function inside another one
        raise Refusal(
            f"{name}: with env_mode 'async' each environment has a process of its own, which cannot be given what makes"
            f" it ({told(error)}); define the class or function at the top of a module"
        ) from error
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
    check = observation_check(space)
    for t in range(1, steps + 1):
        came = _called(name, f"step {t}", lambda: env.step(actions.sample()))
        _hold(name, f"step {t}", parts_check(came, STEP))
        obs, reward, terminated, truncated, info = came
        _hold(name, f"obs of step {t}", check(obs) or _not_finite(obs))
        for field, amiss in (
            ("reward", reward_check(reward)), ("terminated", end_check(terminated)),
            ("truncated", end_check(truncated)), ("info", info_check(info)),
        ):  # fmt: skip
            _hold(name, f"{field} of step {t}", amiss)
        if terminated or truncated:
            _reset(name, env, space, seed=None)
        if time.monotonic() - began > SECONDS:
            return


def _reset(name: str, env: gym.Env, space: Space, seed: int | None) -> None:
    came = _called(name, "reset", lambda: env.reset(seed=seed, options=None))
    _hold(name, "what reset gives", parts_check(came, RESET))
    obs, info = came
    _hold(name, "obs of reset", observation_check(space)(obs) or _not_finite(obs) or _outside(obs, space))
    _hold(name, "info of reset", info_check(info))


def _not_finite(obs: Any) -> Amiss | None:
    if np.asarray(obs).dtype.kind != "f" or np.isfinite(obs).all():
        return None
    return Amiss("finite numbers", str(np.asarray(obs)[~np.isfinite(obs)][0]), True)


def _outside(obs: Any, space: Space) -> Amiss | None:
    """Of an episode's first observation only: some of Gymnasium's own lie outside where an episode ends."""
    if not isinstance(space, Box) or not ((obs < space.low) | (obs > space.high)).any():
        return None
    at = tuple(int(i) for i in np.argwhere((obs < space.low) | (obs > space.high))[0])
    bounds = f"{space.low[at]:g} to {space.high[at]:g} at {list(at)}, as its observation_space says"
    return Amiss(bounds, f"{obs[at]:g}")


def _hold(name: str, field: str, amiss: Amiss | None) -> None:
    if amiss is None:
        return
    if amiss.number:
        raise Fault(f"{name}: expected {amiss.expected} as {field}, and got {amiss.came}")
    _refuse(name, field, amiss.expected, amiss.came)


def _called(name: str, what: str, function: Callable[[], Any]) -> Any:
    try:
        with INSIDE:
            return function()
    except (Exception, SystemExit) as error:
        line = (str(error).splitlines() or [""])[0][:200]
        came = f"{type(error).__name__}: {line}"
        raise Fault(f"{name}: expected what a gymnasium.Env gives as {what}, and got {came}") from error


def try_host(make_env: Callable[[int], HostEnv], envs: int) -> None:
    """Takes a few steps at random with environments in Python of the caller's own, which are closed again.

    Raises:
      Refusal: they break the contract (`qtwin.envs.base.HostEnv`) or raise.
    """
    with contextlib.ExitStack() as stack:
        try:
            env, chance = guarded(make_env)(envs), np.random.default_rng(0)
            stack.callback(env.close)
            env.reset(0)
            for _ in range(HOST_STEPS):
                spec, shape = env.spec, (envs, *env.spec.action_shape)
                drawn = chance.uniform(-1, 1, shape) if spec.continuous else chance.integers(0, spec.num_actions, shape)
                env.step(drawn.astype(spec.action_dtype))
        except Broken as broken:
            raise Refusal(f"{str(broken).partition('; ')[0]}; nothing was trained") from broken


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
        _refuse(spec.id, what, "(state, obs)" if wanted == 2 else "(state, obs, Outcome)", kind(came))
    return came


def _refuse(name: str, field: str, expected: str, got: str) -> None:
    raise Refusal(f"{name}: expected {expected} as {field}, and got {got}")
