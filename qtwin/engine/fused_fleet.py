"""Many seeds of the fused engine, stepped together."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from qtwin.algorithm import Algorithm
from qtwin.engine.fused import fused
from qtwin.engine.played import Played, eval_steps
from qtwin.envs.base import JaxEnv
from qtwin.measure.diagnostics import Readings
from qtwin.measure.overestimation import Foresight, Judged, judged
from qtwin.state import Faults, Tally, TrainState, keyed, part_of, unkeyed
from qtwin.twin import distance
from qtwin.types import Clock, PyTree, Variables

_distances = jax.jit(jax.vmap(distance))


class FusedFleet:
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
        judge: Foresight | None = None,
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
        devices = jax.devices()
        lanes = 1
        if devices[0].platform != "cpu" and not algorithm.rates.target_update.spec.startswith("until"):
            lanes = -(-len(seeds) // len(devices))  # `until` moves each seed's target at its own time: no shared clock
        devices = devices[: min(len(devices), -(-len(seeds) // lanes))]
        self.seeds, self.name = tuple(seeds), env.spec.id
        self._width = len(devices) * lanes
        self._lanes = lanes
        self._play = play
        self.eval_max_steps = eval_steps(env.spec, eval_max_steps)
        self._engine = fused(algorithm, env, envs, devices, lanes, episodes, drop, self.eval_max_steps, judge)
        self._ledgers, self._probes, self._cut = [], [], [0] * len(self.seeds)
        self.turn = self._engine.turn
        # The last group is filled up with its last seed: a core that would stand idle runs it twice, and the copy is
        # dropped. Cheaper than a second compilation for a group of another size.
        groups = [self.seeds[i : i + self._width] for i in range(0, len(self.seeds), self._width)]
        self._states = [self._engine.init(group + group[-1:] * (self._width - len(group))) for group in groups]

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

    def wait(self) -> None:
        jax.block_until_ready(self._states)

    def clocks(self) -> list[Clock]:
        each = [[np.asarray(count) for count in state.clock] for state in self._states]
        places = (divmod(k, self._width) for k in range(len(self.seeds)))
        return [Clock(*[int(count[i // self._lanes]) for count in each[group]]) for group, i in places]

    def twin_distances(self) -> list[float]:
        return np.concatenate([_distances(state.twin) for state in self._states])[: len(self.seeds)].tolist()

    def take_tallies(self) -> list[Tally]:
        tallies = [part_of(state.tally, i) for state, i in self._each()]

        def cleared(old):
            return jax.device_put(np.zeros(old.shape, old.dtype), old.sharding)

        self._states = [state._replace(tally=jax.tree.map(cleared, state.tally)) for state in self._states]
        return tallies

    def lost(self) -> list[int]:
        return [faults.lost for faults in self.faults()]

    def faults(self) -> list[Faults]:
        each = [jax.tree.map(np.asarray, state.faults) for state in self._states]
        return [Faults(*[int(count[i]) for count in each[k // self._width]]) for k, (_, i) in enumerate(self._each())]

    def evaluate(self, count: int) -> np.ndarray:
        if self._play is not None:
            played = [self._play(self.variables(i), (seed, count)) for i, seed in enumerate(self.seeds)]
            self._cut = [int(each.cut.sum()) for each in played]
            return np.stack([each.returns for each in played])
        played = [jax.tree.map(np.asarray, self._engine.evaluate(state, count)) for state in self._states]
        self._ledgers, seeds = [each.ledger for each in played], len(self.seeds)
        self._cut = np.concatenate([each.cut.sum(axis=1) for each in played])[:seeds].tolist()
        return np.concatenate([each.returns for each in played])[:seeds]

    def cut(self) -> list[int]:
        return self._cut

    def judged(self) -> list[Judged | None]:
        if not self._ledgers or self._ledgers[0] is None:
            return [None] * len(self.seeds)
        return [judged(part_of(*self._of_seed(self._ledgers, k))) for k in range(len(self.seeds))]

    def take_probe(self) -> list[PyTree]:
        self._probes = [self._engine.probe(state) for state in self._states]
        drawn = jax.tree.map(np.asarray, self._probes)
        return [part_of(*self._of_seed(drawn, k)) for k in range(len(self.seeds))]

    def set_probe(self, probes: list[PyTree]) -> None:
        if not self._probes:
            self.take_probe()  # for the places that they go to
        self._probes = [
            jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves[1:]), leaves[0].sharding), like, *group)
            for like, group in zip(self._probes, self._groups(probes), strict=True)
        ]

    def read(self) -> list[Readings]:
        found = [self._engine.read(s, probe) for s, probe in zip(self._states, self._probes, strict=True)]
        found = jax.tree.map(np.asarray, found)  # whole: one seed's part of an array on a mesh costs a program each
        return [part_of(*self._of_seed(found, k)) for k in range(len(self.seeds))]

    def variables(self, seed_index: int) -> Variables:
        return part_of(*self._of_seed([state.twin.online for state in self._states], seed_index))

    def snapshot(self, seed_index: int) -> TrainState:
        state, i = self._each()[seed_index]
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

    def _of_seed(self, of_groups: list, k: int) -> tuple[PyTree, int]:
        return of_groups[k // self._width], k % self._width

    def _each(self) -> list[tuple[TrainState, int]]:
        return [(self._states[k // self._width], k % self._width) for k in range(len(self.seeds))]
