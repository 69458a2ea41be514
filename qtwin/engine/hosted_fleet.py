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

from qtwin import rng
from qtwin.agent import Agent, Algorithm
from qtwin.diagnostics import Readings, probe_of, read, value_of
from qtwin.engine.fused import one_step
from qtwin.engine.hosted import hosted
from qtwin.engine.state import Faults, Tally, TrainState, keyed, unkeyed
from qtwin.envs.base import HostEnv, JaxEnv, Outcome, Score, for_evaluation
from qtwin.foresight import Foresight, Judged, Ledger, judged
from qtwin.replay.base import Bulk
from qtwin.replay.mapped import Mapped, check_device
from qtwin.run.blocks import Column
from qtwin.twin import distance
from qtwin.types import Array, Clock, PyTree, Variables

_distance = jax.jit(distance)
COMPILING_STEPS = 2  # vector steps of warm-up before the cycle that everything is compiled for


class HostedFleet:
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
    ):
        """Begins K runs.

        Args:
          algorithm, make_env, envs, seeds, overlap: as for `qtwin.engine.fleet.fleet_of`.
          episodes: greedy episodes in one evaluation of one seed.
          frames: the frames that a replay remembers lie in files on this folder's disk; in memory if None.

        Raises:
          Refusal: ``frames`` where the learner computes on an accelerator.
          ValueError: ``frames`` with a replay that keeps none.
        """
        self.seeds = tuple(seeds)
        if frames is not None:
            check_device(jax.devices()[0])
            if algorithm.replay.bulk is None:
                raise ValueError("this replay keeps no frames that could lie on a disk")
        bulk = algorithm.replay.bulk
        self._disks = [None if frames is None else Mapped(frames, bulk.shape, bulk.dtype) for _ in self.seeds]
        self._threads = ThreadPoolExecutor(len(self.seeds), "qtwin-seed")
        self._algorithm, self._make_env, self._envs, self._overlap = algorithm, make_env, envs, overlap
        self._games = [make_env(envs) for _ in self.seeds]
        self.name = self._games[0].spec.id
        paired = zip(self._games, self._disks, strict=True)
        self._engines = [hosted(algorithm, games, overlap, disk=disk) for games, disk in paired]
        self._test_env = for_evaluation(make_env)(min(episodes, 16))
        self._episodes = episodes
        self._act = player(algorithm.agent)
        self._ledgers, self._probes = [], []
        self.turn = self._engines[0].turn
        ragged = getattr(self._test_env, "ragged", False) and algorithm.replay.ragged is not None
        remembered = algorithm._replace(replay=algorithm.replay.ragged()) if ragged else algorithm
        self._probe = jax.jit(probe_of(remembered, self.turn.gradient_steps))
        self._read = jax.jit(read(remembered, one_step(remembered, self.turn)))
        self._states = [engine.init(seed) for engine, seed in zip(self._engines, self.seeds, strict=True)]

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

    def wait(self) -> None:
        jax.block_until_ready(self._states)

    def clocks(self) -> list[Clock]:
        return [Clock(*[int(count) for count in state.clock]) for state in self._states]

    def twin_distances(self) -> list[float]:
        return [float(_distance(state.twin)) for state in self._states]

    def take_tallies(self) -> list[Tally]:
        tallies = [jax.tree.map(np.asarray, state.tally) for state in self._states]
        self._states = [state._replace(tally=jax.tree.map(jnp.zeros_like, state.tally)) for state in self._states]
        return tallies

    def lost(self) -> list[int]:
        """Each seed's environments that were lost and replaced, since this process began."""
        return [getattr(games, "lost_so_far", 0) for games in self._games]

    def faults(self) -> list[Faults]:
        return [Faults(*[int(count) for count in state.faults]) for state in self._states]

    def evaluate(self, count: int) -> np.ndarray:
        foresight = self._algorithm.foresight
        played = [
            host_episodes(self._act, self._test_env, state.twin.online, self._episodes, (seed, count), foresight)
            for seed, state in zip(self.seeds, self._states, strict=True)
        ]
        self._ledgers = [ledger for _, ledger in played]
        return np.stack([returns for returns, _ in played])

    def judged(self) -> list[Judged | None]:
        ledgers = self._ledgers or [None] * len(self.seeds)
        return [None if ledger is None else judged(ledger) for ledger in ledgers]

    def take_probe(self) -> list[PyTree]:
        self._probes = [self._probe(self._bare(state)) for state in self._states]
        return [jax.tree.map(np.asarray, probe) for probe in self._probes]

    def set_probe(self, probes: list[PyTree]) -> None:
        self._probes = [jax.tree.map(jnp.asarray, probe) for probe in probes]

    def read(self) -> list[Readings]:
        pairs = zip(self._states, self._probes, strict=True)
        return [jax.tree.map(np.asarray, self._read(self._bare(state), probe)) for state, probe in pairs]

    @staticmethod
    def _bare(state: TrainState) -> TrainState:
        return state._replace(world=())

    def variables(self, seed_index: int) -> Variables:
        return jax.tree.map(np.asarray, self._states[seed_index].twin.online)

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


def player(agent: Agent) -> Callable:
    """``(variables, obs [N, ...], epsilon [], key) -> (action [N], Q(s, a) [N] or None)``, compiled."""
    value = value_of(agent)

    def act(variables: Variables, obs: Array, epsilon: Array, key: Array) -> tuple[Array, Array | None]:
        action = agent.act(variables, obs, epsilon, key)
        return action, None if value is None else value(variables, obs, action)

    return jax.jit(act)


def player_on(make_env: Callable[[int], HostEnv], act: Callable, episodes: int) -> Callable:
    """``(variables, entropy) -> returns [episodes]``: `host_returns` on environments made for each call."""
    compiled = jax.jit(act)

    def play(variables: Variables, entropy: tuple[int, ...]) -> np.ndarray:
        env = for_evaluation(make_env)(min(episodes, 16))
        try:
            return host_returns(compiled, env, variables, episodes, entropy)
        finally:
            env.close()

    return play


def nowhere(make_env: Callable[[int], HostEnv]) -> JaxEnv:
    """Stands for an environment in Python where nothing is collected: its shapes, and nothing that happens."""
    env = make_env(1)
    spec = env.spec
    env.close()
    obs = jnp.zeros(spec.obs_shape, spec.obs_dtype)
    ended = Outcome(jnp.float32(0.0), jnp.float32(0.0), obs, jnp.bool_(True))
    return JaxEnv(spec, lambda key: ((), obs), lambda key, state, action: ((), obs, ended))


def host_returns(act: Callable, env: HostEnv, variables: Variables, episodes: int, entropy: tuple[int, ...]):
    """Undiscounted returns [episodes] of `host_episodes` with an agent's own ``act``."""
    return host_episodes(lambda *given: (act(*given), None), env, variables, episodes, entropy)[0]


def host_episodes(
    act: Callable,
    env: HostEnv,
    variables: Variables,
    episodes: int,
    entropy: tuple[int, ...],
    foresight: Foresight | None = None,
) -> tuple[np.ndarray, Ledger | None]:
    """Greedy episodes on environments in Python.

    Each environment plays its share of the episodes, the same number for each seat whatever the episodes' lengths: were
    the first to end counted, short episodes would be over-represented.

    Args:
      act: of `player`.
      env: N environments.
      variables: the network's.
      episodes: how many.
      entropy: what the environments' seed is drawn from.
      foresight: judges the values in them; None leaves it.

    Returns:
      undiscounted returns [episodes], and what came of the values, None where nothing was judged.
    """
    obs = env.reset(int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1))
    share = [len(range(i, episodes, env.num_envs)) for i in range(env.num_envs)]
    running, done = np.zeros(env.num_envs), [[] for _ in range(env.num_envs)]
    key, ledger = rng.root(entropy[-1]), None
    while any(len(d) < n for d, n in zip(done, share, strict=True)):
        action, q = act(variables, obs, np.float32(0.0), key)
        obs, outcome, valid = env.step(np.asarray(action))
        score = getattr(env, "score", None) or Score(outcome.reward, outcome.last)
        ones = np.ones(env.num_envs, bool) if valid is None else valid
        if q is not None and foresight is not None:
            ledger = foresight.begin(env.num_envs) if ledger is None else ledger
            wanted = ones & [len(d) < n for d, n in zip(done, share, strict=True)]
            ledger = foresight.step(ledger, np.asarray(q), outcome.reward, outcome.last, outcome.discount, wanted)
        running += np.where(ones, score.reward, 0.0)
        if getattr(env, "lost", None) is not None:
            running[env.lost] = 0.0  # that episode is played anew
        for i in np.flatnonzero(score.over & ones):
            done[i].append(running[i])
            running[i] = 0.0
    return np.array([r for d, n in zip(done, share, strict=True) for r in d[:n]], np.float32), ledger
