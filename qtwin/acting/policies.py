"""Policies of actor-critics: from an actor's output to an action in [-1, 1] and its log-probability."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.config.config import Config
from qtwin.config.option_specs import target_entropy_choice, temperature_choice
from qtwin.envs.spec import EnvSpec
from qtwin.types import Array, Variables

# Bounds of the log standard deviation before squashing (released code of Haarnoja et al. 2018; Stable-Baselines3).
LOG_STD_LOW, LOG_STD_HIGH = -20.0, 2.0


def noise(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal samples; all policies draw from here."""
    return jax.random.normal(key, shape, jnp.float32)


class Squashed(NamedTuple):
    """A diagonal Gaussian squashed by tanh.

    Attributes:
      mean: before squashing. [B, A]
      log_std: log of the standard deviation before squashing. [B, A]
    """

    mean: Array
    log_std: Array

    @property
    def mode(self) -> Array:
        """The greedy action, tanh of the mean. [B, A]"""
        return jnp.tanh(self.mean)

    def sample(self, key: Array, scale: Array | float = 1.0) -> Array:
        """Sampled actions, with the policy's standard deviation multiplied by ``scale``. [B, A]"""
        return jnp.tanh(self.mean + scale * jnp.exp(self.log_std) * noise(key, self.mean.shape))

    def sample_with_log_prob(self, key: Array) -> tuple[Array, Array]:
        """Sampled actions [B, A] and their log-densities [B] (Haarnoja et al. 2018b, appendix C, equation 21).

        log(1 - tanh(u)^2) is computed as 2 (log 2 - u - softplus(-2u)), which stays finite where tanh(u) rounds to 1.
        """
        eps = noise(key, self.mean.shape)
        u = self.mean + jnp.exp(self.log_std) * eps
        normal = -0.5 * eps**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        shrunk = 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))
        return jnp.tanh(u), jnp.sum(normal - shrunk, axis=-1)


def squashed(out: Array) -> Squashed:
    """The distribution given by an actor's output [B, 2A]: the means, then the log standard deviations."""
    mean, log_std = jnp.split(out, 2, axis=-1)
    return Squashed(mean, jnp.clip(log_std, LOG_STD_LOW, LOG_STD_HIGH))


def smoothed(action: Array, sigma: float, clip: float, key: Array) -> Array:
    """Target policy smoothing: a' = clip(pi(s') + clip(eps, -c, c), -1, 1) (Fujimoto et al. 2018, equation 14).

    Args:
      action: the target actor's action. [B, A]
      sigma: the standard deviation of the noise, in units of half the action's range; 0 returns ``action``.
      clip: c, the bound of the noise.
      key: a key that is not used elsewhere.
    """
    if sigma == 0:
        return action
    return jnp.clip(action + jnp.clip(sigma * noise(key, action.shape), -clip, clip), -1.0, 1.0)


def categorical(log_prob: Array, scale: Array, key: Array) -> Array:
    """With probability ``scale`` an action sampled from the policy, else the most likely one.

    Args:
      log_prob: log-probabilities. [N, A]
      scale: probability of sampling. []
      key: a key that is not used elsewhere.

    Returns:
      actions. [N] int32
    """
    which, what = jax.random.split(key)
    likeliest, sampled = jnp.argmax(log_prob, axis=-1), jax.random.categorical(what, log_prob)
    return jnp.where(jax.random.uniform(which, likeliest.shape) < scale, sampled, likeliest).astype(jnp.int32)


class Temperature(NamedTuple):
    """The coefficient of the entropy bonus, alpha: constant, or learned to keep the entropy at its target.

    Attributes:
      parts: the parts updated by policy improvement: the actor and, if it is learned, the temperature.
      init: ``(key -> Variables) -> (key -> Variables)``, adding log alpha to the parameters if it is learned.
      value: ``variables -> alpha []``.
      loss: ``(variables, entropy [B]) -> []``: log alpha (entropy - target entropy), whose gradient raises alpha while
        the entropy is below its target (Haarnoja et al. 2018b, equation 18, for log alpha as in the released code).
    """

    parts: tuple[str, ...]
    init: Callable[[Callable[[Array], Variables]], Callable[[Array], Variables]]
    value: Callable[[Variables], Array]
    loss: Callable[[Variables, Array], Array]


def temperature_of(env: EnvSpec, c: Config) -> Temperature:
    """The temperature given by ``c.temperature`` and ``c.target_entropy``."""
    start, learned = temperature_choice(c.temperature)
    target_entropy = target_entropy_choice(c.target_entropy, env)
    if not learned:
        return Temperature(("actor",), lambda init: init, lambda v: jnp.float32(start), lambda v, entropy: 0.0)

    def with_temperature(init: Callable[[Array], Variables]) -> Callable[[Array], Variables]:
        def both(key: Array) -> Variables:
            made = init(key)
            return Variables({**made.params, "temperature": jnp.log(jnp.float32(start))}, made.stats)

        return both

    def loss(variables: Variables, entropy: Array) -> Array:
        return variables.params["temperature"] * jnp.mean(jax.lax.stop_gradient(entropy) - target_entropy)

    return Temperature(("actor", "temperature"), with_temperature, lambda v: jnp.exp(v.params["temperature"]), loss)
