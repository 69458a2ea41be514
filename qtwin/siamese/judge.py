"""How good features are, and whether they have collapsed: nearest neighbours, a linear probe, spread and rank."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.siamese.losses import normalised
from qtwin.types import Array


def nearest_neighbours(train: Array, labels: Array, test: Array, k: int = 20, temperature: float = 0.1) -> np.ndarray:
    """The label that the k nearest training features vote for, each by exp(cos / T) (Wu et al. 2018, section 3.4).

    Args:
      train: features of images whose labels are known. [M, D]
      labels: theirs, whole numbers from 0. [M]
      test: features of images to be labelled. [N, D]
      k: voters; all M where there are fewer.
      temperature: T.

    Returns:
      labels. [N] int
    """
    labels, k = np.asarray(labels), min(k, len(labels))
    similar = np.asarray(normalised(jnp.asarray(test)) @ normalised(jnp.asarray(train)).T)
    voters = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    weights = np.exp(np.take_along_axis(similar, voters, axis=1) / temperature)
    votes = np.zeros((len(similar), labels.max() + 1))
    for column in range(k):
        np.add.at(votes, (np.arange(len(votes)), labels[voters[:, column]]), weights[:, column])
    return votes.argmax(axis=1)


def spread(features: Array) -> float:
    """The mean over dimensions of the deviation of l2-normalised features, times sqrt(D): 1 spread out, 0 collapsed.

    Chen & He 2021, section 4.1: a standard normal in D dimensions gives 1 / sqrt(D).

    Args:
      features: [N, D]
    """
    unit = np.asarray(normalised(jnp.asarray(features, jnp.float32)))
    return float(unit.std(axis=0).mean() * np.sqrt(unit.shape[1]))


def effective_rank(features: Array, delta: float = 0.01) -> int:
    """srank: the least k for which the k largest singular values hold 1 - delta of their sum (Kumar et al. 2021).

    Args:
      features: [N, D]
      delta: what the others may hold together.
    """
    values = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    total = values.sum()
    if total == 0:
        return 0
    return int(np.searchsorted(np.cumsum(values) / total, 1.0 - delta - 1e-12) + 1)


def linear_probe(
    train: Array, labels: Array, test: Array, steps: int = 500, learning_rate: float = 0.1, decay: float = 1e-4
) -> np.ndarray:
    """Labels from logistic regression on frozen features, standardised by the training set's mean and deviation.

    Args:
      train: features of images whose labels are known. [M, D]
      labels: theirs, whole numbers from 0. [M]
      test: features of images to be labelled. [N, D]
      steps: of Adam, over the whole training set each.
      learning_rate: its.
      decay: the weight of the squared kernel in the loss.

    Returns:
      labels. [N] int
    """
    import optax

    train, test, labels = jnp.asarray(train, jnp.float32), jnp.asarray(test, jnp.float32), jnp.asarray(labels)
    mean, std = train.mean(axis=0)[None], train.std(axis=0)[None] + 1e-6
    train, test = (train - mean) / std, (test - mean) / std
    classes = int(labels.max()) + 1
    params = {"kernel": jnp.zeros((train.shape[1], classes)), "bias": jnp.zeros(classes)}
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def logits(params: dict, x: Array) -> Array:
        return x @ params["kernel"] + params["bias"][None]

    def loss(params: dict) -> Array:
        error = optax.softmax_cross_entropy_with_integer_labels(logits(params, train), labels)
        return error.mean() + decay * jnp.sum(params["kernel"] ** 2)

    def step(_, carry):
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params, _ = jax.jit(lambda carry: jax.lax.fori_loop(0, steps, step, carry))((params, optimiser.init(params)))
    return np.asarray(logits(params, test)).argmax(axis=1)
