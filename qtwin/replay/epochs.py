"""Epochs: the transitions of the current cycle only, read several times in shuffled order."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin import rng
from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Replay
from qtwin.types import Array, Timestep, Transition


class EpochsState(NamedTuple):
    """The transitions of the current cycle.

    Attributes:
      data: the transitions, flat. [M]
      order: the permutation of each epoch. [E, M] int32
      chunks: number of chunks so far. [] int32
    """

    data: Timestep
    order: Array
    chunks: Array


def epochs(batch: int, gamma: float = 0.99) -> Replay:
    """The transitions of the current cycle, read in E epochs of batches; the rates give E = B K / M.

    The permutations depend only on the number of the chunk, since they must not change between the gradient steps of an
    epoch, and ``sample`` is given a different key at each gradient step.

    Args:
      batch: batch size, B. [transitions]
      gamma: the discount factor.
    """

    def init(example: Timestep, cycle: Cycle) -> EpochsState:
        rows, read = cycle.transitions, cycle.gradient_steps * batch
        if rows % batch or read % rows:
            raise Refusal(
                f"whole epochs in whole batches are read of the {rows} transitions of a cycle, and"
                f" {cycle.gradient_steps} batches of {batch} are not that; write for example --batch"
                f" {max(rows // 16, 1)} --regress 16"
            )
        data = jax.tree.map(lambda leaf: jnp.zeros((rows, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        return EpochsState(data, jnp.zeros((read // rows, rows), jnp.int32), jnp.int32(0))

    def add(state: EpochsState, chunk: Timestep) -> EpochsState:
        if chunk.reward.size != state.data.reward.size:
            return state  # a warm-up, which is not learned from
        keys = jax.random.split(jax.random.fold_in(rng.root(0), state.chunks), state.order.shape[0])
        order = jax.vmap(lambda key: jax.random.permutation(key, state.order.shape[1]))(keys)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), chunk)
        return EpochsState(flat, order.astype(jnp.int32), state.chunks + 1)

    def sample(state: EpochsState, key: Array, step: Array) -> Transition:
        del key
        rows = jax.lax.dynamic_slice_in_dim(state.order.reshape(-1), step * batch, batch)
        row = jax.tree.map(lambda leaf: leaf[rows], state.data)
        return Transition(row.obs, row.action, row.reward, gamma * row.discount, row.next_obs)

    def ragged() -> Replay:
        raise Refusal("returns over a cycle's steps need environments that step together, and these do not")

    return Replay(0, batch, init, add, sample, ragged)
