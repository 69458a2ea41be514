"""Atari games of the Arcade Learning Environment, stepped by its own threads. Read without importing JAX.

Observations [N, 84, 84, 4] are views of what ALE hands over, [N, 4, 84, 84]: a frame, ``obs[..., k]``, lies in one
piece.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Sequence

import numpy as np

from qtwin.envs.base import Outcome, Played, Score
from qtwin.envs.guard import Care
from qtwin.envs.preprocessing import (
    ACTION_REPEAT,
    DEFAULT,
    HALF_HOUR,
    PREPROCESSINGS,
    SIDE,
    STACK,
    Play,
    evaluation,
    training,
)
from qtwin.envs.spec import EnvSpec
from qtwin.envs.spelling import nearest_env
from qtwin.errors import Refusal, one_of
from qtwin.types import Array

GROUP = 4  # games in a vector of ALE's, at least: each call takes as long as a tenth of a game's step
SEVERAL_PLAYERS = ("combat", "joust", "maze_craze", "warlords")  # ALE knows no game for one in these


def games() -> dict[str, str]:
    """ALE's games: the name to write, ``MsPacman``, and the ROM's, ``ms_pacman``.

    Raises:
      Refusal: ale-py is missing.
    """
    try:
        from ale_py import roms
    except ImportError:
        raise Refusal("Atari needs ale-py, which is not installed; write pip install 'qtwin[atari]'") from None
    return {rom.title().replace("_", ""): rom for rom in sorted(roms.get_all_rom_ids()) if rom not in SEVERAL_PLAYERS}


def ale_spec(game: str, preprocessing: str = "") -> EnvSpec:
    """What an agent may know of an Atari game.

    Args:
      game: ``Pong``, ``MsPacman``; the ROM's own name, ``ms_pacman``, is taken too.
      preprocessing: a key of `qtwin.envs.preprocessing.PREPROCESSINGS`; ``nature`` if "".

    Raises:
      Refusal: ale-py is missing, or there is no such game or preprocessing.
    """
    one_of("preprocessing", preprocessing or DEFAULT, PREPROCESSINGS)
    known = games()
    names = {rom: name for name, rom in known.items()}
    name = names.get(game, game)
    if name not in known:
        raise Refusal(f"unknown Atari game 'ale:{game}'{nearest_env(f'ale:{game}', [f'ale:{each}' for each in known])}")
    return EnvSpec(
        f"ale:{name}",
        (SIDE, SIDE, STACK),
        "uint8",
        _actions(known[name]),
        time_limit=HALF_HOUR // ACTION_REPEAT,
        frames_per_transition=ACTION_REPEAT,
        stack=STACK,
        preprocessing=preprocessing or DEFAULT,
        engine="hosted",
    )


@dataclasses.dataclass(frozen=True)
class AleMaker:
    """``envs -> AleVector``, and the same for evaluation (`qtwin.envs.base.for_evaluation`).

    Attributes:
      spec: the game and its preprocessing.
      protocol: how it is evaluated, a key of `qtwin.envs.preprocessing.PROTOCOLS`; the preprocessing's own if "".
    """

    spec: EnvSpec
    protocol: str = ""

    def __call__(self, envs: int) -> AleVector:
        """N games to learn from."""
        return AleVector(self.spec, envs, training(self.spec.preprocessing))

    def evaluation(self, envs: int) -> AleVector:
        """N games to be judged on."""
        return AleVector(self.spec, envs, evaluation(self.spec.preprocessing, self.protocol))


def ale_make(spec: EnvSpec, name: str, care: Care) -> AleMaker:
    """``envs -> HostEnv`` for an Atari game; ALE's own vectors need no care."""
    del name, care
    return AleMaker(spec)


class AleVector:
    """N games of one kind as a `HostEnv`.

    A lost life ends an episode where `Play.lives` asks for it and nothing else happens: the game goes on, the next
    observation is the ordinary one, and the stack runs on, as in DQN Zoo (``fresh`` is true where a game began).

    Args:
      spec: `ale_spec`'s.
      envs: N.
      play: how the games are played.
    """

    def __init__(self, spec: EnvSpec, envs: int, play: Play):
        self.spec, self.num_envs, self.play = spec, envs, play
        self.fresh: Array | None = None
        self.score: Score | None = None
        self.executed: Array | None = None  # the actions of the last step, with the random ones among them
        self._groups = [(part, vector_of(spec, part.stop - part.start, play, threads)) for part, threads in parts(envs)]
        self._lives = np.zeros(envs, np.int32)
        self._chance: np.random.Generator | None = None

    def reset(self, seed: int) -> Array:
        seeds, self._chance = chance_of(seed, self.num_envs)
        obs, infos = zip(*[games.reset(seed=seeds[part]) for part, games in self._groups], strict=True)
        self._lives = _one([info["lives"] for info in infos])
        self.fresh, self.score = np.ones(self.num_envs, bool), None
        return newest_last(_one(obs))

    def step(self, actions: Array) -> tuple[Array, Outcome, None]:
        self.executed = self._with_chance(actions)
        for part, games in self._groups:
            games.send(self.executed[part])
        came = [games.recv() for _, games in self._groups]
        obs, reward, terminated, truncated = (_one([each[k] for each in came]) for k in range(4))
        over, lives, next_obs = terminated | truncated, _one([each[4]["lives"] for each in came]), obs
        if np.count_nonzero(over):
            next_obs = obs.copy()
            for (part, _), (*_, info) in zip(self._groups, came, strict=True):
                if np.count_nonzero(over[part]):
                    next_obs[part][over[part]] = info["final_obs"][over[part]]
        reward, discount, last, self.score = self._meaning(reward, terminated, over, lives < self._lives, lives)
        self._lives, self.fresh = lives, over
        return newest_last(obs), Outcome(reward, discount, newest_last(next_obs), last), None

    def play_ahead(self, actions: Array, frames: Array) -> Played:
        """T steps with known actions: each group's threads begin the next before anything is done about the last, and
        no group waits for another.

        Args:
          actions: [T, N]
          frames: where the newest frame of each ``next_obs`` is written. [T, N, 84, 84, 1]
        """
        steps = len(actions)
        columns = [np.empty((steps, self.num_envs), dtype) for dtype in (np.float32, bool, bool, np.int32)]
        reward, terminated, over, lives = columns
        newest, begun = np.empty((self.num_envs, STACK, SIDE, SIDE), np.uint8), {}
        actions = np.stack([self._with_chance(each) for each in actions])
        for part, games in self._groups:
            games.send(actions[0, part])
        for t in range(steps):
            for part, games in self._groups:
                obs, reward[t, part], terminated[t, part], truncated, info = games.recv()
                if t + 1 < steps:
                    games.send(actions[t + 1, part])
                lives[t, part], over[t, part] = info["lives"], terminated[t, part] | truncated
                frames[t, part, ..., 0] = obs[:, -1]
                ended = over[t, part]
                if np.count_nonzero(ended):
                    frames[t, part][ended, ..., 0] = info["final_obs"][ended, -1]
                    begun.setdefault(t, np.zeros_like(newest))[part] = obs
                if t + 1 == steps:
                    newest[part] = obs
        before = np.concatenate([self._lives[None], lives[:-1]])
        reward, discount, last, score = self._meaning(reward, terminated, over, lives < before, lives)
        self._lives, self.fresh, self.executed = lives[-1], over[-1], actions[-1]
        self.score = Score(score.reward[-1], score.over[-1])
        begun = {t: (newest_last(obs), over[t]) for t, obs in begun.items()}
        return Played(newest_last(newest), reward, discount, last, score, begun)

    def _with_chance(self, actions: Array) -> Array:
        """The actions of one step, with the random ones among them. [N] int32"""
        actions = np.asarray(actions, np.int32)
        if not self.play.epsilon:
            return actions
        at_random = self._chance.random(self.num_envs) < self.play.epsilon
        drawn = self._chance.integers(self.spec.num_actions, size=self.num_envs, dtype=np.int32)
        return np.where(at_random, drawn, actions)

    def _meaning(
        self, reward: Array, terminated: Array, over: Array, fell: Array, lives: Array
    ) -> tuple[Array, Array, Array, Score]:
        """What is learned from a step, its reward, discount and end, and its score. All [N] or [T, N].

        Args:
          reward: the game's own.
          terminated: the game ended, not cut off.
          over: it ended or was cut off.
          fell: there are fewer lives than before the step.
          lives: after it.
        """
        last, ended = over, terminated
        if self.play.lives and np.count_nonzero(fell):
            # Some games go on for a while with no life left (Q*bert), and where the game is over the lives are those of
            # the next.
            lost = fell & (lives > 0) & ~over
            last, ended = over | lost, terminated | lost
        raw = reward.astype(np.float32)
        clips = self.play.clip and np.count_nonzero(raw)
        learned = np.minimum(np.maximum(raw, -1.0), 1.0) if clips else raw
        return learned, np.subtract(1.0, ended, dtype=np.float32), last, Score(raw, over)

    def close(self) -> None:
        self._groups = []  # whose destructors wait for their threads


def vector_of(spec: EnvSpec, envs: int, play: Play, threads: int = 0, **more):
    """ALE's own vector of N games; raw rewards, and a game that is over begins anew in the same step.

    Args:
      spec: `ale_spec`'s.
      envs: N.
      play: how the games are played. Its ``lives``, ``epsilon`` and ``clip`` are `AleVector`'s affair.
      threads: that step them; one for each core, and no more than games, if 0.
      more: handed to ALE.
    """
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode

    return AtariVectorEnv(
        games()[spec.id.removeprefix("ale:")],
        envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
        num_threads=threads or min(envs, _cores()),
        max_num_frames_per_episode=play.max_frames,
        repeat_action_probability=play.sticky,
        noop_max=play.noops + 1 if play.noops else 0,  # ALE draws a number below it
        use_fire_reset=play.fire,
        reward_clipping=False,
        **more,
    )


def parts(envs: int) -> list[tuple[slice, int]]:
    """How N games are shared out to vectors of ALE, and how many threads each has.

    A vector gives its games' steps all at once, so whatever takes a core from one of its threads keeps the others
    waiting; several small ones wait only for themselves. Which game draws what does not depend on it.
    """
    cores = _cores()
    count = max(1, min(cores, envs // GROUP))
    bounds = [envs * k // count for k in range(count + 1)]
    sizes = itertools.pairwise(bounds)
    return [(slice(start, stop), max(1, min(stop - start, cores // count))) for start, stop in sizes]


def chance_of(seed: int, envs: int) -> tuple[Array, np.random.Generator]:
    """What N games and the random actions among theirs draw from; seeds 0, 1, ... share nothing.

    Returns:
      the games' seeds [N] int64, and a generator.
    """
    seeds = np.random.SeedSequence(seed).generate_state(envs).astype(np.int64) >> 2
    return seeds, np.random.default_rng([seed, 1])


def _one(pieces: Sequence[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def newest_last(obs: Array) -> Array:
    """A view [N, 84, 84, 4] of ALE's [N, 4, 84, 84]."""
    return obs.transpose(0, 2, 3, 1)


@functools.lru_cache
def _actions(rom: str) -> int:
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)  # else it says its name whenever a game is loaded
    ale = ALEInterface()
    ale.loadROM(roms.get_rom_path(rom))
    return len(ale.getMinimalActionSet())


def _cores() -> int:
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known else os.cpu_count() or 1
