"""Many seeds of the fused engine, stepped together."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.engine.fleet_base import FleetBase
from qtwin.engine.fused import fused
from qtwin.engine.played import Played, eval_steps
from qtwin.engine.spread import lanes_for
from qtwin.envs.base import JaxEnv
from qtwin.measure.diagnostics import Readings
from qtwin.measure.overestimation import Overestimation
from qtwin.state import TrainState, keyed, part_of, unkeyed
from qtwin.twin import distance
from qtwin.types import Clock, PyTree, Variables

_distances = jax.jit(jax.vmap(distance))


class FusedFleet(FleetBase):
    """K seeds of the fused engine: as many at a time as there are CPU cores, or all at once on an accelerator."""

    resets_at_checkpoints = False

    def __init__(
        self,
        algorithm: Algorithm,
        env: JaxEnv,
        envs: int,
        seeds: tuple[int, ...],
        episodes: int = 10,
        play: Callable[[Variables, tuple[int, int]], Played] | None = None,
        drop: bool = False,
        eval_max_steps: int = 0,
        judge: Overestimation | None = None,
    ):
        """Begins K runs.

        Args:
          algorithm: what to run.
          env: one environment written in JAX.
          envs: how many of them, for each seed.
          seeds: which seeds.
          episodes: greedy episodes in one evaluation of one seed.
          play: ``(variables, (seed, count)) -> Played``, where evaluation is not done in ``env``.
          drop: an environment that gives what is not finite is replaced.
          eval_max_steps, judge: as for `fleet_of`.
        """
        devices, seeds = jax.devices(), tuple(seeds)
        shared_clock = algorithm.rates.target_update.shared_clock
        self._lanes = lanes_for(len(seeds), len(devices), devices[0].platform, shared_clock)
        devices = devices[: min(len(devices), -(-len(seeds) // self._lanes))]
        self._width = len(devices) * self._lanes
        self._play_outside, limit = play, eval_steps(env.spec, eval_max_steps)
        self._engine = fused(algorithm, env, envs, devices, self._lanes, episodes, drop, limit, judge)
        super().__init__(seeds, env.spec.id, self._engine.turn, limit)
        # The last group is filled up with its last seed: a core that would stand idle runs it twice, and the copy is
        # dropped. Cheaper than a second compilation for a group of another size.
        self._states = [self._engine.init(group) for group in self._groups(list(seeds))]

    def compile(self) -> float:
        start = time.perf_counter()
        state = self._engine.init([0] * self._width)  # a state of its own: the calls below give theirs away
        if self.turn.warmup_vector_steps:
            state = self._engine.warm_up(state, 0)
        state = self._engine.advance(state, 0)
        jax.block_until_ready(self._engine.evaluate(state, 0))
        return time.perf_counter() - start

    def warm_up(self, vector_steps: int) -> None:
        self._states = [self._engine.warm_up(state, vector_steps) for state in self._states]

    def advance(self, cycles: int) -> None:
        self._states = [self._engine.advance(state, cycles) for state in self._states]

    def twin_distances(self) -> list[float]:
        return np.concatenate([_distances(state.twin) for state in self._states])[: len(self.seeds)].tolist()

    def lost(self) -> list[int]:
        return [faults.lost for faults in self.faults()]

    def set_probe(self, probes: list[PyTree]) -> None:
        if not self._probes:
            self.take_probe()  # for the places that they go to
        self._probes = [
            jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves[1:]), leaves[0].sharding), like, *group)
            for like, group in zip(self._probes, self._groups(probes), strict=True)
        ]

    def snapshot(self, seed_index: int) -> TrainState:
        group, i = divmod(seed_index, self._width)
        state = self._states[group]
        rest = part_of(unkeyed(state._replace(clock=())), i)
        return rest._replace(clock=part_of(state.clock, i // self._lanes))

    def restore(self, states: list[TrainState]) -> None:
        restored = []
        for start, group in enumerate(self._groups(states)):
            group = [keyed(jax.tree.map(np.asarray, state)) for state in group]
            one = jax.tree.map(lambda *leaves: jnp.stack(leaves), *group)
            one = one._replace(clock=jax.tree.map(lambda leaf: leaf[:: self._lanes], one.clock))
            like = self._states[start]
            restored.append(jax.tree.map(lambda leaf, old: jax.device_put(leaf, old.sharding), one, like))
        self._states = restored

    def re_make(self, boundary: int) -> None:
        del boundary  # environments written in JAX are part of the state

    def close(self) -> None:
        self._states = []

    def _groups(self, of_seeds: list) -> list[list]:
        """What belongs to the seeds in the groups that run together, the last filled up with its last."""
        groups = [of_seeds[i : i + self._width] for i in range(0, len(of_seeds), self._width)]
        return [group + group[-1:] * (self._width - len(group)) for group in groups]

    def _part(self, of_groups: list[PyTree], k: int) -> PyTree:
        return part_of(of_groups[k // self._width], k % self._width)

    def _clock(self, of_groups: list[Clock], k: int) -> Clock:
        return part_of(of_groups[k // self._width], k % self._width // self._lanes)

    def _without_tally(self, state: TrainState) -> TrainState:
        def cleared(old):
            return jax.device_put(np.zeros(old.shape, old.dtype), old.sharding)

        return state._replace(tally=jax.tree.map(cleared, state.tally))

    def _draw_probes(self) -> list[PyTree]:
        return [self._engine.probe(state) for state in self._states]

    def _read_groups(self) -> list[Readings]:
        return [self._engine.read(state, probe) for state, probe in zip(self._states, self._probes, strict=True)]

    def _play(self, count: int) -> list[Played]:
        if self._play_outside is not None:
            return [self._play_outside(self.variables(k), (seed, count)) for k, seed in enumerate(self.seeds)]
        return self._of_each([self._engine.evaluate(state, count) for state in self._states])
