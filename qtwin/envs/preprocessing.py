"""What Atari's frames go through before an agent sees them, and how papers evaluate: named choices, as plain data.

Read without importing JAX or ALE.
"""

from __future__ import annotations

import dataclasses

from qtwin.errors import one_of

ACTION_REPEAT, STACK, SIDE = 4, 4, 84  # frames behind one action, frames in one observation, pixels of its sides
HALF_HOUR = 108_000  # emulator frames at 60 a second
FIVE_MINUTES = 18_000


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a game is played while it is learned.

    Common to all: an action is repeated for 4 emulator frames, the last two of them are maximised over, in grey, and
    shrunk to 84x84 by area, and an observation is the last four of what results, zeros before a game's first.

    Attributes:
      about: the choice in words.
      noops: a game begins with up to so many emulator frames without action, from 0, a number drawn for each game.
      fire: where there is such an action, FIRE is pressed for one frame when a game begins.
      sticky: the probability, at each emulator frame, that the previous action is executed instead of the new one.
      lives: a lost life ends an episode for learning (discount 0); the game goes on, and so does the stack.
      protocol: how it is evaluated if nothing else is asked for, a key of ``PROTOCOLS``.
    """

    about: str
    noops: int
    fire: bool
    sticky: float
    lives: bool
    protocol: str


PREPROCESSINGS = {
    "nature": Preprocessing(
        "no-op starts of up to 30 frames, no sticky actions, a lost life ends an episode in training",
        noops=30, fire=False, sticky=0.0, lives=True, protocol="nature",
    ),
    "cleanrl": Preprocessing(
        "as nature, and FIRE is pressed when a game begins",
        noops=30, fire=True, sticky=0.0, lives=True, protocol="nature",
    ),
    "v5": Preprocessing(
        "sticky actions with probability 0.25, no no-ops, only the end of the game ends an episode",
        noops=0, fire=False, sticky=0.25, lives=False, protocol="machado",
    ),
}  # fmt: skip
DEFAULT = "nature"
IN_WORDS = (
    "an action is repeated for 4 emulator frames; a frame of an observation is the maximum over the last two of them,"
    " in grey, shrunk to 84x84 by area; the last four such frames stand along the last axis, the newest last, zeros"
    " before a game's first"
)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a trained policy is judged: whole games and raw rewards.

    Attributes:
      about: the choice in words.
      epsilon: the probability that an action is a random one instead of the policy's.
      max_frames: a game is stopped after so many. [emulator frames]
      noops, sticky: as of `Preprocessing`; None is as in training.
    """

    about: str
    epsilon: float
    max_frames: int
    noops: int | None = None
    sticky: float | None = None


PROTOCOLS = {
    "nature": Protocol(
        "no-op starts of up to 30 frames, epsilon 0.05, at most 18,000 frames (Mnih et al. 2015)",
        epsilon=0.05, max_frames=FIVE_MINUTES, noops=30, sticky=0.0,
    ),
    "machado": Protocol(
        "sticky actions with probability 0.25, epsilon 0.001, at most 108,000 frames (Machado et al. 2018, Dopamine)",
        epsilon=0.001, max_frames=HALF_HOUR, noops=0, sticky=0.25,
    ),
    "greedy": Protocol(
        "starts and sticky actions as in training, epsilon 0, at most 108,000 frames",
        epsilon=0.0, max_frames=HALF_HOUR,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Play:
    """All that a vector of games has to know: a `Preprocessing` in training, or one under a `Protocol`.

    Attributes:
      noops, fire, sticky, lives: as of `Preprocessing`.
      epsilon, max_frames: as of `Protocol`.
      clip: the reward that is learned from is clipped to [-1, 1].
    """

    noops: int
    fire: bool
    sticky: float
    lives: bool
    epsilon: float
    max_frames: int
    clip: bool


def training(name: str) -> Play:
    """How games are played while ``name``, a key of ``PREPROCESSINGS``, is learned from."""
    p = PREPROCESSINGS[one_of("preprocessing", name, PREPROCESSINGS)]
    return Play(p.noops, p.fire, p.sticky, p.lives, epsilon=0.0, max_frames=HALF_HOUR, clip=True)


def as_learned_from(name: str) -> str:
    """What ``name``'s transitions hold other than the game's own rewards and ends, in words."""
    clipped = "rewards are clipped to [-1, 1]"
    return f"as it is learned from: {clipped}" + (", a lost life ends an episode" if training(name).lives else "")


def evaluation(name: str, protocol: str = "") -> Play:
    """How games are played to judge what was learned under ``name``.

    Args:
      name: a key of ``PREPROCESSINGS``.
      protocol: a key of ``PROTOCOLS``; the preprocessing's own if "".
    """
    learned = training(name)
    chosen = PROTOCOLS[one_of("protocol", protocol or PREPROCESSINGS[name].protocol, PROTOCOLS)]
    return dataclasses.replace(
        learned,
        noops=learned.noops if chosen.noops is None else chosen.noops,
        sticky=learned.sticky if chosen.sticky is None else chosen.sticky,
        lives=False,
        epsilon=chosen.epsilon,
        max_frames=chosen.max_frames,
        clip=False,
    )
