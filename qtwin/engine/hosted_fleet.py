"""Many seeds of the hosted engine, stepped together."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.engine.evaluation import SIDE_BY_SIDE, host_episodes, player
from qtwin.engine.fleet_base import FleetBase
from qtwin.engine.fused import one_step
from qtwin.engine.hosted import hosted
from qtwin.engine.played import Played, eval_steps
from qtwin.envs.base import HostEnv, for_evaluation
from qtwin.measure.diagnostics import Readings, probe_of, read
from qtwin.measure.overestimation import Overestimation
from qtwin.replay.base import Bulk
from qtwin.replay.mapped import Mapped, check_device
from qtwin.state import TrainState, keyed, unkeyed
from qtwin.storage.block_store import Column
from qtwin.twin import distance
from qtwin.types import Array, Clock, PyTree

_distance = jax.jit(distance)
COMPILING_STEPS = 2  # vector steps of warm-up before the cycle that everything is compiled for


class HostedFleet(FleetBase):
    """K seeds of the hosted engine, each with environments and a thread of its own.

    The threads share Python's lock while they step environments, and run side by side while they act and learn.
    """

    resets_at_checkpoints = True

    def __init__(
        self,
        algorithm: Algorithm,
        make_env: Callable[[int], HostEnv],
        envs: int,
        seeds: tuple[int, ...],
        episodes: int = 10,
        overlap: bool = False,
        frames: Path | None = None,
        eval_max_steps: int = 0,
        judge: Overestimation | None = None,
    ):
        """Begins K runs.

        Args:
          algorithm, make_env, envs, seeds, overlap, eval_max_steps, judge: as for `qtwin.engine.fleet.fleet_of`.
          episodes: greedy episodes in one evaluation of one seed.
          frames: the frames that a replay remembers lie in files on this folder's disk; in memory if None.

        Raises:
          Refusal: ``frames`` where the learner computes on an accelerator.
          ValueError: ``frames`` with a replay that keeps none.
        """
        if frames is not None:
            check_device(jax.devices()[0])
            if algorithm.replay.bulk is None:
                raise ValueError("this replay keeps no frames that could lie on a disk")
        bulk, seeds = algorithm.replay.bulk, tuple(seeds)
        self._algorithm, self._episodes, self._judge = algorithm, episodes, judge
        self._disks = [None if frames is None else Mapped(frames, bulk.shape, bulk.dtype) for _ in seeds]
        self._threads = ThreadPoolExecutor(len(seeds), "qtwin-seed")
        self._games = [make_env(envs) for _ in seeds]
        paired = zip(self._games, self._disks, strict=True)
        self._engines = [hosted(algorithm, games, overlap, disk=disk) for games, disk in paired]
        self._test_env = for_evaluation(make_env)(min(episodes, SIDE_BY_SIDE))
        spec, turn = self._games[0].spec, self._engines[0].turn
        super().__init__(seeds, spec.id, turn, eval_steps(spec, eval_max_steps))
        self._act = player(algorithm.agent)
        ragged = getattr(self._test_env, "ragged", False) and algorithm.replay.ragged is not None
        remembered = algorithm._replace(replay=algorithm.replay.ragged()) if ragged else algorithm
        self._probe = jax.jit(probe_of(remembered, turn.gradient_steps))
        self._read = jax.jit(read(remembered, one_step(remembered, turn)))
        self._states = [engine.init(seed) for engine, seed in zip(self._engines, seeds, strict=True)]

    def compile(self) -> float:
        start = time.perf_counter()
        # On the first seed's own engine, which then starts anew: a second replay might not fit beside the first.
        engine, state = self._engines[0], self._states[0]
        self._states[0] = None
        if self.turn.warmup_vector_steps:
            state = engine.warm_up(state, min(self.turn.warmup_vector_steps, COMPILING_STEPS))
        state = jax.block_until_ready(engine.advance(state, 1))
        del state
        self._states[0] = engine.init(self.seeds[0])
        return time.perf_counter() - start

    def warm_up(self, vector_steps: int) -> None:
        self._states = list(self._threads.map(lambda e, s: e.warm_up(s, vector_steps), self._engines, self._states))

    def advance(self, cycles: int) -> None:
        self._states = list(self._threads.map(lambda e, s: e.advance(s, cycles), self._engines, self._states))

    def twin_distances(self) -> list[float]:
        return [float(_distance(state.twin)) for state in self._states]

    def lost(self) -> list[int]:
        """Each seed's environments that were lost and replaced, since this process began."""
        return [getattr(games, "lost_so_far", 0) for games in self._games]

    def set_probe(self, probes: list[PyTree]) -> None:
        self._probes = [jax.tree.map(jnp.asarray, probe) for probe in probes]

    def snapshot(self, seed_index: int) -> TrainState:
        return jax.tree.map(np.asarray, unkeyed(self._states[seed_index]))

    def restore(self, states: list[TrainState]) -> None:
        # Into the arrays that there are: beside them a replay of gigabytes might not fit a second time.
        before, self._states = [unkeyed(state) for state in self._states], []
        for state, disk in zip(states, self._disks, strict=True):
            self._states.append(keyed(_placed(before.pop(0), state, self._algorithm.replay.bulk, disk)))

    def re_make(self, boundary: int) -> None:
        self._states = [e.rejoin(s, boundary) for e, s in zip(self._engines, self._states, strict=True)]

    def close(self) -> None:
        self._threads.shutdown()
        for engine in self._engines:
            engine.close()
        self._test_env.close()

    def _part(self, of_groups: list[PyTree], k: int) -> PyTree:
        return jax.tree.map(np.asarray, of_groups[k])  # a group is one seed

    def _clock(self, of_groups: list[Clock], k: int) -> Clock:
        return of_groups[k]

    def _without_tally(self, state: TrainState) -> TrainState:
        return state._replace(tally=jax.tree.map(jnp.zeros_like, state.tally))

    def _draw_probes(self) -> list[PyTree]:
        return [self._probe(state._replace(world=())) for state in self._states]

    def _read_groups(self) -> list[Readings]:
        pairs = zip(self._states, self._probes, strict=True)
        return [self._read(state._replace(world=()), probe) for state, probe in pairs]

    def _play(self, count: int) -> list[Played]:
        how = self._judge, self.eval_max_steps
        return [
            host_episodes(self._act, self._test_env, state.twin.online, self._episodes, (seed, count), *how)
            for seed, state in zip(self.seeds, self._states, strict=True)
        ]


def _placed(old: TrainState, new: TrainState, bulk: Bulk | None = None, disk: Mapped | None = None) -> TrainState:
    """``new`` on the device; what is read block by block is written into ``old``, which is given away."""
    if disk is not None:
        (kept, _), (replay, column) = bulk.take(old.replay), bulk.take(new.replay)
        for start, rows in column if isinstance(column, Column) else [(0, column)]:
            disk.write(rows, start)
        placed = _placed(old._replace(replay=kept), new._replace(replay=replay))
        return placed._replace(replay=bulk.give(placed.replay, disk.array))

    def place(old: Array, new: Array | Column) -> Array:
        if not isinstance(new, Column):
            return jnp.asarray(new)
        for start, rows in new:
            old = _written(old, rows, np.int32(start))
        return old

    return jax.tree.map(place, old, new)


@functools.partial(jax.jit, donate_argnums=0)
def _written(column: Array, rows: Array, start: Array) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(column, rows, start, axis=0)
