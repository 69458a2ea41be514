"""Atari games of the Arcade Learning Environment, stepped by its own threads. Read without importing JAX.

Observations [N, 84, 84, 4] are views of what ALE hands over, [N, 4, 84, 84]: a frame, ``obs[..., k]``, lies in one
piece, and nothing is copied in an ordinary step.
"""

from __future__ import annotations

import dataclasses
import functools
import os

import numpy as np

from qtwin.envs.base import Outcome, Score
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
from qtwin.errors import Refusal, nearest, one_of
from qtwin.types import Array

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
        raise Refusal(f"unknown Atari game 'ale:{game}'{nearest(f'ale:{game}', [f'ale:{each}' for each in known])}")
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
        self._games = vector_of(spec, envs, play)
        self._lives = np.zeros(envs, np.int32)
        self._chance: np.random.Generator | None = None

    def reset(self, seed: int) -> Array:
        seeds, self._chance = chance_of(seed, self.num_envs)
        obs, info = self._games.reset(seed=seeds)
        self._lives = info["lives"]
        self.fresh, self.score = np.ones(self.num_envs, bool), None
        return newest_last(obs)

    def step(self, actions: Array) -> tuple[Array, Outcome, None]:
        self.send(actions)
        return self.recv()

    def send(self, actions: Array) -> None:
        """Begins a step of all N games, which ALE's threads take while the caller does something else."""
        actions = np.asarray(actions, np.int32)
        if self.play.epsilon:
            at_random = self._chance.random(self.num_envs) < self.play.epsilon
            drawn = self._chance.integers(self.spec.num_actions, size=self.num_envs, dtype=np.int32)
            actions = np.where(at_random, drawn, actions)
        self.executed = actions
        self._games.send(actions)

    def recv(self, then: Array | None = None) -> tuple[Array, Outcome, None]:
        """Waits for the step that `send` began; returns what ``step`` does.

        Args:
          then: actions of another step, which ALE's threads begin at once.
        """
        obs, reward, terminated, truncated, info = self._games.recv()
        if then is not None:
            self.send(then)
        over = last = terminated | truncated
        ended, lives, next_obs = terminated, info["lives"], obs
        fell = lives < self._lives
        if self.play.lives and np.count_nonzero(fell):
            # Some games go on for a while with no life left (Q*bert), and where the game is over the lives are those of
            # the next.
            lost = fell & (lives > 0) & ~over
            last, ended = over | lost, terminated | lost
        if np.count_nonzero(over):
            next_obs = obs.copy()
            next_obs[over] = info["final_obs"][over]
        self._lives, self.fresh = lives, over
        raw = reward.astype(np.float32)
        self.score = Score(raw, over)
        clips = self.play.clip and np.count_nonzero(raw)
        reward = np.minimum(np.maximum(raw, -1.0), 1.0) if clips else raw
        discount = np.subtract(1.0, ended, dtype=np.float32)
        return newest_last(obs), Outcome(reward, discount, newest_last(next_obs), last), None

    def close(self) -> None:
        self._games = None  # whose destructor waits for its threads


def vector_of(spec: EnvSpec, envs: int, play: Play, **more):
    """ALE's own vector of N games; raw rewards, and a game that is over begins anew in the same step.

    Args:
      spec: `ale_spec`'s.
      envs: N.
      play: how the games are played. Its ``lives``, ``epsilon`` and ``clip`` are `AleVector`'s affair.
      more: handed to ALE.
    """
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode

    return AtariVectorEnv(
        games()[spec.id.removeprefix("ale:")],
        envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
        num_threads=min(envs, _cores()),
        max_num_frames_per_episode=play.max_frames,
        repeat_action_probability=play.sticky,
        noop_max=play.noops + 1 if play.noops else 0,  # ALE draws a number below it
        use_fire_reset=play.fire,
        reward_clipping=False,
        **more,
    )


def chance_of(seed: int, envs: int) -> tuple[Array, np.random.Generator]:
    """What N games and the random actions among theirs draw from; seeds 0, 1, ... share nothing.

    Returns:
      the games' seeds [N] int64, and a generator.
    """
    seeds = np.random.SeedSequence(seed).generate_state(envs).astype(np.int64) >> 2
    return seeds, np.random.default_rng([seed, 1])


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
