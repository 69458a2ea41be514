"""The networks that a name asks for: a body, and the head that the agent needs on it."""

from __future__ import annotations

import math

import jax.numpy as jnp

from qtwin.config.option_specs import INIT_NAMES, NORMALISE_NAMES
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, one_of
from qtwin.nets.bodies import MLP, ImageCritic, MinAtar
from qtwin.nets.convs import BODIES
from qtwin.nets.heads import headed
from qtwin.nets.names import parse
from qtwin.nets.net import Net, from_functions, from_nnx
from qtwin.nets.norms import normalised
from qtwin.types import Array, HandedIn


def q_network(env: EnvSpec, name: str, init: str = "lecun", normalise: str = "none") -> Net:
    """The network that ``name`` asks for, made for ``env``: obs [B, *obs_shape] -> action values [B, A].

    Args:
      env: gives the shapes; an observation that is a state's index is one-hot encoded for all but ``table``.
      name: ``table``, ``linear``, ``mlp:WIDTH,WIDTH,...``, ``minatar``, ``nature`` or ``impala``
        (`qtwin.nets.names.NAMES`), or the name of a network that was handed in.
      init: how its weights begin, "lecun", "torch" or "sparse" (`qtwin.config.option_specs.INIT_NAMES`).
      normalise: of observations, "none" or "running" (`qtwin.config.option_specs.NORMALISE_NAMES`).
    """
    return network(env, name, actions_of(env), init, normalise)


def network(env: EnvSpec, name: str, outputs: int, init: str = "lecun", normalise: str = "none") -> Net:
    """As `q_network`, with any number of outputs: obs [B, *obs_shape] -> [B, outputs]."""
    one_of("initialisation", init, INIT_NAMES)
    one_of("normalisation", normalise, NORMALISE_NAMES)
    if isinstance(name, HandedIn):
        return _handed_in(name, env, (outputs,), normalise)
    named = parse(name, env)
    if named.headed:
        return headed(env, named, outputs, 0, init, normalise)
    if named.kind == "table":
        return from_functions(
            init=lambda key: {"table": jnp.zeros((env.num_states, outputs))},
            apply=lambda params, obs: params["table"][obs],
        )
    if named.kind == "minatar":
        net = from_nnx(lambda rngs: MinAtar(env, named, outputs, init, rngs), encodes=True)
    elif named.kind in BODIES:
        net = from_nnx(lambda rngs: BODIES[named.kind](env, named, outputs, init, rngs), encodes=True)
    else:
        features = env.num_states or math.prod(env.obs_shape)
        net = from_nnx(lambda rngs: MLP(env, features, named, outputs, init, rngs), encodes=named.kind == "mlp")
    return normalised(net, env) if normalise == "running" else net


def actions_of(env: EnvSpec) -> int:
    """The number of discrete actions; refuses an environment without."""
    if env.num_actions is None:
        raise Refusal(f"a network of action values needs discrete actions, and those of {env.id} are continuous")
    return env.num_actions


def critic_network(env: EnvSpec, name: str, outputs: int, init: str = "lecun", normalise: str = "none") -> Net:
    """A critic of continuous actions: (obs [B, *obs_shape], action [B, A]) -> [B, outputs].

    A network of images meets the action behind its convolutions, before the hidden layer.
    """
    if isinstance(name, HandedIn):
        return _handed_in(name, env, (outputs,), normalise, action=True)
    named = parse(name, env)
    if named.kind == "minatar" or named.kind in BODIES:
        net = from_nnx(lambda rngs: ImageCritic(env, named, outputs, init, rngs))
    else:
        features = (env.num_states or math.prod(env.obs_shape)) + env.action_shape[0]
        net = from_nnx(lambda rngs: MLP(env, features, named, outputs, init, rngs))
    return normalised(net, env) if normalise == "running" else net


def distribution_network(env: EnvSpec, name: str, atoms: int, init: str = "lecun", normalise: str = "none") -> Net:
    """A network with K numbers for each action: obs [B, *obs_shape] -> [B, A, K].

    Args:
      env, name, init, normalise: as `qtwin.nets.build.q_network`'s.
      atoms: K.
    """
    if isinstance(name, HandedIn):
        return _handed_in(name, env, (actions_of(env), atoms), normalise)
    named = parse(name, env)
    if named.headed:
        return headed(env, named, actions_of(env), atoms, init, normalise)
    net = network(env, name, actions_of(env) * atoms, init, normalise)

    def shaped(out: Array) -> Array:
        return out.reshape(-1, env.num_actions, atoms)

    def learn(variables, obs, key):
        out, stats = net.learn(variables, obs, key)
        return shaped(out), stats

    return net._replace(apply=lambda variables, obs: shaped(net.apply(variables, obs)), learn=learn)


def quantile_network(env: EnvSpec, name: str, init: str = "lecun", normalise: str = "none") -> Net:
    """An implicit quantile network: (obs [B, *obs_shape], tau [B, N] in [0, 1]) -> the quantiles' values [B, N, A].

    f(psi(s) * phi(tau)) with phi_j(tau) = ReLU(sum_i cos(pi i tau) w_ij + b_j) (Dabney et al. 2018b, equation 4).
    """
    if isinstance(name, HandedIn):
        raise Refusal(
            f"an implicit quantile network is built around an embedding of the quantile, and {name} was handed in;"
            " write the name of a network, or hand in the whole algorithm"
        )
    named = parse(name, env)
    if named.kind in ("table", "linear") or named.dropout or named.norm.startswith("batch"):
        raise Refusal(
            f"an implicit quantile network multiplies the input of its last hidden layer by an embedding of the"
            f" quantile, and '{name}' does not take it; write --net mlp:64,64"
        )
    return headed(env, named, actions_of(env), 0, init, normalise, implicit=True)


def _handed_in(name: HandedIn, env: EnvSpec, wanted: tuple[int, ...], normalise: str, action: bool = False) -> Net:
    """A network of the caller's own (`qtwin.nets.handed_in.checked`)."""
    from qtwin.nets.handed_in import checked

    net = checked(name, env, wanted, action)
    return normalised(net, env) if normalise == "running" else net
