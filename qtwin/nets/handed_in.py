"""Networks that the caller hands in: a Flax NNX module class, a Linen module, or a `Net`."""

from __future__ import annotations

import inspect
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.net import Net, from_linen, from_nnx
from qtwin.types import HandedIn

EXPECTED = "net is a name, a Flax NNX module class (or rngs -> module), a Flax Linen module, or a qtwin.Net"


def net_of(thing: Any, env: EnvSpec, action: bool = False) -> Net:
    """The network that was handed in, as a `Net`.

    Args:
      thing: a Flax NNX module class or a function ``rngs -> module``; a Flax Linen module; or a `Net`.
      env: gives the shape of observations.
      action: it takes ``(obs [B, ...], action [B, A])``, as a critic of continuous actions does.

    Raises:
      Refusal: it is none of these, or an NNX module that is already made.
    """
    if isinstance(thing, Net):
        return thing
    if isinstance(thing, flax.linen.Module):
        obs: Any = jnp.zeros((1, *env.obs_shape), jnp.dtype(env.obs_dtype))
        return from_linen(thing, (obs, jnp.zeros((1, *env.action_shape))) if action else obs)
    if isinstance(thing, nnx.Module):
        name = type(thing).__name__
        raise Refusal(
            f"each seed begins with weights of its own, and this {name} has been made already; hand in the class"
            f" {name}, or lambda rngs: {name}(..., rngs=rngs)"
        )
    if inspect.isclass(thing) and issubclass(thing, flax.linen.Module):
        raise Refusal(
            f"a Linen module is handed in as an instance, and the class {thing.__name__} came; write {thing.__name__}()"
        )
    if not callable(thing):
        raise Refusal(f"{EXPECTED}, and a {type(thing).__name__} came")
    make = _takes_rngs(thing)
    return from_nnx(make, encodes=hasattr(thing, "encode") and hasattr(thing, "layers"))


def _takes_rngs(thing: Any) -> Any:
    """``rngs -> module`` of a module class or a function, which may take its ``rngs`` by keyword only."""
    try:
        signature = inspect.signature(thing)
    except ValueError:
        return thing
    try:
        signature.bind(nnx.Rngs)
        return thing
    except TypeError:
        pass
    try:
        signature.bind(rngs=nnx.Rngs)
    except TypeError as error:
        name = getattr(thing, "__name__", type(thing).__name__)
        raise Refusal(
            f"a network is made with rngs alone, and {name} takes {signature} ({error}); hand in"
            f" lambda rngs: {name}(..., rngs=rngs)"
        ) from None
    return lambda rngs: thing(rngs=rngs)


def checked(name: HandedIn, env: EnvSpec, wanted: tuple[int, ...], action: bool = False) -> Net:
    """The network that ``name`` carries; what it gives is held against what the agent needs.

    Args:
      name: carries it.
      env: gives the shapes.
      wanted: the shape of its output for one observation.
      action: it takes ``(obs [B, ...], action [B, A])``, as a critic of continuous actions does.

    Raises:
      Refusal: it cannot be traced with the environment's observations, or gives something else.
    """
    net, batch = net_of(name.thing, env, action), 2
    obs: Any = jax.ShapeDtypeStruct((batch, *env.obs_shape), np.dtype(env.obs_dtype))
    takes = f"observations {env.obs_dtype}[{', '.join(['B', *map(str, env.obs_shape)])}]"
    if action:
        obs = obs, jax.ShapeDtypeStruct((batch, *env.action_shape), np.dtype("float32"))
        takes = f"a pair of {takes} and actions float32[B, {env.action_shape[0]}]"
    try:
        came = jax.eval_shape(lambda key, obs: net.apply(net.init(key), obs), jax.random.key(0), obs)
    except Exception as error:
        line = (str(error).splitlines() or [""])[0][:300]
        raise Refusal(f"the network {name} does not take {takes}: {type(error).__name__}: {line}") from error
    expected = f"float32[{', '.join(['B', *map(str, wanted)])}]"
    shape = getattr(came, "shape", None)
    if shape != (batch, *wanted) or not jnp.issubdtype(came.dtype, jnp.floating):
        told = type(came).__name__ if shape is None else f"{came.dtype}[{', '.join(['B', *map(str, shape[1:])])}]"
        hint = "; an actor's network is handed in as actor_net" if env.continuous and not action else ""
        raise Refusal(f"the network {name} gives {told} for {takes}, and the agent needs {expected} in {env.id}{hint}")
    return net
