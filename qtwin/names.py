"""The small languages of the options, read and checked without importing JAX."""

from __future__ import annotations

import math

from qtwin.errors import Refusal, nearest

LOSS_NAMES = {
    "huber": "half the square up to 1, then linear (Nature DQN)",
    "mse": "the mean squared TD error (CleanRL)",
    "half-mse": "half of it, whose gradient is the TD error (Watkins)",
}
INIT_NAMES = {
    "lecun": "kernels normal with variance 1 / inputs, biases 0 (Flax's own)",
    "torch": "kernels and biases uniform within 1 / sqrt(inputs) (torch's own)",
}
BOOTSTRAP_NAMES = {
    "max": "r + gamma max_a Qbar(s', a)",
    "double": "r + gamma Qbar(s', argmax_a Q(s', a)) (van Hasselt 2016)",
}


def optimiser_choice(spec: str) -> tuple[str, float, bool]:
    """Reads ``adam[:EPS]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]``.

    Returns:
      the kind, epsilon, and whether RMSProp's epsilon stands inside the square root.
    """
    kind, *rest = spec.split(":")
    if kind not in ("adam", "sgd", "rmsprop"):
        raise Refusal(f"unknown optimiser '{spec}'{nearest(kind, ['adam', 'sgd', 'rmsprop'])}")
    if len(rest) > {"adam": 1, "sgd": 0, "rmsprop": 2}[kind]:
        raise Refusal(
            f"an optimiser is written adam[:EPS], sgd or rmsprop[:EPS[:inside|outside]], not '{spec}';"
            " write for example rmsprop:0.01:outside"
        )
    eps = {"adam": 1e-8, "sgd": 0.0, "rmsprop": 0.01}[kind]
    if rest:
        eps = _positive(rest[0], f"the epsilon of '{spec}' is a positive number, not '{rest[0]}'; write adam:1e-8")
    where = rest[1] if len(rest) > 1 else "inside"
    if where not in ("inside", "outside"):
        raise Refusal(
            f"RMSProp's epsilon stands 'inside' or 'outside' the square root, not '{where}'"
            f"{nearest(where, ['inside', 'outside'])}"
        )
    return kind, eps, where == "inside"


def explore_choice(spec: str, steps: int) -> tuple[float, float, int]:
    """Reads ``START:END:OVER`` (OVER in transitions, or as a share of the budget: ``50%``) or one constant epsilon.

    Returns:
      start, end, and the transitions over which epsilon falls.
    """
    example = "write for example 1:0.05:50% or 0.1"
    parts = spec.split(":")
    if len(parts) not in (1, 3):
        raise Refusal(f"exploration is written START:END:OVER or as one number, not '{spec}'; {example}")
    ends = []
    for part in parts[:2]:
        value = _positive(part, "", zero=True)
        if value is None or value > 1:
            raise Refusal(f"epsilon is a number between 0 and 1, and '{part}' in '{spec}' is not; {example}")
        ends.append(value)
    if len(parts) == 1:
        return ends[0], ends[0], 0
    over = parts[2]
    share = over.endswith("%")
    value = _positive(over.rstrip("%").replace("_", ""), "", zero=True)
    if value is None or (share and value > 100) or (not share and value != int(value)):
        raise Refusal(
            f"epsilon falls over a whole number of transitions or a share of the budget, and '{over}' in '{spec}' is"
            f" neither; {example}"
        )
    return ends[0], ends[1], int(steps * value / 100) if share else int(value)


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
