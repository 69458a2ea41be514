"""What only some agents can be told: each record's own settings. Read without importing JAX.

Each is an option of the command line, in a group of its agents' names, stands in ``config.json`` beside the settings of
every agent, and reaches the agent's screen as ``c.NAME``.
"""

from __future__ import annotations

import dataclasses

from qtwin.config import option_specs
from qtwin.config.config import setting

MANY = 100_000  # numbers that a network gives for an action, at most
_NET = "the actor's network, where that differs"
_RATE = "the actor's learning rate, where that differs"
_EVERY = "gradient steps of the critics for each of the actor"

# What every run held of these, whatever its agent, before each agent had settings of its own.
OF_EVERY_AGENT = {
    "trace": 0.0, "reward_scale": 1.0, "atoms": 51, "support": "-10:10", "sigma": 0.75, "actor_net": "", "critics": 2,
    "subset": 0, "actor_learning_rate": 0.0, "actor_every": 1, "smoothing": "0:0", "temperature": "auto",
    "target_entropy": "auto", "quantiles": 25, "drop": 2, "anneal": False,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Nothing:
    """Of an agent that has no settings of its own."""


@dataclasses.dataclass(frozen=True)
class Atoms:
    """A value as a distribution over evenly spaced atoms, which are about equally likely at first."""

    atoms: int = setting(51, "K", "atoms or classes of a value's distribution", least=2, most=MANY)
    support: str = setting(
        "-10:10", "VMIN:VMAX", "what they range over; values begin near its middle", read=option_specs.support_choice
    )


@dataclasses.dataclass(frozen=True)
class Classes(Atoms):
    """A value as a class, its target spread over those beside it."""

    sigma: float = setting(0.75, "S", "spread of a target, in widths of a class")


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """The quantiles of an action's value, or how many of them are drawn for a loss."""

    quantiles: int = setting(
        200, "N", "quantiles of each critic or action, or fractions drawn for a loss", least=1, most=MANY
    )


@dataclasses.dataclass(frozen=True)
class Trace:
    """Returns of more than one step, lambda, and what rewards are multiplied by where they are learned from."""

    trace: float = setting(0.0, "LAMBDA", "how much of what comes later counts in a return", least=0.0, most=1.0)
    reward_scale: float = setting(1.0, "FACTOR", "of rewards; 0 is by their running deviation (stream_q)")


@dataclasses.dataclass(frozen=True)
class Epochs(Trace):
    """A cycle's transitions learned from in passes."""

    anneal: bool = setting(False, "YES", "yes lets the learning rate fall to 0 over the run")


@dataclasses.dataclass(frozen=True)
class Actor:
    """An actor beside the critic. Empty and 0 are as the critic has it."""

    actor_net: str = setting("", "NET", _NET)
    actor_learning_rate: float = setting(0.0, "RATE", _RATE)
    actor_every: int = setting(1, "N", _EVERY, least=1)


@dataclasses.dataclass(frozen=True)
class Smoothed(Actor):
    """Twin critics and a smoothed target policy. The noise is in units of half the action's range."""

    critics: int = setting(2, "N", "critics in the ensemble", least=1, most=1_000)
    smoothing: str = setting(
        "0:0", "SIGMA:CLIP", "noise on the target policy's action", read=option_specs.smoothing_choice
    )


@dataclasses.dataclass(frozen=True)
class Soft(Actor):
    """An actor paid for its entropy: the weight of that bonus is learned (``auto``, ``auto:START``) or one number.

    ``auto`` of the target entropy is minus the size of the action, and 0.98 of the greatest where actions are discrete.
    """

    critics: int = setting(2, "N", "critics in the ensemble", least=1, most=1_000)
    temperature: str = setting(
        "auto", "ALPHA", "of the entropy bonus: auto, auto:START or a number", read=option_specs.temperature_choice
    )
    target_entropy: str = setting("auto", "H", "that a learned temperature keeps to: auto or a number [nats]")


@dataclasses.dataclass(frozen=True)
class Few(Soft):
    """A target over a few of many critics."""

    subset: int = setting(0, "M", "critics, drawn at random, that a target takes the smallest of; 0 is all")


@dataclasses.dataclass(frozen=True)
class Truncated(Soft):
    """Critics of quantiles, of which the largest are left out of a target."""

    quantiles: int = setting(
        25, "N", "quantiles of each critic or action, or fractions drawn for a loss", least=1, most=MANY
    )
    drop: int = setting(2, "N", "quantiles left out at the top, for each critic")
