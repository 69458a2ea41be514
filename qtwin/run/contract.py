"""An algorithm of the caller's own, held against what the engine takes before anything is compiled: shapes only."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.agents.info import OWN_OUTPUT
from qtwin.algorithm import Algorithm
from qtwin.config.config import Config
from qtwin.engine.fused import state_around
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.processes.regress import guarded_step
from qtwin.rates import cycle_of
from qtwin.request.run_config import saved_run
from qtwin.run.checkpoint import leaves_of
from qtwin.types import OWN, Aux, PyTree, Timestep, Variables

N = 2  # environments


def check_contract(algorithm: Algorithm, spec: EnvSpec, config: Config) -> None:
    """Traces an algorithm's functions with the environment's shapes; nothing is computed.

    Raises:
      Refusal: one of them raises, or returns something else than `qtwin.Agent` says; the message names the function.
    """
    check = _Check(str(config.agent), spec)
    agent = algorithm.agent
    key = jax.eval_shape(lambda: jax.random.key(0))
    obs = jax.ShapeDtypeStruct((N, *spec.obs_shape), np.dtype(spec.obs_dtype))
    number = jax.ShapeDtypeStruct((), np.dtype("float32"))
    online = check.traced("init(key)", agent.init, key)
    if not isinstance(online, Variables):
        check.refuse("init(key)", "a qtwin.Variables", online)
    action = check.traced("act(variables, obs, explore, key)", agent.act, online, obs, number, key)
    kind = "floating-point" if spec.continuous else "whole"
    check.shape("act(variables, obs, explore, key)", action, spec.action_shape, f"{kind} numbers", kind)
    if action.dtype != np.dtype(spec.action_dtype):
        check.refuse("act(variables, obs, explore, key)", f"{spec.action_dtype} numbers", action)
    if agent.values is not None:
        values = check.traced("values(variables, obs)", agent.values, online, obs)
        actions = () if spec.num_actions is None else (spec.num_actions,)
        check.shape("values(variables, obs)", values, actions, "action values", "floating-point")
    if agent.layers is not None:
        _check_layers(check, check.traced("layers(variables, obs)", agent.layers, online, obs))
    _check_names(check, algorithm, online)
    count = jax.ShapeDtypeStruct((), np.dtype("int32"))
    explore = check.traced("explore(transitions)", algorithm.explore, count)
    if getattr(explore, "shape", ()) != () or not isinstance(explore, (float, int, jax.ShapeDtypeStruct)):
        check.refuse("explore(transitions)", "one number", explore)
    turn = cycle_of(algorithm.rates, config.envs)
    state = check.traced("replay.init", lambda key: state_around(algorithm, spec, turn, (), key), key)
    batch = _batch_of(algorithm, state, key, check)
    loss = check.traced("loss(twin, batch, key)", agent.loss, state.twin, batch, key)
    _check_loss(check, loss, batch)
    if algorithm.process_chunk is not None:
        _check_process_chunk(check, algorithm, state, (max(turn.vector_steps, 1), config.envs))
    check.traced(
        "a gradient step", lambda *each: guarded_step(algorithm, *each), state.twin, state.optimiser, batch, key, count
    )


def facts(algorithm: Algorithm) -> dict[str, str]:
    """What an algorithm says of its rates and its replay buffer, whatever the settings of its run say."""
    rates, replay = algorithm.rates, algorithm.replay
    found = {"collect": rates.collect, "regress": rates.regress, "warmup": rates.warmup}
    found |= {"target": rates.target_update.spec, "replay": replay.capacity, "batch": replay.batch}
    return {name: str(value) for name, value in (found | {"n_step": replay.n_step, "discount": replay.gamma}).items()}


def check_facts(algorithm: Algorithm, config: Config, out: str) -> None:
    """Refuses to go on with an algorithm whose rates or replay buffer are others than those that the run began with."""
    before, now = saved_run(out).file.get("built", {}), facts(algorithm)
    differs = [f"{name} {before[name]}, not {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
    if differs:
        raise Refusal(
            f"the run in {out} was started with {'; '.join(differs)} in its algorithm {config.agent.removeprefix(OWN)}:"
            " hand in the same one, or train to another out"
        )


def check_export(algorithm: Algorithm, spec: EnvSpec, config: Config) -> None:
    """Refuses an agent from outside whose network is another one than its policy file would describe.

    A run would train to its end and write a policy that cannot be loaded.
    """
    from qtwin.run.export import acting
    from qtwin.run.policy import described_network

    online = jax.eval_shape(algorithm.agent.init, jax.random.key(0))
    instead = f"give its record output={OWN_OUTPUT!r}, so that its policy acts by its own act"
    try:
        ours = acting(config, online)
    except (KeyError, TypeError, AttributeError):
        raise Refusal(f"the agent {config.agent} has no network by the name of the part that acts; {instead}") from None
    wanted, held = leaves_of(ours), leaves_of(described_network(spec, config))
    for name in sorted(set(wanted) | set(held)):
        one, other = wanted.get(name), held.get(name)
        if one is None or other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
            raise Refusal(
                f"the network of the agent {config.agent} is not the network '{config.net}' that its policy file would"
                f" describe: they differ in '{name.partition('.')[2]}'; {instead}, or build its network with"
                " qtwin.q_network(env, c.net, c.init, c.normalise)"
            )


def _batch_of(algorithm: Algorithm, state: PyTree, key: PyTree, check: _Check) -> PyTree:
    replay, count = algorithm.replay, jax.ShapeDtypeStruct((), np.dtype("int32"))
    sample = replay.sample if replay.sample_at is None else replay.sample_at
    return check.traced("replay.sample(state, key, step)", sample, state.replay, key, count)


def _check_layers(check: _Check, came: Any) -> None:
    shapes = [getattr(layer, "shape", ()) for layer in came] if isinstance(came, (tuple, list)) else [()]
    if not all(len(shape) > 1 and shape[0] == N for shape in shapes):
        check.refuse("layers(variables, obs)", "a tuple of hidden layers, each [N, ..., D],", came)


def _check_names(check: _Check, algorithm: Algorithm, online: Variables) -> None:
    """The parts of the network that an algorithm names must be there: a name that is not would leave all parts tied."""
    update = algorithm.policy_update
    named = {"target_parts": algorithm.target_parts, "policy_update.parts": () if update is None else update.parts}
    has = list(online.params) if isinstance(online.params, dict) else []
    for field, parts in named.items():
        if missing := [part for part in parts if part not in has]:
            parts_are = f"the parts {', '.join(map(str, has))}" if has else "no parts"
            raise Refusal(f"{check.name}: {field} names '{missing[0]}', and the network has {parts_are}")


def _check_process_chunk(check: _Check, algorithm: Algorithm, state: PyTree, shape: tuple[int, int]) -> None:
    spec = check.spec
    scalar = jax.ShapeDtypeStruct(shape, np.dtype("float32"))
    obs = jax.ShapeDtypeStruct((*shape, *spec.obs_shape), np.dtype(spec.obs_dtype))
    action = jax.ShapeDtypeStruct((*shape, *spec.action_shape), np.dtype(spec.action_dtype))
    chunk = Timestep(obs, action, scalar, scalar, obs, jax.ShapeDtypeStruct(shape, np.dtype(bool)))
    came = check.traced("process_chunk(twin, chunk)", algorithm.process_chunk, state.twin, chunk)
    if not isinstance(came, Timestep):
        check.refuse("process_chunk(twin, chunk)", "a qtwin.Timestep [T, N]", came)


def _check_loss(check: _Check, came: Any, batch: PyTree) -> None:
    what = "loss(twin, batch, key)"
    if not isinstance(came, tuple) or len(came) != 2 or not isinstance(came[1], Aux):
        check.refuse(what, "(loss, qtwin.Aux(td_error, q))", came)
    loss, aux = came
    if loss.shape != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        check.refuse(what, "a scalar loss []", loss)
    reward = getattr(getattr(batch, "transition", batch), "reward", None)
    for field in ("td_error", "q"):
        value = getattr(aux, field)
        shape = getattr(value, "shape", ())
        if shape != reward.shape if reward is not None else len(shape) < 1:
            check.refuse(what, f"an Aux whose {field} has one number for each transition [B]", value)


class _Check:
    """Says what is wrong with one of an algorithm's functions."""

    def __init__(self, name: str, spec: EnvSpec):
        self.name, self.spec = name, spec

    def traced(self, what: str, function: Callable, *arguments: Any) -> Any:
        """What ``function`` returns, as shapes."""
        try:
            return jax.eval_shape(function, *arguments)
        except Refusal:
            raise
        except Exception as error:
            line = (str(error).splitlines() or [""])[0][:300]
            raise Refusal(
                f"{self.name}: {what} cannot be traced with the shapes of {self.spec.id}: {type(error).__name__}:"
                f" {line}{_where(error)}"
            ) from error

    def shape(self, what: str, came: Any, wanted: tuple[int, ...], numbers: str, kind: str) -> None:
        """Refuses what is no batch of ``wanted``."""
        family = jnp.floating if kind == "floating-point" else jnp.integer
        if getattr(came, "shape", None) != (N, *wanted) or not jnp.issubdtype(came.dtype, family):
            self.refuse(what, f"{numbers} [{', '.join(['N', *map(str, wanted)])}]", came)

    def refuse(self, what: str, expected: str, came: Any) -> None:
        raise Refusal(f"{self.name}: {what} returns {_told(came)}, and {expected} is expected in {self.spec.id}")


def _told(came: Any) -> str:
    if hasattr(came, "shape") and hasattr(came, "dtype"):
        return f"{came.dtype}{list(came.shape)}"
    if isinstance(came, tuple):
        return f"({', '.join(map(_told, came))})"
    return "None" if came is None else f"a {type(came).__name__}"


def _where(error: Exception) -> str:
    """The line of the caller's own code that raised."""
    ours = Path(__file__).parent.parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and ours not in path.parents and path.exists():
            return f" ({path.name}, line {frame.lineno})"
    return ""
