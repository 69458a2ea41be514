"""The small languages of the options, read and checked without importing JAX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from qtwin.config.config import Config
from qtwin.errors import Refusal, nearest, one_of

if TYPE_CHECKING:
    from qtwin.envs.spec import EnvSpec

LOSS_NAMES = {
    "huber": "Huber loss: half the squared error up to 1, then linear (Nature DQN)",
    "mse": "mean squared TD error (CleanRL)",
    "half-mse": "half of it, whose gradient is the TD error (Watkins)",
    "cross-entropy": "cross-entropy to the target distribution (c51, rainbow, hl_gauss)",
}
INIT_NAMES = {
    "lecun": "normal kernels with variance 1 / inputs, zero biases (Flax default)",
    "torch": "uniform kernels and biases within 1 / sqrt(inputs) (PyTorch default)",
    "sparse": "as torch, but nine in ten weights of each unit are 0; zero biases (Elsayed 2024)",
}
NORMALISE_NAMES = {
    "none": "no normalisation",
    "running": "by the running mean and standard deviation of all training observations, saved with the network",
}


OPTIMISERS = ("adam", "radam", "sgd", "rmsprop")


class OptimiserChoice(NamedTuple):
    """An optimiser's name, read.

    Attributes:
      kind: "adam", "radam", "sgd" or "rmsprop".
      eps: epsilon.
      inside: whether RMSProp's epsilon stands inside the square root.
      b1: Adam's decay of the first moment.
    """

    kind: str
    eps: float
    inside: bool = True
    b1: float = 0.9


def optimiser_choice(spec: str) -> OptimiserChoice:
    """Reads ``adam[:EPS[:B1]]``, ``radam[:EPS]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]``."""
    kind, *rest = spec.split(":")
    if kind not in OPTIMISERS:
        raise Refusal(f"unknown optimiser '{spec}'{nearest(kind, OPTIMISERS)}")
    if len(rest) > {"adam": 2, "radam": 1, "sgd": 0, "rmsprop": 2}[kind]:
        raise Refusal(
            f"an optimiser is written adam[:EPS[:B1]], radam[:EPS], sgd or rmsprop[:EPS[:inside|outside]], not"
            f" '{spec}'; write for example rmsprop:0.01:outside"
        )
    eps = {"adam": 1e-8, "radam": 1e-8, "sgd": 0.0, "rmsprop": 0.01}[kind]
    if rest:
        eps = _positive(rest[0], f"the epsilon of '{spec}' is a positive number, not '{rest[0]}'; write adam:1e-8")
    if kind == "adam":
        b1 = 0.9 if len(rest) < 2 else _positive(rest[1], "", zero=True)
        if b1 is None or b1 >= 1:
            raise Refusal(f"Adam's B1 is at least 0 and below 1, not '{rest[1]}' as in '{spec}'; write adam:1e-8:0.9")
        return OptimiserChoice(kind, eps, b1=b1)
    where = rest[1] if len(rest) > 1 else "inside"
    if where not in ("inside", "outside"):
        raise Refusal(
            f"the epsilon of RMSProp is 'inside' or 'outside' the square root, not '{where}'"
            f"{nearest(where, ['inside', 'outside'])}"
        )
    return OptimiserChoice(kind, eps, where == "inside")


AFTER_WARMUP = "after-warmup"


class ExploreChoice(NamedTuple):
    """An exploration schedule, read.

    Attributes:
      start, end: epsilon to begin with and at the end.
      over: transitions over which it goes from one to the other; 0 where it is constant. [transitions]
      after_warmup: it begins to fall where the warm-up ends, else with the first transition.
      shared: ``over`` is a share of the budget.
    """

    start: float
    end: float
    over: int
    after_warmup: bool = False
    shared: bool = False


def explore_choice(spec: str, steps: int) -> ExploreChoice:
    """Reads ``START:END:OVER[:after-warmup]`` or one constant epsilon.

    Args:
      spec: OVER is in transitions, or a share of the budget, ``50%``.
      steps: the budget that it is a share of. [transitions]
    """
    example = "write for example 1:0.05:50% or 0.1"
    parts = spec.split(":")
    after = len(parts) == 4
    if after and parts[3] != AFTER_WARMUP:
        raise Refusal(
            f"after START:END:OVER the only option is {AFTER_WARMUP}, not '{parts[3]}' as in '{spec}'"
            f"{nearest(parts[3], [AFTER_WARMUP])}"
        )
    if len(parts) not in (1, 3, 4):
        raise Refusal(
            f"exploration is written START:END:OVER[:{AFTER_WARMUP}] or as one number, not '{spec}'; {example}"
        )
    ends = []
    for part in parts[:2]:
        value = _positive(part, "", zero=True)
        if value is None or value > 1:
            raise Refusal(f"epsilon is a number between 0 and 1, not '{part}' as in '{spec}'; {example}")
        ends.append(value)
    if len(parts) == 1:
        return ExploreChoice(ends[0], ends[0], 0)
    over = parts[2]
    share = over.endswith("%")
    value = _positive(over.rstrip("%").replace("_", ""), "", zero=True)
    if value is None or (share and value > 100) or (not share and value != int(value)):
        raise Refusal(
            f"epsilon falls over a whole number of transitions or a share of the budget, not '{over}' as in"
            f" '{spec}'; {example}"
        )
    return ExploreChoice(*ends, int(steps * value / 100) if share else int(value), after, share)


def smoothing_choice(spec: str) -> tuple[float, float]:
    """Reads ``SIGMA:CLIP``, the noise on the target policy's action."""
    sigma, _, clip = spec.partition(":")
    read = [_positive(part, "", zero=True) for part in (sigma, clip)]
    if None in read:
        raise Refusal(f"target smoothing is written SIGMA:CLIP, two numbers of at least 0, not '{spec}'; write 0.2:0.5")
    return read[0], read[1]


def temperature_choice(spec: str) -> tuple[float, bool]:
    """Reads ``auto``, ``auto:START`` or one number.

    Returns:
      the temperature to begin with, and whether it is learned.
    """
    word, _, start = spec.partition(":")
    learned = word == "auto"
    value = 1.0 if spec == "auto" else _positive(start if learned else spec, "", zero=not learned)
    if value is None:
        raise Refusal(f"the temperature is auto, auto:START or a number of at least 0, not '{spec}'; write auto or 0.2")
    return value, learned


def target_entropy_choice(spec: str, env: EnvSpec) -> float:
    """Reads ``auto`` or a number. [nats]

    ``auto`` is minus the size of the action (Haarnoja et al. 2018b, appendix D), and where actions are discrete 0.98 of
    the greatest entropy there is (Christodoulou 2019, appendix).
    """
    if spec == "auto":
        return -float(env.action_shape[0]) if env.continuous else 0.98 * math.log(max(env.num_actions, 2))
    try:
        value = float(spec)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refusal(f"the target entropy is auto or a number, not '{spec}'; write --target-entropy auto")
    return value


def support_choice(spec: str) -> tuple[float, float]:
    """Reads ``VMIN:VMAX``."""
    ends = [_number(part) for part in spec.split(":")]
    if len(ends) != 2 or None in ends or ends[0] >= ends[1]:
        raise Refusal(
            f"the support is written VMIN:VMAX with VMIN smaller than VMAX, not '{spec}'; write --support=-10:10"
        )
    return ends[0], ends[1]


def prioritise_choice(spec: str) -> tuple[float, float, float]:
    """Reads ``ALPHA:BETA`` or ``ALPHA:START:END``, BETA going from START to END over the run; END is 1 if left out."""
    parts = spec.split(":")
    read = [_positive(part, "", zero=True) for part in parts]
    if len(parts) not in (2, 3) or None in read or max(read) > 1:
        raise Refusal(
            f"prioritised replay is written ALPHA:BETA or ALPHA:START:END, numbers between 0 and 1, not '{spec}'; write"
            " --prioritise 0.6:0.4"
        )
    return read[0], read[1], read[2] if len(read) > 2 else 1.0


class SelfPredictChoice(NamedTuple):
    """A self-predictive method, with what stands in its paper.

    Attributes:
      what: the method in words.
      target: how the reference's encoder follows.
      weight: of the loss beside the Q loss.
      rolls: a transition model rolls the latent forward.
    """

    what: str
    target: str
    weight: float
    rolls: bool = True


SELF_PREDICT = {
    "simsiam": SelfPredictChoice(
        "future latents predicted, the reference from the online encoder behind a stop-gradient (SPR with augmentation,"
        " Schwarzer 2021)", "tied", 2.0,
    ),
    "byol": SelfPredictChoice(
        "the same, the reference from an encoder that follows softly (SPR without augmentation)", "soft:0.01", 2.0
    ),
    "curl": SelfPredictChoice(
        "two views of one observation told from the batch's others, no model (CURL, Laskin 2020)", "soft:0.001", 1.0,
        rolls=False,
    ),
}  # fmt: skip


def self_predict_choice(c: Config) -> SelfPredictChoice:
    """The method that ``c.self_predict`` names, with the target and the weight that ``c`` has for it."""
    named = SELF_PREDICT[one_of("self-predictive loss", c.self_predict, SELF_PREDICT)]
    return named._replace(target=c.self_predict_target or named.target, weight=c.self_predict_weight or named.weight)


def sequence_steps(c: Config) -> int:
    """Steps that a batch needs beside each transition: K where a latent is rolled forward, else 0. [transitions]"""
    return c.self_predict_steps if c.self_predict and self_predict_choice(c).rolls else 0


def augment_choice(spec: str) -> int:
    """Reads ``none`` or ``shift:PIXELS``; returns the pixels, 0 for none."""
    if spec == "none":
        return 0
    kind, _, pixels = spec.partition(":")
    if kind != "shift":
        raise Refusal(f"unknown augmentation '{spec}'{nearest(kind, ['none', 'shift:4'])}")
    if not pixels.isdigit() or int(pixels) < 1:
        raise Refusal(f"the augmentation 'shift' takes a number of pixels of at least 1, not '{spec}'; write shift:4")
    return int(pixels)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _positive(text: str, complaint: str, zero: bool = False) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and (value > 0 or (zero and value == 0)):
        return value
    if complaint:
        raise Refusal(complaint)
    return None
