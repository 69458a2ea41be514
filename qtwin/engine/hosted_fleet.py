"""Many seeds of the hosted engine, stepped together."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from qtwin import rng
from qtwin.agent import Algorithm
from qtwin.engine.hosted import hosted
from qtwin.engine.state import Tally, TrainState, keyed, unkeyed
from qtwin.envs.base import HostEnv, JaxEnv, Outcome
from qtwin.twin import distance
from qtwin.types import Clock, Variables

_distance = jax.jit(distance)


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
    ):
        self.seeds = tuple(seeds)
        self._threads = ThreadPoolExecutor(len(self.seeds), "qtwin-seed")
        self._algorithm, self._make_env, self._envs, self._overlap = algorithm, make_env, envs, overlap
        self._engines = [hosted(algorithm, make_env(envs), overlap) for _ in self.seeds]
        self._test_env = make_env(min(episodes, 16))
        self._episodes = episodes
        self._act = jax.jit(algorithm.agent.act)
        self.turn = self._engines[0].turn
        self._states = [engine.init(seed) for engine, seed in zip(self._engines, self.seeds, strict=True)]

    def compile(self) -> float:
        start = time.perf_counter()
        spare_env = self._make_env(self._envs)
        spare = hosted(self._algorithm, spare_env, self._overlap)
        state = spare.init(0)
        if self.turn.warmup_vector_steps:
            state = spare.warm_up(state, self.turn.warmup_vector_steps)
        jax.block_until_ready(spare.advance(state, 1))
        spare_env.close()
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

    def evaluate(self, count: int) -> np.ndarray:
        return np.stack(
            [
                host_returns(self._act, self._test_env, state.twin.online, self._episodes, (seed, count))
                for seed, state in zip(self.seeds, self._states, strict=True)
            ]
        )

    def variables(self, seed_index: int) -> Variables:
        return jax.tree.map(np.asarray, self._states[seed_index].twin.online)

    def snapshot(self, seed_index: int) -> TrainState:
        return jax.tree.map(np.asarray, unkeyed(self._states[seed_index]))

    def restore(self, states: list[TrainState]) -> None:
        self._states = [jax.tree.map(jnp.asarray, keyed(state)) for state in states]

    def re_make(self, boundary: int) -> None:
        self._states = [e.rejoin(s, boundary) for e, s in zip(self._engines, self._states, strict=True)]

    def close(self) -> None:
        self._threads.shutdown()
        for engine in self._engines:
            engine.close()
        self._test_env.close()


def player_on(make_env: Callable[[int], HostEnv], act: Callable, episodes: int) -> Callable:
    """``(variables, entropy) -> returns [episodes]``: `host_returns` on environments made for each call."""
    compiled = jax.jit(act)

    def play(variables: Variables, entropy: tuple[int, ...]) -> np.ndarray:
        env = make_env(min(episodes, 16))
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


def host_returns(
    act: Callable, env: HostEnv, variables: Variables, episodes: int, entropy: tuple[int, ...]
) -> np.ndarray:
    """Undiscounted returns [episodes] of greedy episodes on environments in Python.

    Each environment plays its share of the episodes, the same number for each seat whatever the episodes' lengths: were
    the first to end counted, short episodes would be over-represented.

    Args:
      act: an agent's ``act``, compiled.
      env: N environments.
      variables: the network's.
      episodes: how many.
      entropy: what the environments' seed is drawn from.
    """
    obs = env.reset(int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1))
    share = [len(range(i, episodes, env.num_envs)) for i in range(env.num_envs)]
    running, done = np.zeros(env.num_envs), [[] for _ in range(env.num_envs)]
    key = rng.root(entropy[-1])
    while any(len(d) < n for d, n in zip(done, share, strict=True)):
        obs, outcome, valid = env.step(np.asarray(act(variables, obs, np.float32(0.0), key)))
        ones = np.ones(env.num_envs, bool) if valid is None else valid
        running += np.where(ones, outcome.reward, 0.0)
        for i in np.flatnonzero(outcome.last & ones):
            done[i].append(running[i])
            running[i] = 0.0
    return np.array([r for d, n in zip(done, share, strict=True) for r in d[:n]], np.float32)
