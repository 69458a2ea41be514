"""Settings that only some agents have. Read without importing JAX.

Each is an option of the command line, in a group named after its agents. It is stored in ``config.json`` beside the
settings that all agents share, and the agent's module reads it as ``c.NAME``.
"""

from __future__ import annotations

import dataclasses

from qtwin.config import option_specs
from qtwin.config.config import setting

MANY = 100_000  # most outputs per action that a network may have
_NET = "network of the actor"
_RATE = "learning rate of the actor; 0 is that of the critics"
_EVERY = "critic updates per actor update (policy delay) [gradient steps]"
_QUANTILES = "number of quantiles per critic or action (iqn: fractions sampled per loss)"
_CRITICS = "number of critics"

# Runs of earlier versions hold all of these with these values, whatever their agent.
OF_EVERY_AGENT = {
    "trace": 0.0, "reward_scale": 1.0, "atoms": 51, "support": "-10:10", "sigma": 0.75, "actor_net": "", "critics": 2,
    "subset": 0, "actor_learning_rate": 0.0, "actor_every": 1, "smoothing": "0:0", "temperature": "auto",
    "target_entropy": "auto", "quantiles": 25, "drop": 2, "anneal": False,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Nothing:
    """For agents without settings of their own."""


@dataclasses.dataclass(frozen=True)
class Atoms:
    """Values as categorical distributions over evenly spaced atoms, nearly uniform at the start."""

    atoms: int = setting(51, "K", "number of atoms, or classes, of the value distribution", least=2, most=MANY)
    support: str = setting(
        "-10:10",
        "VMIN:VMAX",
        "range of the atoms; initial values are near its centre",
        read=option_specs.support_choice,
    )


@dataclasses.dataclass(frozen=True)
class Classes(Atoms):
    """Values as classes; the target is smoothed over neighbouring classes."""

    sigma: float = setting(0.75, "S", "standard deviation of the target's Gaussian, in class widths")


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """Quantiles of the return per action, or fractions sampled per loss."""

    quantiles: int = setting(200, "N", _QUANTILES, least=1, most=MANY)


@dataclasses.dataclass(frozen=True)
class Trace:
    """Lambda-returns, and the scale of the rewards in them."""

    trace: float = setting(0.0, "LAMBDA", "lambda of the lambda-return or the eligibility trace", least=0.0, most=1.0)
    reward_scale: float = setting(
        1.0, "FACTOR", "reward scale; 0 divides by the running standard deviation of the return (stream_q)"
    )


@dataclasses.dataclass(frozen=True)
class Epochs(Trace):
    """Several epochs over the transitions of a cycle."""

    anneal: bool = setting(False, "YES", "yes anneals the learning rate linearly to 0 over the run")


@dataclasses.dataclass(frozen=True)
class Actor:
    """An actor beside the critic. Empty and 0 mean the critic's own value."""

    actor_net: str = setting("", "NET", _NET)
    actor_learning_rate: float = setting(0.0, "RATE", _RATE)
    actor_every: int = setting(1, "N", _EVERY, least=1)


@dataclasses.dataclass(frozen=True)
class Smoothed(Actor):
    """Several critics and target policy smoothing. The noise is in units of half the action range."""

    critics: int = setting(2, "N", _CRITICS, least=1, most=1_000)
    smoothing: str = setting(
        "0:0",
        "SIGMA:CLIP",
        "target policy smoothing: standard deviation and clip of the noise, in half action ranges",
        read=option_specs.smoothing_choice,
    )


@dataclasses.dataclass(frozen=True)
class Soft(Actor):
    """A maximum-entropy actor. The temperature is learned (``auto``, ``auto:START``) or fixed to a number.

    The target entropy ``auto`` is minus the number of action dimensions; for discrete actions, 0.98 of the maximum
    entropy.
    """

    critics: int = setting(2, "N", _CRITICS, least=1, most=1_000)
    temperature: str = setting(
        "auto",
        "ALPHA",
        "entropy coefficient alpha: auto or auto:START (learned), or a fixed number",
        read=option_specs.temperature_choice,
    )
    target_entropy: str = setting("auto", "H", "target entropy of a learned temperature: auto or a number [nats]")


@dataclasses.dataclass(frozen=True)
class Few(Soft):
    """A target over a random subset of the critics."""

    subset: int = setting(0, "M", "size of the random subset of critics that the target minimises over; 0 is all")


@dataclasses.dataclass(frozen=True)
class Truncated(Soft):
    """Quantile critics whose top quantiles are dropped from the target."""

    quantiles: int = setting(25, "N", _QUANTILES, least=1, most=MANY)
    drop: int = setting(2, "N", "top quantiles dropped per critic")
