"""How a TD target uses the target network, and what holds the online one back, by name. Read without importing JAX."""

from __future__ import annotations

import math
from typing import NamedTuple

from qtwin.errors import Refusal, nearest

# name: (how it is written, what it does)
BOOTSTRAPS = {
    "max": ("max", "r + gamma max_a Qbar(s', a): the target network chooses and values (Mnih 2015)"),
    "double": ("double", "r + gamma Qbar(s', argmax_a Q(s', a)): the online network chooses (van Hasselt 2016)"),
    "inverse-double": (
        "inverse-double",
        "r + gamma Q(s', argmax_a Qbar(s', a)): the target network chooses, the online one values (van Hasselt 2018)",
    ),
    "online": ("online", "r + gamma max_a Q(s', a) behind a stop-gradient: the target network is not used (a control)"),
    "minto": ("minto", "r + gamma max_a min(Q, Qbar)(s', a): the more cautious of the two (Hendawy 2025)"),
    "minto:max": ("minto:max", "r + gamma max_a max(Q, Qbar)(s', a) (minto's control)"),
    "minto:mean": ("minto:mean", "r + gamma max_a (Q + Qbar)(s', a) / 2 (minto's control)"),
    "minto:random": ("minto:random", "r + gamma max_a of Q or of Qbar, by the toss of a coin (minto's control)"),
    "maxmin": ("maxmin:K", "r + gamma max_a min_k Qbar_k(s', a) over K networks that learn side by side (Lan 2020)"),
    "mellowmax": (
        "mellowmax:W",
        "r + gamma log(mean_a exp(W Qbar(s', a))) / W, a soft maximum; with --target tied DeepMellow (Kim 2019)",
    ),
    "munchausen": (
        "munchausen[:ALPHA:TAU:L0]",
        "r + alpha clip(tau log pi(a|s), l0, 0) + gamma sum_a pi (Qbar - tau log pi)(s', a) (Vieillard 2020)",
    ),
    "residual": ("residual", "r + gamma max_a Q(s', a) with no stop-gradient at all (Baird 1995, a control)"),
}
REGULARISERS = {
    "none": ("none", "nothing beside the TD error"),
    "functional": (
        "functional:KAPPA",
        "loss + (KAPPA / 2) mean (Q - Qbar)(s, a)^2; with --bootstrap online the target only holds back (Piche 2021)",
    ),
    "proximal": ("proximal:C", "loss + |theta - thetabar|^2 / (2 C): not far from the target (DQN Pro, Asadi 2022)"),
}


class Bootstrap(NamedTuple):
    """A way to bootstrap, read.

    Attributes:
      kind: a key of ``BOOTSTRAPS``.
      networks: that learn side by side; 1 for all but ``maxmin``.
      numbers: what stood after the name.
    """

    kind: str
    networks: int = 1
    numbers: tuple[float, ...] = ()


class Regulariser(NamedTuple):
    """A regulariser, read: a key of ``REGULARISERS`` and its number."""

    kind: str
    strength: float = 0.0


def parse(spec: str) -> Bootstrap:
    """Reads ``max``, ``double``, ``maxmin:4``, ``mellowmax:5``, ``munchausen:0.9:0.03:-1``, ... (`BOOTSTRAPS`)."""
    name, colon, rest = spec.partition(":")
    if spec in BOOTSTRAPS and name not in ("maxmin", "mellowmax"):
        return Bootstrap(spec)
    match name:
        case "maxmin":
            if not rest.isdigit() or not 2 <= int(rest) <= 100:
                raise Refusal(
                    f"maxmin:K takes the smallest of K networks and needs a whole number K from 2 to 100, not '{rest}';"
                    " write for example maxmin:4"
                )
            return Bootstrap(name, int(rest))
        case "mellowmax":
            sharpness = _number(rest)
            if sharpness is None or sharpness <= 0:
                raise Refusal(
                    f"mellowmax:W needs a number W greater than 0 (small is the mean, large the maximum), not '{rest}';"
                    " write for example mellowmax:5"
                )
            return Bootstrap(name, numbers=(sharpness,))
        case "munchausen":
            numbers = tuple(_number(text) for text in rest.split(":"))
            sound = len(numbers) == 3 and None not in numbers
            if not sound or not (0 <= numbers[0] <= 1 and numbers[1] > 0 >= numbers[2]):
                raise Refusal(
                    "munchausen:ALPHA:TAU:L0 needs ALPHA between 0 and 1, TAU greater than 0 and L0 of at most 0, not"
                    f" '{spec}'; write munchausen, which is munchausen:0.9:0.03:-1"
                )
            return Bootstrap(name, numbers=numbers)
    if name in BOOTSTRAPS and colon:
        controls = [control for control in BOOTSTRAPS if control.startswith(f"{name}:")]
        ending = nearest(spec, controls) if controls else f"; write {name}"
        raise Refusal(f"the way to bootstrap '{name}' takes no '{rest}'{ending}")
    raise Refusal(f"unknown way to bootstrap '{spec}'{nearest(name, BOOTSTRAPS)}")


def parse_regulariser(spec: str) -> Regulariser:
    """Reads ``none``, ``functional:KAPPA`` or ``proximal:C``."""
    name, _, rest = spec.partition(":")
    if name not in REGULARISERS:
        raise Refusal(f"unknown regulariser '{spec}'{nearest(name, REGULARISERS)}")
    if name == "none":
        if rest:
            raise Refusal(f"the regulariser 'none' takes no number, and '{spec}' came; write none")
        return Regulariser(name)
    strength = _number(rest)
    if strength is None or strength <= 0:
        example = {"functional": "functional:0.5", "proximal": "proximal:10"}[name]
        raise Refusal(f"{REGULARISERS[name][0]} needs a number greater than 0, not '{rest}'; write {example}")
    return Regulariser(name, strength)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
