"""Replay buffer of frames: each image is stored once; frame stacks and n-step returns are assembled on sampling.

A ring buffer of rows. A row holds a frame and, if a step led to it, the action, reward, discount and end of that step.
A transition is complete as soon as its row is stored: ``next_obs`` is the stack that ends with the row's frame, ``obs``
the stack that ends one row earlier. A new stack (an episode after a true reset) adds a row without a step for each of
its frames. Each row stores its distance to the previous row of the same stack, so environments can be interleaved in
any order, a lost life can end an episode within a stack, and frames of different games are never mixed.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Bulk, Replay
from qtwin.replay.frame_packer import Framer
from qtwin.replay.frame_rows import Framed, FrameRow, FrameState, give, take, take_rows
from qtwin.replay.sequences import Sequences, with_sequence
from qtwin.rng import integers
from qtwin.types import Array, Timestep, Transition

ROUNDS = 1_000  # of redrawing; reached only by a buffer without any complete transition


def frame_ring(
    env: EnvSpec, capacity: int, batch: int, gamma: float = 0.99, n_step: int = 1, sequence: int = 0
) -> Replay:
    """A ring buffer of the last ``capacity`` frames, for environments in Python with images as observations.

    Transitions are sampled uniformly and with replacement from those that are complete, which have all their frames and
    n steps in the buffer. Each true reset takes ``env.stack`` rows, so the buffer holds fewer transitions than frames.

    Args:
      env: with observations [H, W, stack * c], a stack of frames along the last axis, the newest last; ``stack`` may be
        1.
      capacity: [frames]
      batch: batch size. [transitions]
      gamma: the discount factor.
      n_step: steps that a sampled transition spans, or fewer at the end of an episode.
      sequence: K, for batches of `qtwin.replay.sequences.Sequences` instead of transitions, as in `qtwin.replay.ring`.
    """
    made = FrameRing(env, capacity, batch, gamma, n_step, sequence)
    return Replay(
        capacity, batch, made.init, made.add, made.sample, cut=made.cut if made.span > 1 else None, at=made.at,
        framer=lambda: Framer(FrameRow, Framed, env), bulk=made.bulk(), ready=made.ready, gamma=gamma,
        n_step=n_step,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FrameRing:
    """The parameters of `frame_ring`, and its functions as described in `qtwin.replay.base.Replay`.

    Attributes:
      env, capacity, batch, gamma, n_step, sequence: as the arguments of `frame_ring`.
    """

    env: EnvSpec
    capacity: int
    batch: int
    gamma: float
    n_step: int
    sequence: int

    def __post_init__(self):
        channels, stack = self.env.obs_shape[2], self.env.stack
        if channels % stack:
            raise Refusal(f"{self.env.id} stacks {stack} frames in {channels} channels, which {stack} does not divide")
        if self.n_step < 1:
            raise Refusal(f"the n-step return needs n of at least 1, not {self.n_step}; write --n-step 1")

    @property
    def span(self) -> int:
        """Number of steps from the start of a transition that must be stored before it is sampled. [transitions]"""
        return max(self.n_step, self.sequence)

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of one frame, (H, W, c)."""
        height, width, channels = self.env.obs_shape
        return height, width, channels // self.env.stack

    def init(self, example: Timestep, cycle: Cycle) -> FrameState:
        self._check_room(cycle)

        def column(shape: tuple[int, ...], dtype) -> Array:
            return jnp.zeros((self.capacity, *shape), dtype)

        data = FrameRow(
            frame=column(self.image, self.env.obs_dtype),
            action=column(example.action.shape, example.action.dtype),
            reward=column((), jnp.float32),
            discount=column((), jnp.float32),
            last=column((), bool),
            step=column((), bool),
            behind=column((), jnp.int32),
        )
        return FrameState(data, column((), jnp.int32), jnp.int32(0), jnp.int32(0), cycle.envs)

    def _check_room(self, cycle: Cycle) -> None:
        capacity, span, stack = self.capacity, self.span, self.env.stack
        # Twice the span in rows of the widest transition, as if every step were followed by a reset.
        least = max(2 * (stack + span) * (stack + 1) * cycle.envs, (stack + 1) * cycle.transitions, self.batch)
        if capacity < least:
            raise Refusal(
                f"the replay holds {capacity} frames and {cycle.envs} environments with stacks of {stack} need {least};"
                f" write --replay {least} or more"
            )
        first = cycle.warmup + cycle.transitions
        if first < span * cycle.envs:
            raise Refusal(
                f"{span} steps of {cycle.envs} environments are {span * cycle.envs} transitions, and {first} come"
                f" before the first gradient step; write --warmup {span * cycle.envs} or more"
            )

    def add(self, state: FrameState, chunk: Framed) -> FrameState:
        # Row by row if the ring wraps around or some rows are padding. The choice is made with loops of zero or more
        # iterations, because XLA writes to the carry of a loop in place, and might copy it for a conditional.
        length = chunk.rows.step.shape[0]
        whole = (chunk.count == length) & (state.head + length <= self.capacity)
        carry = state.data, state.ahead
        carry = jax.lax.fori_loop(0, whole.astype(jnp.int32), lambda _, c: self._write_all(state.head, chunk, c), carry)
        rows = jnp.where(whole, 0, chunk.count)
        data, ahead = jax.lax.fori_loop(0, rows, lambda i, c: self._write_row(state.head, chunk, i, c), carry)
        head = (state.head + chunk.count) % self.capacity
        return FrameState(data, ahead, head, jnp.minimum(state.size + chunk.count, self.capacity), state.envs)

    def _write_row(self, head: Array, chunk: Framed, i: Array, carry: tuple[FrameRow, Array]) -> tuple[FrameRow, Array]:
        """Writes the i-th row of a chunk; returns the ring's rows and their ``ahead``."""
        data, ahead = carry
        row = jax.tree.map(lambda column: jax.lax.dynamic_slice_in_dim(column, i, 1), chunk.rows)
        slot = (head + i) % self.capacity
        data = jax.tree.map(lambda c, r: jax.lax.dynamic_update_slice_in_dim(c, r, slot, axis=0), data, row)
        behind = row.behind[0]
        before = jnp.where(behind > 0, (slot - behind) % self.capacity, slot)
        return data, ahead.at[slot].set(0).at[before].set(behind)  # 0 for a first row

    def _write_all(self, head: Array, chunk: Framed, carry: tuple[FrameRow, Array]) -> tuple[FrameRow, Array]:
        """Writes all rows of a chunk, which must fit in before the end of the ring."""
        length, behind = chunk.rows.step.shape[0], chunk.rows.behind
        data, ahead = jax.tree.map(
            lambda column, rows: jax.lax.dynamic_update_slice_in_dim(column, rows, head, axis=0),
            carry,
            (chunk.rows, jnp.zeros(length, jnp.int32)),
        )
        before = (head + jnp.arange(length) - behind) % self.capacity
        return data, ahead.at[jnp.where(behind > 0, before, self.capacity)].set(behind, mode="drop")

    def sample(self, state: FrameState, key: Array, step: Array) -> Transition | Sequences:
        del step

        def draw(round: Array) -> Array:
            return integers(jax.random.fold_in(key, round), (self.batch,), state.size)  # 0 is the oldest

        def draw_anew(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            round, ranks, good = carry
            ranks = jnp.where(good, ranks, draw(round))
            return round + 1, ranks, self.complete(state, ranks)

        first = draw(jnp.int32(0))
        carry = jnp.int32(1), first, self.complete(state, first)
        _, ranks, _ = jax.lax.while_loop(lambda c: ~jnp.all(c[2]) & (c[0] < ROUNDS), draw_anew, carry)
        return self.at(state, (state.head - state.size + ranks) % self.capacity)

    def complete(self, state: FrameState, ranks: Array) -> Array:
        """Whether the rows of these ranks by age hold complete transitions. [B] bool"""
        data = state.data
        rows = (state.head - state.size + ranks) % self.capacity
        good, reach, slots = data.step[rows], jnp.zeros_like(ranks), rows
        for _ in range(self.env.stack):
            behind = data.behind[slots]
            good, reach, slots = good & (behind > 0), reach + behind, (slots - behind) % self.capacity
        good, slots, running = good & (reach <= ranks), rows, ~data.last[rows]
        for _ in range(self.span - 1):
            ahead = state.ahead[slots]
            good, slots = good & (~running | (ahead > 0)), (slots + ahead) % self.capacity
            running = running & ~data.last[slots]
        return good

    def at(self, state: FrameState, rows: Array) -> Transition | Sequences:
        reward, discount, end = self.returns(state, rows)
        before = (rows - state.data.behind[rows]) % self.capacity
        found = Transition(
            self.stacks(state, before), state.data.action[rows], reward, discount, self.stacks(state, end)
        )
        if not self.sequence:
            return found

        def successor(slots: Array, k: int) -> Array:
            for _ in range(k):
                slots = (slots + state.ahead[slots]) % self.capacity
            return slots

        def observed(slots: Array) -> Array:
            return self.stacks(state, slots.reshape(-1)).reshape(*slots.shape, *self.env.obs_shape)

        return with_sequence(found, state.data, rows, successor, self.sequence, observed)

    def returns(self, state: FrameState, rows: Array) -> tuple[Array, Array, Array]:
        """Reward, discount and final row of the transitions whose first steps led to ``rows``. Each [B]"""
        data, gamma = state.data, self.gamma
        reward, discount, end, here = data.reward[rows], gamma * data.discount[rows], rows, rows
        running = ~data.last[rows]
        for k in range(1, self.n_step):
            here = (here + state.ahead[here]) % self.capacity
            reward = reward + jnp.where(running, gamma**k * data.reward[here], 0.0)
            discount = jnp.where(running, gamma ** (k + 1) * data.discount[here], discount)
            end = jnp.where(running, here, end)
            running = running & ~data.last[here]
        return reward, discount, end

    def stacks(self, state: FrameState, rows: Array) -> Array:
        """The frame stacks that end with the frames of ``rows``. [B, H, W, stack * c]"""
        slots = [rows]
        for _ in range(self.env.stack - 1):
            slots.append((slots[-1] - state.data.behind[slots[-1]]) % self.capacity)
        frames = state.data.frame[jnp.stack(slots[::-1], axis=1)]  # [B, stack, H, W, c]
        return jnp.moveaxis(frames, 1, 3).reshape(-1, *self.env.obs_shape)

    def cut(self, state: FrameState) -> FrameState:
        # A row without a successor is the newest of its environment, or ends its episode anyway.
        last = state.data.last | (state.data.step & (state.ahead == 0))
        return dataclasses.replace(state, data=state.data._replace(last=last))

    def ready(self, state: FrameState, chunk: Framed) -> tuple[Array, Array, Array]:
        # The oldest rows, whose stacks lose frames when the ring wraps around, start where the newest end. In a vector
        # step an environment adds one frame, and after a reset a whole stack; so the next frame of a stack is at most
        # `apart` rows later, and rows that wait for later steps are among the newest `waiting`.
        stack = self.env.stack
        apart, waiting = (stack + 2) * state.envs, (self.span - 1) * (stack + 1) * state.envs
        newest = chunk.rows.step.shape[0] + waiting
        slots = (state.head - newest + jnp.arange(newest + stack * apart)) % self.capacity
        ranks = (slots - state.head + state.size) % self.capacity
        there = ranks < state.size
        can = there & self.complete(state, ranks)
        return slots[0], can, there & (ranks >= state.size - chunk.count)

    def bulk(self) -> Bulk:
        """The column of frames."""
        return Bulk((self.capacity, *self.image), self.env.obs_dtype, take, give, take_rows, lambda state: state.head)
