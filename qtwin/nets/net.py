"""Networks as pure functions over `Variables`, independent of the library that they are written in."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.types import Array, PyTree, Variables


class Net(NamedTuple):
    """A network.

    Attributes:
      init: ``key -> Variables``.
      apply: ``(variables, obs [B, ...]) -> out [B, ...]``, in evaluation mode, for acting and for targets: dropout is
        off, and batch norm uses its running statistics.
      learn: ``(variables, obs [B, ...], key) -> (out [B, ...], stats)``, in training mode, for losses: batch norm uses
        the statistics of the batch and dropout is on; ``stats`` are the new running statistics, for ``Aux.stats``.
      encode: ``(variables, obs [B, ...]) -> latent [B, ...]``, the latent in evaluation mode; None if there is no
        encoder.
      layers: ``(variables, obs [B, ...]) -> (h [B, ..., D], ...)``, the outputs of the hidden layers in order, in
        evaluation mode; None if there are none.
      noisy: ``(variables, obs [B, ...], key) -> out [B, ...]``, with noise sampled once for the whole batch, for
        targets (NoisyNet); None for a network without noise.
      noisy_each: the same with noise sampled for each observation, for exploration in B independent environments; None
        for a network without noise.
    """

    init: Callable[[Array], Variables]
    apply: Callable[[Variables, Array], Array]
    learn: Callable[[Variables, Array, Array], tuple[Array, PyTree]]
    encode: Callable[[Variables, Array], Array] | None = None
    layers: Callable[[Variables, Array], tuple[Array, ...]] | None = None
    noisy: Callable[[Variables, Array, Array], Array] | None = None
    noisy_each: Callable[[Variables, Array, Array], Array] | None = None

    def drawn(self, variables: Variables, obs: Array, key: Array) -> Array:
        """The output for targets: ``noisy`` for a network with noise, else ``apply``."""
        return self.apply(variables, obs) if self.noisy is None else self.noisy(variables, obs, key)


class Noise(nnx.Variable):
    """Standard normal noise of a noisy layer, sampled anew in every pass of ``learn``: [D] for a whole batch, or [B, D]
    with a row for each input."""


def from_nnx(make: Callable[[nnx.Rngs], nnx.Module], encodes: bool = False, noisy: bool = False) -> Net:
    """A `Net` from a Flax NNX module, in functional form: split once, and merged inside the compiled functions.

    Args:
      make: ``rngs -> module``, for example ``lambda rngs: MyNet(4, 2, rngs=rngs)``. The module maps a batch of
        observations [B, ...] to its output [B, ...].
      encodes: the module has methods ``encode`` and ``layers``, from observations to the latent and the hidden layers.
      noisy: the module has noisy layers, which accept noise per batch and per row; ``apply`` uses no noise.
    """

    @functools.cache  # and lazy: inspecting a module would start JAX's backend
    def blueprint() -> tuple[nnx.GraphDef, PyTree, bool]:
        shapes = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
        graph, _, _, noise, rest = nnx.split(shapes, nnx.Param, nnx.BatchStat, Noise, ...)
        return graph, noise, bool(jax.tree.leaves(rest))

    def init(key: Array) -> Variables:
        _, params, stats, _ = nnx.split(make(nnx.Rngs(key)), nnx.Param, nnx.BatchStat, ...)
        return Variables(nnx.to_pure_dict(params), nnx.to_pure_dict(stats))

    def module(variables: Variables, key: Array | None, rows: int | None = None) -> nnx.Module:
        graph, noise, needs_keys = blueprint()
        # copy=True: merged by reference, a batch norm inside a differentiated function would raise TraceContextError.
        others = ()
        if needs_keys:
            others = (nnx.state(make(nnx.Rngs(jax.random.key(0) if key is None else key)), nnx.RngState),)
        if shapes := jax.tree.leaves(noise):
            others += (jax.tree.unflatten(jax.tree.structure(noise), noise_of(shapes, key, rows)),)
        return nnx.merge(graph, variables.params, variables.stats, *others, copy=True)

    def acting(variables: Variables) -> Any:
        net = module(variables, None)
        net.set_attributes(deterministic=True, use_running_average=True, raise_if_not_found=False)
        return net

    def apply(variables: Variables, obs: Array) -> Array:
        return acting(variables)(obs)

    def encode(variables: Variables, obs: Array) -> Array:
        return acting(variables).encode(obs)

    def layers(variables: Variables, obs: Array) -> tuple[Array, ...]:
        return acting(variables).layers(obs)

    def learning(variables: Variables, key: Array, rows: int | None = None) -> nnx.Module:
        net = module(variables, key, rows)
        net.set_attributes(deterministic=False, use_running_average=False, raise_if_not_found=False)
        return net

    def learn(variables: Variables, obs: Array, key: Array) -> tuple[Array, PyTree]:
        net = learning(variables, key)
        out = net(obs)
        return out, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))

    def draw(variables: Variables, obs: Array, key: Array) -> Array:
        return learn(variables, obs, key)[0]

    def draw_each(variables: Variables, obs: Array, key: Array) -> Array:
        rows = jax.tree.leaves(obs)[0].shape[0]
        return learning(variables, key, rows)(obs) if rows > 1 else draw(variables, obs, key)

    beside = (encode, layers) if encodes else (None, None)
    return Net(init, apply, learn, *beside, *((draw, draw_each) if noisy else ()))


def noise_of(shapes: list, key: Array | None, rows: int | None = None) -> list[Array]:
    """Noise for each layer from one draw, [D] or [rows, D]; zeros without a key. The first of several rows equals a
    draw without rows."""
    ends = list(itertools.accumulate(shape.size for shape in shapes))
    wanted = (ends[-1],) if rows is None else (rows, ends[-1])
    drawn = jnp.zeros(wanted) if key is None else jax.random.normal(key, wanted)
    return [drawn[..., end - shape.size : end] for end, shape in zip(ends, shapes, strict=True)]


def from_linen(module: Any, example: Array) -> Net:
    """A `Net` from an existing Flax Linen module.

    Args:
      module: a ``flax.linen.Module`` whose ``__call__`` takes a batch of observations; with batch norm or dropout,
        ``__call__`` must also take ``train: bool``.
      example: a batch of observations [B, ...], used to initialise the module.
    """
    import inspect

    takes_train = "train" in inspect.signature(type(module).__call__).parameters
    evaluating, training = ({"train": False}, {"train": True}) if takes_train else ({}, {})

    def init(key: Array) -> Variables:
        made = module.init({"params": key, "dropout": key}, example, **evaluating)
        return Variables(made["params"], made.get("batch_stats", {}))

    def both(variables: Variables) -> dict:
        return {"params": variables.params, "batch_stats": variables.stats}

    def apply(variables: Variables, obs: Array) -> Array:
        return module.apply(both(variables), obs, **evaluating)

    def learn(variables: Variables, obs: Array, key: Array) -> tuple[Array, PyTree]:
        out, changed = module.apply(both(variables), obs, mutable=["batch_stats"], rngs={"dropout": key}, **training)
        return out, changed.get("batch_stats", {})

    return Net(init, apply, learn)


def from_functions(init: Callable[[Array], PyTree], apply: Callable[[PyTree, Array], Array]) -> Net:
    """A `Net` from two pure functions: ``init(key) -> params`` and ``apply(params, obs [B, ...]) -> out [B, ...]``."""
    return Net(
        init=lambda key: Variables(init(key), {}),
        apply=lambda variables, obs: apply(variables.params, obs),
        learn=lambda variables, obs, key: (apply(variables.params, obs), variables.stats),
    )


def side_by_side(**nets: Net) -> Callable[[Array], Variables]:
    """``key -> Variables`` of several networks by name: ``params = {"critic": ..., "actor": ...}``."""

    def init(key: Array) -> Variables:
        made = {
            name: net.init(k) for (name, net), k in zip(nets.items(), jax.random.split(key, len(nets)), strict=True)
        }
        stats = {name: v.stats for name, v in made.items() if jax.tree.leaves(v.stats)}
        return Variables({name: v.params for name, v in made.items()}, stats)

    return init
