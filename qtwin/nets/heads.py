"""NETWORK: heads, the last hidden layer and the outputs, where they are more than one layer after another.

A network ``BODY+duelling+noisy`` is its body up to the last hidden layer, psi [B, D], and a head on it: duelling (two
streams), noisy (learned noise), with a distribution for each action, or asked for any quantile (IQN).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from qtwin.envs.spec import EnvSpec
from qtwin.nets.bodies import rectified, trunk
from qtwin.nets.initial import dense, initializers
from qtwin.nets.names import NetName
from qtwin.nets.net import Net, Noise, from_nnx
from qtwin.nets.norms import norm_of, normalised
from qtwin.types import Array

COSINES = 64  # that a quantile's fraction is embedded in (Dabney et al. 2018b, section 3)
ROW = 32  # numbers in a row of `written_out`


def headed(
    env: EnvSpec, named: NetName, outputs: int, atoms: int, init: str, normalise: str, implicit: bool = False
) -> Net:
    """A body with a head: obs [B, *obs_shape] -> [B, outputs], or with atoms K [B, outputs, K]."""
    net = from_nnx(
        lambda rngs: Headed(env, named, outputs, atoms, init, rngs, implicit),
        encodes=not implicit,
        noisy=named.noisy is not None,
    )
    return normalised(net, env) if normalise == "running" else net


class Headed(nnx.Module):
    """See `headed`."""

    def __init__(
        self, env: EnvSpec, named: NetName, outputs: int, atoms: int, init: str, rngs: nnx.Rngs, implicit: bool
    ):
        self.body, hidden = trunk(env, named, init, rngs)
        example = jax.ShapeDtypeStruct((1, *env.obs_shape), jnp.dtype(env.obs_dtype))
        width = math.prod(jax.eval_shape(lambda obs: self.body.encode(obs), example).shape[1:])
        self.embedding = dense(COSINES, width, init, rngs) if implicit else None
        self.value = Stream(width, hidden, max(atoms, 1), named, init, rngs) if named.duelling else None
        self.advantage = Stream(width, hidden, outputs * max(atoms, 1), named, init, rngs)
        self.shape = (outputs, atoms) if atoms else (outputs,)

    def __call__(self, inputs: Array | tuple[Array, Array]) -> Array:
        obs, tau = inputs if self.embedding is not None else (inputs, None)
        psi = self.encode(obs)
        psi = psi.reshape(psi.shape[0], -1)
        if self.embedding is not None:
            waves = jnp.cos(jnp.pi * jnp.arange(COSINES).reshape(1, 1, -1) * tau[:, :, None])
            psi = psi[:, None, :] * jax.nn.relu(self.embedding(waves))
        advantage = self.advantage(psi).reshape(*psi.shape[:-1], *self.shape)
        if self.value is None:
            return advantage
        # Q(s, a) = V(s) + A(s, a) - the mean of A(s, .) (Wang et al. 2016, equation 9), for each atom by itself.
        value = self.value(psi).reshape(*psi.shape[:-1], 1, *self.shape[1:])
        return value + advantage - jnp.mean(advantage, axis=psi.ndim - 1, keepdims=True)

    def encode(self, obs: Array) -> Array:
        """What the head stands on."""
        return self.body.encode(obs)

    def layers(self, obs: Array) -> tuple[Array, ...]:
        """What the head stands on, and the hidden layer of its actions."""
        psi = self.encode(obs)
        return psi, self.advantage.encode(psi.reshape(psi.shape[0], -1))


class Stream(nnx.Module):
    """A hidden layer, ReLU, and an output layer: [..., D] -> [..., outputs]."""

    def __init__(self, features: int, hidden: int, outputs: int, named: NetName, init: str, rngs: nnx.Rngs):
        def layer(inputs: int, outputs: int) -> nnx.Module:
            if named.noisy is None:
                return dense(inputs, outputs, init, rngs)
            return Noisy(inputs, outputs, named.noisy, rngs)

        self.hidden, self.out = layer(features, hidden), layer(hidden, outputs)
        self.norm = norm_of(named.norm, hidden, rngs) if named.norm else None
        self.leaky = named.leaky

    def __call__(self, x: Array) -> Array:
        return self.out(self.encode(x))

    def encode(self, x: Array) -> Array:
        """The hidden layer. [..., D]"""
        x = self.hidden(x)
        return rectified(self.leaky, self.norm(x) if self.norm else x)


class Noisy(nnx.Module):
    """A fully connected layer with factorised noise (Fortunato et al. 2018, equations 9 to 11, section 3.2).

    y = (mu_w + sigma_w * e_in e_out^T) x + mu_b + sigma_b * e_out, e = sgn(x) sqrt|x| of normal draws: one for a whole
    batch, or one for each row of it. Without noise it is the layer of the means.
    """

    def __init__(self, inputs: int, outputs: int, sigma: float, rngs: nnx.Rngs):
        kernel, bias = initializers("torch", inputs)  # mu uniform within 1 / sqrt(inputs)
        self.kernel = nnx.Param(kernel(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(bias(rngs.params(), (outputs,)))
        self.kernel_sigma = nnx.Param(jnp.full((inputs, outputs), sigma * inputs**-0.5, jnp.float32))
        self.bias_sigma = nnx.Param(jnp.full((outputs,), sigma * inputs**-0.5, jnp.float32))
        self.noise = Noise(jnp.zeros(inputs + outputs))
        self.deterministic = False

    def __call__(self, x: Array) -> Array:
        kernel, bias, noise = self.kernel[...], self.bias[...], self.noise[...]
        if not self.deterministic and noise.ndim > 1:
            return self._by_row(x)
        if not self.deterministic:
            both = written_out(jnp.sign(noise) * jnp.sqrt(jnp.abs(noise)))
            inputs, outputs = both[: kernel.shape[0]], both[kernel.shape[0] :]
            kernel = kernel + self.kernel_sigma[...] * (inputs[:, None] * outputs[None, :])
            bias = bias + self.bias_sigma[...] * outputs
        return x @ kernel + bias.reshape(*[1] * (x.ndim - 1), -1)

    def _by_row(self, x: Array) -> Array:
        """The layer with a draw for each row of x [B, ..., inputs]. No row has a matrix of its own: as the noise is a
        product, x (sigma_w * e_in e_out^T) is ((x * e_in) sigma_w) * e_out.
        """
        noise, kernel = self.noise[...], self.kernel[...]
        both = written_out((jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))).reshape(-1))
        both = both.reshape(x.shape[0], *[1] * (x.ndim - 2), -1)
        inputs, outputs = both[..., : kernel.shape[0]], both[..., kernel.shape[0] :]
        bias, bias_sigma = (b[...].reshape(*[1] * (x.ndim - 1), -1) for b in (self.bias, self.bias_sigma))
        return x @ kernel + bias + ((x * inputs) @ self.kernel_sigma[...] + bias_sigma) * outputs


def written_out(x: Array) -> Array:
    """x [D] of finite numbers, on a CPU written to memory before anything reads it.

    XLA computes anew wherever it is used what it takes to be cheap: the draw of a layer's noise, hash and all, for each
    of its weights. It looks through its own optimisation barrier there, but not through a product, which with ones on
    the diagonal is exact.
    """
    if jax.default_backend() != "cpu":
        return x
    rows = jnp.pad(x, (0, -x.size % ROW)).reshape(-1, ROW)
    return (rows @ jnp.eye(ROW, dtype=x.dtype)).reshape(-1)[: x.size]
