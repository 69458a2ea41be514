"""Frame replay: every image is kept once; stacks and n-step returns are put together when they are sampled.

A ring of rows. A row is a frame and, where a step led to it, that step's action, reward, discount and end, so that a
transition is complete as soon as it has come: ``next_obs`` is the stack that ends with its row's frame, ``obs`` the one
that ends one row earlier. A new stack of frames (an episode after a true reset) comes with rows of its own that no step
led to, one for each of its frames, whatever it is that an environment fills them with. Each row says how many rows ago
the one before it came; so environments may come in any order, a lost life can end an episode inside of a stack, and
frames of different games never meet.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.rates import Cycle
from qtwin.replay.base import Bulk, Replay
from qtwin.replay.frame_packer import Framer
from qtwin.replay.sequences import Sequences, with_sequence
from qtwin.rng import integers
from qtwin.types import Array, Timestep, Transition

ROUNDS = 1_000  # of drawing anew; only a memory in which no transition is complete needs as many


class FrameRow(NamedTuple):
    """What a row holds. [R] for a chunk of rows, [C] for the ring.

    Attributes:
      frame: [..., H, W, c] with c the channels of one frame.
      action, reward, discount, last: of the step that led to the frame, as a `qtwin.types.Timestep`'s.
      step: a step led to it; False for the frames that a new stack begins with. bool
      behind: how many rows ago the frame before it in the same stack came; 0 where it is a stack's first. int32
    """

    frame: Array
    action: Array
    reward: Array
    discount: Array
    last: Array
    step: Array
    behind: Array


class Framed(NamedTuple):
    """A chunk of rows in the order in which they came.

    Attributes:
      rows: [R], of which the first ``count`` count.
      count: [] int32
    """

    rows: FrameRow
    count: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrameState:
    """The ring.

    Attributes:
      data: the rows. [C]
      ahead: how many rows further on the next frame of the same stack comes; 0 where it has not come, or never will.
        [C] int32
      head: the slot that is written next. [] int32
      size: slots that hold a row. [] int32
      envs: N.
    """

    data: FrameRow
    ahead: Array
    head: Array
    size: Array
    envs: int = dataclasses.field(metadata={"static": True})


def frame_ring(
    env: EnvSpec, capacity: int, batch: int, gamma: float = 0.99, n_step: int = 1, sequence: int = 0
) -> Replay:
    """A ring of the last ``capacity`` frames, for environments in Python whose observations are images.

    Transitions are drawn uniformly and with replacement from those that are complete: all of whose frames are there,
    and whose n steps have come. Each true reset costs ``env.stack`` of the frames; so the transitions that the ring
    holds are fewer than its frames by so much.

    Args:
      env: observations of [H, W, stack * c], a stack of frames along the last axis, the newest last; ``stack`` may be
        1.
      capacity: [frames]
      batch: transitions in a sampled batch.
      gamma: the discount factor.
      n_step: steps that a sampled transition spans, or fewer at an episode's end.
      sequence: K, for batches of `qtwin.replay.sequences.Sequences` in place of transitions, as the plain ring's.
    """
    span = max(n_step, sequence)
    height, width, channels = env.obs_shape
    stack, depth = env.stack, channels // env.stack
    if channels % stack:
        raise Refusal(f"{env.id} stacks {stack} frames in {channels} channels, which {stack} does not divide")
    if n_step < 1:
        raise Refusal(f"the n-step return needs n of at least 1, not {n_step}; write --n-step 1")

    def init(example: Timestep, cycle: Cycle) -> FrameState:
        # Twice what the widest transition reaches over, were every step followed by a reset.
        least = max(2 * (stack + span) * (stack + 1) * cycle.envs, (stack + 1) * cycle.transitions, batch)
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

        def column(shape: tuple[int, ...], dtype) -> Array:
            return jnp.zeros((capacity, *shape), dtype)

        data = FrameRow(
            frame=column((height, width, depth), env.obs_dtype),
            action=column(example.action.shape, example.action.dtype),
            reward=column((), jnp.float32),
            discount=column((), jnp.float32),
            last=column((), bool),
            step=column((), bool),
            behind=column((), jnp.int32),
        )
        return FrameState(data, column((), jnp.int32), jnp.int32(0), jnp.int32(0), cycle.envs)

    def add(state: FrameState, chunk: Framed) -> FrameState:
        def write(i: Array, carry: tuple[FrameRow, Array]) -> tuple[FrameRow, Array]:
            data, ahead = carry
            row = jax.tree.map(lambda column: jax.lax.dynamic_slice_in_dim(column, i, 1), chunk.rows)
            slot = (state.head + i) % capacity
            data = jax.tree.map(lambda c, r: jax.lax.dynamic_update_slice_in_dim(c, r, slot, axis=0), data, row)
            behind = row.behind[0]
            before = jnp.where(behind > 0, (slot - behind) % capacity, slot)
            return data, ahead.at[slot].set(0).at[before].set(behind)  # a first row's own is 0 again

        def write_all(_: Array, carry: tuple[FrameRow, Array]) -> tuple[FrameRow, Array]:
            data, ahead = jax.tree.map(
                lambda column, rows: jax.lax.dynamic_update_slice_in_dim(column, rows, state.head, axis=0),
                carry,
                (chunk.rows, jnp.zeros(length, jnp.int32)),
            )
            behind = chunk.rows.behind
            before = (state.head + jnp.arange(length) - behind) % capacity
            return data, ahead.at[jnp.where(behind > 0, before, capacity)].set(behind, mode="drop")

        # Row by row where the ring wraps around or not all rows count. Both are loops, of one turn or none, for XLA
        # writes into what a loop carries, and might copy it for a conditional.
        length = chunk.rows.step.shape[0]
        whole = (chunk.count == length) & (state.head + length <= capacity)
        carry = jax.lax.fori_loop(0, whole.astype(jnp.int32), write_all, (state.data, state.ahead))
        data, ahead = jax.lax.fori_loop(0, jnp.where(whole, 0, chunk.count), write, carry)
        head = (state.head + chunk.count) % capacity
        return FrameState(data, ahead, head, jnp.minimum(state.size + chunk.count, capacity), state.envs)

    def sample(state: FrameState, key: Array, step: Array) -> Transition | Sequences:
        del step

        def draw(round: Array) -> Array:
            return integers(jax.random.fold_in(key, round), (batch,), state.size)  # 0 is the oldest

        def draw_anew(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            round, ranks, good = carry
            ranks = jnp.where(good, ranks, draw(round))
            return round + 1, ranks, _complete(state, ranks, capacity, stack, span)

        first = draw(jnp.int32(0))
        carry = jnp.int32(1), first, _complete(state, first, capacity, stack, span)
        _, ranks, _ = jax.lax.while_loop(lambda c: ~jnp.all(c[2]) & (c[0] < ROUNDS), draw_anew, carry)
        return at(state, (state.head - state.size + ranks) % capacity)

    def at(state: FrameState, rows: Array) -> Transition | Sequences:
        reward, discount, end = _returns(state, rows, capacity, gamma, n_step)
        before = (rows - state.data.behind[rows]) % capacity
        found = Transition(stacks(state, before), state.data.action[rows], reward, discount, stacks(state, end))
        if not sequence:
            return found

        def successor(slots: Array, k: int) -> Array:
            for _ in range(k):
                slots = (slots + state.ahead[slots]) % capacity
            return slots

        def next_obs(slots: Array) -> Array:
            return stacks(state, slots.reshape(-1)).reshape(*slots.shape, *env.obs_shape)

        return with_sequence(found, state.data, rows, successor, sequence, next_obs)

    def stacks(state: FrameState, rows: Array) -> Array:
        """The stacks that end with these rows' frames. [B, H, W, stack * c]"""
        slots = [rows]
        for _ in range(stack - 1):
            slots.append((slots[-1] - state.data.behind[slots[-1]]) % capacity)
        frames = state.data.frame[jnp.stack(slots[::-1], axis=1)]  # [B, stack, H, W, c]
        return jnp.moveaxis(frames, 1, 3).reshape(-1, height, width, channels)

    def cut(state: FrameState) -> FrameState:
        # A row that none follows is its environment's newest, or ends its episode anyway.
        last = state.data.last | (state.data.step & (state.ahead == 0))
        return dataclasses.replace(state, data=state.data._replace(last=last))

    def framer() -> Framer:
        return Framer(FrameRow, Framed, env)

    def ready(state: FrameState, chunk: Framed) -> tuple[Array, Array, Array]:
        # The oldest rows, whose stacks lose frames when the ring wraps around, begin where the newest end. In a vector
        # step an environment adds a frame, or a whole stack more; so the next frame of a stack comes at most `apart`
        # rows later, and a row that waits for its steps is one of the newest `waiting`.
        apart, waiting = (stack + 2) * state.envs, (span - 1) * (stack + 1) * state.envs
        newest = chunk.rows.step.shape[0] + waiting
        slots = (state.head - newest + jnp.arange(newest + stack * apart)) % capacity
        ranks = (slots - state.head + state.size) % capacity
        there = ranks < state.size
        can = there & _complete(state, ranks, capacity, stack, span)
        return slots[0], can, there & (ranks >= state.size - chunk.count)

    def take(state: FrameState) -> tuple[FrameState, Array]:
        return dataclasses.replace(state, data=state.data._replace(frame=())), state.data.frame

    def give(state: FrameState, frames: Array) -> FrameState:
        return dataclasses.replace(state, data=state.data._replace(frame=frames))

    def take_rows(chunk: Framed) -> tuple[Framed, Array]:
        return chunk._replace(rows=chunk.rows._replace(frame=())), chunk.rows.frame[: chunk.count]

    bulk = Bulk((capacity, height, width, depth), env.obs_dtype, take, give, take_rows, lambda state: state.head)
    cut_or_none = cut if span > 1 else None
    return Replay(capacity, batch, init, add, sample, cut=cut_or_none, at=at, framer=framer, bulk=bulk, ready=ready)


def _complete(state: FrameState, ranks: Array, capacity: int, stack: int, span: int) -> Array:
    """Is there a whole transition at the rows of these age ranks? [B] bool"""
    data = state.data
    rows = (state.head - state.size + ranks) % capacity
    good, reach, slots = data.step[rows], jnp.zeros_like(ranks), rows
    for _ in range(stack):
        behind = data.behind[slots]
        good, reach, slots = good & (behind > 0), reach + behind, (slots - behind) % capacity
    good, slots, running = good & (reach <= ranks), rows, ~data.last[rows]
    for _ in range(span - 1):
        ahead = state.ahead[slots]
        good, slots = good & (~running | (ahead > 0)), (slots + ahead) % capacity
        running = running & ~data.last[slots]
    return good


def _returns(state: FrameState, rows: Array, capacity: int, gamma: float, n_step: int) -> tuple[Array, Array, Array]:
    """Of the transitions whose first steps led to these rows: reward [B], discount [B], and the row where they end."""
    data = state.data
    reward, discount, end, here = data.reward[rows], gamma * data.discount[rows], rows, rows
    running = ~data.last[rows]
    for k in range(1, n_step):
        here = (here + state.ahead[here]) % capacity
        reward = reward + jnp.where(running, gamma**k * data.reward[here], 0.0)
        discount = jnp.where(running, gamma ** (k + 1) * data.discount[here], discount)
        end = jnp.where(running, here, end)
        running = running & ~data.last[here]
    return reward, discount, end
