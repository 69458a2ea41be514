"""Normalisation: inside a network, and of the observations that go into one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.nets.names import WHOLE
from qtwin.nets.net import Net
from qtwin.types import Array, PyTree, Variables

MOMENTUM, EPSILON = 0.99, 1e-3  # of batch norms (Bhatt et al. 2024)
WARM_UP = 100_000  # batches before batch renormalisation corrects (the paper's released code)
FARTHEST = 10.0  # a normalised observation is kept within this many deviations


def norm_of(name: str, features: int, rngs: nnx.Rngs, axes: int | tuple[int, ...] = -1) -> nnx.Module:
    """The layer that ``name`` (`qtwin.nets.names.NORMS`) asks for.

    Args:
      name: which one.
      features: numbers along the last axis, each with its own scale and bias.
      rngs: flax's, of the module it belongs to.
      axes: what "layernorm=whole" is over; the others are over the last axis, or over all but it.
    """
    if name == WHOLE:
        # Streaming Q-learning bounds a step by a sum over all parameters, to which scales and biases would add. The
        # numbers are torch's (Elsayed et al. 2024, released code).
        return nnx.LayerNorm(
            features, epsilon=1e-5, use_bias=False, use_scale=False, reduction_axes=axes, use_fast_variance=False,
            rngs=rngs,
        )  # fmt: skip
    if name == "layernorm":
        return nnx.LayerNorm(features, rngs=rngs)
    return BatchNorm(features, corrected=name == "batchrenorm")


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, [B, D] -> [B, D] or [B, H, W, D] -> [B, H, W, D].

    With ``corrected`` batch renormalisation (Ioffe 2017, algorithm 1): a batch is scaled by r and moved by d towards
    what the running statistics would have made of it (r within [1/3, 3], d within [-5, 5]), once those have seen
    enough batches to be trusted.
    """

    def __init__(
        self,
        features: int,
        corrected: bool = False,
        momentum: float = MOMENTUM,
        epsilon: float = EPSILON,
        affine: bool = True,
        unbiased: bool = False,
    ):
        """Begins with a mean of 0 and a variance of 1.

        Args:
          features: D.
          corrected: renormalise.
          momentum: the fraction of the running statistics that a batch leaves as it is.
          epsilon: added to a variance.
          affine: scale and move what is normalised, by learned numbers.
          unbiased: the running variance takes in each batch's unbiased variance, the sum of squares divided by n - 1,
            as torch does ("the value stored in the moving average of the variance is calculated via the unbiased
            estimator", documentation of ``torch.nn.BatchNorm2d``). False: the biased one, divided by n, as in
            ``flax.linen.BatchNorm`` and, with it, CrossQ's released code. In both, a batch is normalised by its biased
            variance while learning. n is the product of all axes but the last; a batch with n = 1 counts as 0.
        """
        self.momentum, self.epsilon, self.unbiased = momentum, epsilon, unbiased
        self.scale = nnx.Param(jnp.ones(features)) if affine else None
        self.bias = nnx.Param(jnp.zeros(features)) if affine else None
        self.mean, self.var = nnx.BatchStat(jnp.zeros(features)), nnx.BatchStat(jnp.ones(features))
        self.batches = nnx.BatchStat(jnp.zeros((), jnp.int32)) if corrected else None
        self.use_running_average = False

    def __call__(self, x: Array) -> Array:
        shape = (1,) * (x.ndim - 1) + (-1,)
        old_mean, old_var = self.mean[...], self.var[...]
        if self.use_running_average:
            normal = (x - old_mean.reshape(shape)) * jax.lax.rsqrt(old_var + self.epsilon).reshape(shape)
            return self._scaled(normal, shape)
        axes = tuple(range(x.ndim - 1))
        mean = jnp.mean(x, axis=axes)
        var = jnp.mean((x - mean.reshape(shape)) ** 2, axis=axes)
        count = x.size // x.shape[-1]
        seen = var * (count / max(count - 1, 1)) if self.unbiased else var
        self.mean[...] = self.momentum * old_mean + (1 - self.momentum) * jax.lax.stop_gradient(mean)
        self.var[...] = self.momentum * old_var + (1 - self.momentum) * jax.lax.stop_gradient(seen)
        normal = (x - mean.reshape(shape)) * jax.lax.rsqrt(var + self.epsilon).reshape(shape)
        if self.batches is not None:
            trusted = self.batches[...] >= WARM_UP
            old_std = jnp.sqrt(old_var + self.epsilon)
            r = jax.lax.stop_gradient(jnp.clip(jnp.sqrt(var + self.epsilon) / old_std, 1 / 3, 3.0))
            d = jax.lax.stop_gradient(jnp.clip((mean - old_mean) / old_std, -5.0, 5.0))
            normal = jnp.where(trusted, normal * r.reshape(shape) + d.reshape(shape), normal)
            self.batches[...] = self.batches[...] + 1
        return self._scaled(normal, shape)

    def _scaled(self, normal: Array, shape: tuple[int, ...]) -> Array:
        if self.scale is None:
            return normal
        return normal * self.scale[...].reshape(shape) + self.bias[...].reshape(shape)


def normalised(net: Net, env: EnvSpec) -> Net:
    """``net`` behind observations with mean 0 and deviation 1, over all that was learned from so far.

    The mean and the deviation are gathered from every batch by Chan, Golub & LeVeque (1979), equation 2.1, and are
    part of the network's statistics: saved with it, exported with it, and the target has its own of when it last moved.

    Args:
      net: takes observations, or (observations, actions), of which only the observations are normalised.
      env: gives the shape of an observation.
    """
    shape = env.obs_shape

    def init(key: Array) -> Variables:
        inner = net.init(key)
        seen = {"count": jnp.zeros(()), "mean": jnp.zeros(shape), "m2": jnp.zeros(shape)}
        return Variables(inner.params, {"net": inner.stats, "obs": seen})

    def normal(seen: PyTree, inputs: Array | tuple[Array, Array]) -> Array | tuple[Array, Array]:
        obs = inputs[0] if isinstance(inputs, tuple) else inputs
        var = jnp.where(seen["count"] > 1, seen["m2"] / jnp.maximum(seen["count"], 1.0), 1.0)
        obs = (obs.astype(jnp.float32) - seen["mean"][None]) * jax.lax.rsqrt(var + 1e-8)[None]
        obs = jnp.clip(obs, -FARTHEST, FARTHEST)
        return (obs, inputs[1]) if isinstance(inputs, tuple) else obs

    def gather(seen: PyTree, inputs: Array | tuple[Array, Array]) -> PyTree:
        obs = (inputs[0] if isinstance(inputs, tuple) else inputs).astype(jnp.float32)
        mean = jnp.mean(obs, axis=0)
        m2 = jnp.sum((obs - mean[None]) ** 2, axis=0)
        # The count stops growing where a float32 would no longer feel it: from there on a very slow moving average.
        count, batch = jnp.minimum(seen["count"], 2.0**24), float(obs.shape[0])
        shrunk = jnp.where(seen["count"] > 0, count / jnp.maximum(seen["count"], 1.0), 1.0)
        total, delta = count + batch, mean - seen["mean"]
        return {
            "count": total,
            "mean": seen["mean"] + delta * (batch / total),
            "m2": seen["m2"] * shrunk + m2 + delta**2 * (count * batch / total),
        }

    def apply(variables: Variables, inputs) -> Array:
        stats = variables.stats
        return net.apply(Variables(variables.params, stats["net"]), normal(stats["obs"], inputs))

    def layers(variables: Variables, inputs) -> tuple[Array, ...]:
        stats = variables.stats
        return net.layers(Variables(variables.params, stats["net"]), normal(stats["obs"], inputs))

    def learn(variables: Variables, inputs, key: Array) -> tuple[Array, PyTree]:
        seen = gather(variables.stats["obs"], inputs)
        out, inner = net.learn(Variables(variables.params, variables.stats["net"]), normal(seen, inputs), key)
        return out, {"net": inner, "obs": seen}

    def with_noise(draw):
        def noisy(variables: Variables, inputs, key: Array) -> Array:
            stats = variables.stats
            return draw(Variables(variables.params, stats["net"]), normal(stats["obs"], inputs), key)

        return draw and noisy

    noise = with_noise(net.noisy), with_noise(net.noisy_each)
    return Net(init, apply, learn, None, net.layers and layers, *noise)
