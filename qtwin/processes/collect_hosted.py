"""PROCESS 1 for environments in Python: act, step the environments, return the transitions to be stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qtwin.envs.base import HostEnv, Outcome, Score
from qtwin.errors import Refusal
from qtwin.processes.collect import timestep
from qtwin.replay.frame_packer import Framer
from qtwin.replay.ring import Linked
from qtwin.state import Tally, World
from qtwin.types import Array, PyTree, Timestep, Variables


class Episodes:
    """Sums the returns and lengths of finished episodes on the host."""

    def __init__(self):
        self.count, self.returns, self.lengths = 0, 0.0, 0

    def add(self, returns: Array, lengths: Array) -> None:
        """Adds finished episodes: their undiscounted returns and their lengths. [E]"""
        self.count += len(returns)
        self.returns += float(returns.sum())
        self.lengths += int(lengths.sum())

    def into(self, tally: Tally) -> Tally:
        """``tally`` with these episodes added."""
        return tally._replace(
            episodes=tally.episodes + np.int32(self.count),
            returns=tally.returns + np.float32(self.returns),
            lengths=tally.lengths + np.float32(self.lengths),
        )


class Gatherer:
    """Process 1 on the host. It holds what cannot be saved: the environments, and steps left over for the next chunk.

    Ragged environments sometimes give fewer than N transitions in a vector step. The chunk is then filled from the next
    vector step, and surplus transitions are kept for the next chunk, so that every chunk has exactly the size given by
    the rates.

    Args:
      env: the environments.
      keys: ``(key, first vector step) -> (key data [K, ...], random actions [K, N])`` for the next K vector steps.
      linked: chunks are `Linked` rather than `Timestep`.
      framer: makes the chunks for a replay buffer of frames; else None.
    """

    def __init__(
        self,
        env: HostEnv,
        keys: Callable[[PyTree, Array], tuple[Array, Array]],
        linked: bool,
        framer: Framer | None = None,
    ):
        self._env, self._draw, self._linked, self._framer = env, keys, linked, framer
        self._envs, self._ragged = env.num_envs, getattr(env, "ragged", False)
        self._replaces = getattr(env, "replaces", False)
        if self._replaces and framer is not None:
            raise Refusal(
                "--env-mode async and --on-nan drop replace an environment that is lost, which a replay of single"
                f" frames cannot follow, and {env.spec.id} gives images; leave them out"
            )
        self._all = np.arange(env.num_envs)
        self._key, self._keys, self._random, self._keys_from = None, (), (), 0
        self._vector_steps = -1  # no environment has been started
        self._forget()

    @property
    def framed(self) -> bool:
        """Whether the chunks hold single frames."""
        return self._framer is not None

    def start(self, seed: int, outside: PyTree, key: PyTree) -> World:
        """Resets N environments with ``seed``.

        Args:
          seed: of the environments.
          outside: an `Outside` with the number of vector steps so far.
          key: the run's key, on the device that samples actions.
        """
        self._forget()
        self._key, self._keys, self._vector_steps = key, (), int(outside.vector_steps)
        obs = self._env.reset(seed)
        if self._framer is not None:
            self._framer.start(obs)
        return World(outside, obs, np.zeros(self._envs, np.float32), np.zeros(self._envs, np.int32))

    def gather(
        self,
        act: Callable | None,
        variables: Variables,
        world: World,
        transitions: int,
        vector_steps: int,
        episodes: Episodes,
    ) -> tuple[PyTree, World]:
        """Collects exactly ``vector_steps * N`` transitions.

        Args:
          act: ``(variables, obs [N, ...], key data, transitions [], held) -> (action [N], held)``, compiled; None acts
            at random.
          variables: of the network that acts.
          world: the environments before the first step.
          transitions: collected before. [transitions]
          vector_steps: T.
          episodes: finished episodes are added here.

        Returns:
          the chunk [T, N], a `Timestep`, a `Linked` or the framer's chunk; and the environments after the last step.

        Raises:
          ValueError: the environments do not match ``world``, or a row between the first and the last step of an
            episode is marked as not being a transition.
        """
        if int(world.env.vector_steps) != self._vector_steps:
            raise ValueError(
                f"the environments stand at vector step {self._vector_steps} and the state, another run's or a loaded"
                f" one, at {int(world.env.vector_steps)}; call rejoin(state, boundary) first"
            )
        obs, returns, lengths = np.asarray(world.obs), np.asarray(world.returns), np.asarray(world.lengths)
        wanted, held = vector_steps * self._envs, world.held
        if act is None and not self._waiting and self._framer is not None and hasattr(self._env, "play_ahead"):
            obs, returns, lengths = self._play(returns, lengths, vector_steps, episodes)
        while self._waiting < wanted:
            acted_on = obs
            if act is None:
                action = self._at_random()
            else:
                at, step = np.int32(transitions + self._waiting), self._next_step()
                action, held = act(variables, obs, self._keys[step], at, held)
                action = np.asarray(action)
            obs, outcome, valid = self._env.step(action)
            returns, lengths = self._account(outcome, valid, returns, lengths, episodes)
            self._keep(timestep(acted_on, action, outcome), outcome, valid, obs)
        outside = world.env._replace(vector_steps=np.array(self._vector_steps, np.int32))
        return self._chunk(vector_steps), World(outside, obs, returns, lengths, held)

    def _account(
        self, outcome: Outcome, valid: Array | None, returns: Array, lengths: Array, episodes: Episodes
    ) -> tuple[Array, Array]:
        """Adds one vector step to the returns and lengths of current episodes, and finished ones to ``episodes``."""
        score = getattr(self._env, "score", None) or Score(outcome.reward, outcome.last)
        if valid is not None:
            returns, lengths = returns + np.where(valid, score.reward, np.float32(0.0)), lengths + valid
        else:
            returns, lengths = returns + score.reward, lengths + np.int32(1)
        ended = score.over if valid is None else score.over & valid
        if np.count_nonzero(ended):
            episodes.add(returns[ended], lengths[ended])
            returns[ended], lengths[ended] = 0.0, 0
        if self._replaces and self._env.lost is not None:
            returns[self._env.lost], lengths[self._env.lost] = 0.0, 0
        return returns, lengths

    def _keep(self, rows: Timestep, outcome: Outcome, valid: Array | None, obs: Array) -> None:
        """Adds the transitions of one vector step to those waiting for the next chunk."""
        if self._replaces:
            rows, valid = self._one_late(rows, valid)
            if not len(rows.reward):
                return
        last = rows.last
        if valid is not None:
            rows = self._transitions_among(rows, valid)
        if self._framer is not None:
            self._framer.add(rows, self._which(valid), obs, self._fresh(outcome, valid))
        else:
            self._steps.append(rows)
        if self._linked:
            self._link(last, valid)
        self._waiting += len(rows.reward)

    def _play(
        self, returns: Array, lengths: Array, vector_steps: int, episodes: Episodes
    ) -> tuple[Array, Array, Array]:
        """Takes several vector steps of random actions at once, as these do not depend on observations.

        Returns:
          the observations to act on next, and the returns and lengths of the current episodes.
        """
        actions, frames = np.stack([self._at_random() for _ in range(vector_steps)]), self._framer.room(vector_steps)
        played = self._env.play_ahead(actions, frames)
        begin = 0
        for end in sorted({*(np.flatnonzero(played.score.over.any(axis=1)) + 1).tolist(), vector_steps}):
            returns = returns + played.score.reward[begin:end].sum(axis=0)
            lengths = lengths + np.int32(end - begin)
            ended = played.score.over[end - 1]
            episodes.add(returns[ended], lengths[ended])
            returns[ended], lengths[ended] = 0.0, 0
            begin = end
        self._framer.add_played(actions, played, frames)
        self._waiting = vector_steps * self._envs
        return played.obs, returns, lengths

    def _one_late(self, rows: Timestep, valid: Array | None) -> tuple[Timestep, Array]:
        """The previous vector step, with episodes truncated where this one lost the environment."""
        now = rows, np.ones(self._envs, bool) if valid is None else valid
        (rows, valid), self._held = self._held or (Timestep(*[column[:0] for column in rows]), now[1]), now
        if len(rows.reward) and self._env.lost is not None:
            rows = rows._replace(last=rows.last | self._env.lost)
        return rows, valid

    def _forget(self) -> None:
        self._held: tuple[Timestep, Array] | None = None
        self._steps: list[Timestep] = []
        self._behind: list[Array] = []
        self._waiting = 0
        self._running = np.zeros(self._envs, bool)
        self._newest = np.zeros(self._envs, np.int64)  # each environment's newest transition, counted from the start
        self._counted = 0

    def _next_step(self) -> int:
        """Counts one vector step; returns the index of its key and random actions among those drawn in advance."""
        at = self._vector_steps - self._keys_from
        if not 0 <= at < len(self._keys):
            self._keys_from, at = self._vector_steps, 0
            keys, actions = self._draw(self._key, np.int32(self._vector_steps))
            self._keys, self._random = np.asarray(keys), np.asarray(actions)
        self._vector_steps += 1
        return at

    def _at_random(self) -> Array:
        step = self._next_step()
        return self._random[step]

    def _transitions_among(self, rows: Timestep, valid: Array) -> Timestep:
        if not self._ragged and not valid.all():
            raise ValueError("the environments gave rows that are no transitions; their HostEnv has to say ragged=True")
        if (self._running & ~valid).any():
            raise ValueError("a row in the middle of an episode is marked as no transition; only resets may be")
        if not self._linked:
            self._running = valid & ~rows.last
        return Timestep(*[column[valid] for column in rows])

    def _which(self, valid: Array | None) -> Array:
        """Indices of the environments whose rows are transitions."""
        return self._all if valid is None else np.flatnonzero(valid)

    def _fresh(self, outcome: Outcome, valid: Array | None) -> Array:
        """Environments whose next observation starts a new frame stack. [N] bool"""
        fresh = getattr(self._env, "fresh", None)
        if fresh is not None:
            return fresh
        return np.asarray(outcome.last) if valid is None else ~valid  # a row that is not a transition is a reset

    def _link(self, last: Array, valid: Array | None) -> None:
        which = self._which(valid)
        position = self._counted + np.arange(len(which))
        self._behind.append(np.where(self._running[which], position - self._newest[which], 0).astype(np.int32))
        self._newest[which] = position
        self._counted += len(which)
        self._running = np.zeros(self._envs, bool)
        self._running[which] = ~last[which]

    def _chunk(self, vector_steps: int) -> PyTree:
        wanted = vector_steps * self._envs
        if self._framer is not None:
            self._waiting -= wanted
            return self._framer.take(wanted)

        def shaped(column: Array) -> Array:
            return column[:wanted].reshape(vector_steps, self._envs, *column.shape[1:])

        steps = (
            self._steps[0] if len(self._steps) == 1 else Timestep(*map(np.concatenate, zip(*self._steps, strict=True)))
        )
        chunk = Timestep(*map(shaped, steps))
        self._steps, self._waiting = [], self._waiting - wanted
        if self._waiting:
            self._steps = [Timestep(*[column[wanted:] for column in steps])]
        if not self._linked:
            return chunk
        behind = np.concatenate(self._behind)
        self._behind = [behind[wanted:]] if self._waiting else []
        return Linked(chunk, shaped(behind))
