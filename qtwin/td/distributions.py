"""Returns as distributions: fixed atoms (C51), fixed fractions (QR-DQN), any fraction (IQN), and classes (HL-Gauss).

Targets are behind a stop-gradient; losses are returned per transition, [B].
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from qtwin.config.option_specs import support_choice
from qtwin.td.losses import smooth
from qtwin.types import Array


def atoms_of(support: str, atoms: int) -> Array:
    """z_i = v_min + i (v_max - v_min) / (K - 1), i = 0 ... K - 1. [K] float32

    Args:
      support: ``VMIN:VMAX``.
      atoms: K.
    """
    low, high = support_choice(support)
    return jnp.linspace(low, high, atoms, dtype=jnp.float32)


def mean_of(probabilities: Array, z: Array) -> Array:
    """The expected value: probabilities [..., K], atoms z [K] -> [...]"""
    return jnp.sum(probabilities * z.reshape(*[1] * (probabilities.ndim - 1), -1), axis=-1)


def of_action(each: Array, action: Array) -> Array:
    """The distributions of the actions taken: [B, A, K], action [B] -> [B, K]

    Selected with a mask, as in `qtwin.td.targets.q_of_action`.
    """
    chex.assert_rank([each, action], [3, 1])
    chex.assert_equal_shape_prefix([each, action], 1)
    mask = jax.lax.broadcasted_iota(action.dtype, each.shape[:2], 1) == action[:, None]
    return jnp.sum(jnp.where(mask[:, :, None], each, 0.0), axis=1)


def categorical_target(reward: Array, discount: Array, p_next: Array, z: Array) -> Array:
    """The distribution of r + discount * Z(s') projected onto the atoms (Bellemare, Dabney & Munos 2017, equation 7).

    Probability that falls between two atoms is split between them in proportion to proximity; probability outside the
    support goes to the nearest end atom.

    Args:
      reward: [B]
      discount: gamma**n, or 0 where s' is terminal. [B]
      p_next: probabilities of the atoms at s'. [B, K]
      z: the atoms, evenly spaced. [K]

    Returns:
      probabilities. [B, K]
    """
    chex.assert_rank([reward, discount, p_next, z], [1, 1, 2, 1])
    chex.assert_shape(p_next, (*reward.shape, *z.shape))
    atoms = z.shape[0]
    if atoms == 1:
        return jax.lax.stop_gradient(p_next)  # a single atom has all the probability
    moved = jnp.clip(reward[:, None] + discount[:, None] * z[None, :], z[0], z[-1])  # [B, K]
    gap = (z[-1] - z[0]) / (atoms - 1)
    share = jnp.clip(1.0 - jnp.abs(moved[:, None, :] - z[None, :, None]) / gap, 0.0, 1.0)  # [B, to, from]
    return jax.lax.stop_gradient(jnp.sum(share * p_next[:, None, :], axis=-1))


def cross_entropy(logits: Array, probabilities: Array) -> Array:
    """-sum_i p_i log softmax(logits)_i (Bellemare et al. 2017, algorithm 1). [B, K], [B, K] -> [B]"""
    chex.assert_equal_shape([logits, probabilities])
    return -jnp.sum(probabilities * jax.nn.log_softmax(logits), axis=-1)


def divergence(logits: Array, probabilities: Array) -> Array:
    """KL(p || softmax(logits)), Rainbow's replay priority (Hessel et al. 2018, section 3). [B, K], [B, K] -> [B]"""
    entropy = -jnp.sum(jax.scipy.special.xlogy(probabilities, probabilities), axis=-1)
    return jnp.maximum(jax.lax.stop_gradient(cross_entropy(logits, probabilities)) - entropy, 0.0)


def classes_of(support: str, atoms: int) -> tuple[Array, Array]:
    """K classes of equal width between v_min and v_max: their edges [K + 1] and their centres [K]."""
    low, high = support_choice(support)
    edges = jnp.linspace(low, high, atoms + 1, dtype=jnp.float32)
    return edges, (edges[:-1] + edges[1:]) / 2


def hl_gauss(y: Array, edges: Array, sigma: float) -> Array:
    """The probability that a normal distribution around y assigns to each class, normalised over all classes.

    Farebrother et al. 2024, section 3.2 and the code in its appendix.

    Args:
      y: the target, clipped to the range of the classes. [B]
      edges: [K + 1]
      sigma: standard deviation, in class widths. With 0 the class that contains y has probability 1.

    Returns:
      probabilities. [B, K]
    """
    chex.assert_rank([y, edges], 1)
    y = jnp.clip(jax.lax.stop_gradient(y), edges[0], edges[-1])
    width = (edges[-1] - edges[0]) / (edges.shape[0] - 1)
    if sigma:
        below = jax.scipy.special.erf((edges[None, :] - y[:, None]) / (jnp.sqrt(2.0) * sigma * width))
    else:
        inner = jnp.where(edges[None, 1:-1] > y[:, None], 1.0, -1.0)
        below = jnp.pad(jnp.pad(inner, ((0, 0), (1, 0)), constant_values=-1.0), ((0, 0), (0, 1)), constant_values=1.0)
    return (below[:, 1:] - below[:, :-1]) / (below[:, -1:] - below[:, :1])


def midpoints(quantiles: int) -> Array:
    """tau_i = (i + 1/2) / N, i = 0 ... N - 1 (Dabney et al. 2018a, lemma 2). [N] float32"""
    return (jnp.arange(quantiles, dtype=jnp.float32) + 0.5) / quantiles


def quantile_regression(z: Array, tau: Array, y: Array) -> Array:
    """sum_i mean_j |tau_i - [u_ij < 0]| Huber(u_ij), u_ij = y_j - z_i (Dabney et al. 2018a, equation 10; 2018b, 3).

    Args:
      z: predicted quantiles. [B, N]
      tau: their fractions. [B, N]
      y: samples, or quantiles, of the target. [B, M]

    Returns:
      losses. [B]
    """
    chex.assert_rank([z, tau, y], 2)
    chex.assert_equal_shape([z, tau])
    chex.assert_equal_shape_prefix([z, y], 1)
    u = jax.lax.stop_gradient(y)[:, None, :] - z[:, :, None]  # [B, N, M]
    return jnp.sum(jnp.mean(jnp.abs(tau[:, :, None] - (u < 0)) * smooth(u), axis=2), axis=1)
