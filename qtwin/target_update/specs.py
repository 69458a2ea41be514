"""The target update by name: ``hard:500``, ``soft:0.005``, ... Read without importing JAX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from qtwin.errors import Refusal, nearest
from qtwin.target_update.adaptive_rules import chain, cosine, geometric, t_soft, until_converged
from qtwin.target_update.rules import TargetUpdate, averaged, frozen, hard, last_layer, soft, tied

# name: (how it is written, what it does)
SPECS = {
    "hard": ("hard:C", "copies the online network every C gradient steps (Mnih 2015)"),
    "soft": (
        "soft:TAU[/EVERY]",
        "moves the fraction TAU of the way, every gradient step or every EVERY (Lillicrap 2015, BYOL)",
    ),
    "cosine": (
        "cosine:TAU[/K]",
        "moves a fraction that falls from TAU to 0 along a cosine over K gradient steps, the run's own if left out"
        " (BYOL, Grill 2020)",
    ),
    "tied": ("tied", "is the online network behind a stop-gradient (SimSiam; online Q-learning)"),
    "frozen": ("frozen", "never moves (a control)"),
    "until": (
        "until:TOLERANCE/N",
        "copies when the loss improves by less than TOLERANCE, or after N gradient steps (Ernst 2005, Riedmiller 2005)",
    ),
    "geometric": ("geometric:C0:Q", "copies after C0, C0 Q, C0 Q^2, ... gradient steps: the period grows"),
    "t-soft": (
        "t-soft:TAU[:NU]",
        "moves softly, and less where a tensor has jumped away (Student's t, NU degrees of freedom; Kobayashi 2021)",
    ),
    "averaged": (
        "averaged:K:C",
        "takes the mean of the values of the last K snapshots, one every C gradient steps (Anschel 2017)",
    ),
    "chain": (
        "chain:K:C[/D]",
        "K networks in a row, each learning from the one before; the row shifts every C gradient steps, its inner"
        " targets follow every D (i-QN, Vincent 2025)",
    ),
    "last-layer": (
        "last-layer:SPEC",
        "only the last layer has a target, which follows by SPEC; the trunk is shared (Vincent 2025)",
    ),
}


class _Form(NamedTuple):
    """How a spec's numbers are separated, and what is made of them.

    Attributes:
      least, most: how many numbers there are.
      example: a spec that makes sense.
      make: the rule.
      marks: what stands before the second number, before the third.
    """

    least: int
    most: int
    example: str
    make: Callable[..., TargetUpdate]
    marks: str = "/"


_FORMS = {
    "hard": _Form(1, 1, "hard:500", hard),
    "soft": _Form(1, 2, "soft:0.005", soft),
    "cosine": _Form(1, 2, "cosine:0.004", cosine),
    "until": _Form(2, 2, "until:0.01/2000", until_converged),
    "geometric": _Form(2, 2, "geometric:100:1.1", geometric, ":"),
    "t-soft": _Form(1, 2, "t-soft:0.005", t_soft, ":"),
    "averaged": _Form(2, 2, "averaged:5:100", averaged, ":"),
    "chain": _Form(2, 3, "chain:5:500/30", lambda k, c, d=None: chain(k, c, min(30, c) if d is None else d), ":/"),
}
_COUNTS = {1: "one number", 2: "two numbers", 3: "three numbers"}


def parse(spec: str, gradient_steps: int | None = None) -> TargetUpdate:
    """Reads a target spec: ``hard:500``, ``soft:0.005``, ``cosine:0.004``, ``last-layer:hard:500``, ... (`SPECS`).

    Args:
      spec: as it is written on the command line.
      gradient_steps: the run's length, over which ``cosine:TAU`` falls; None where it is not known.

    Raises:
      Refusal: with one sentence that says what was expected, what came and what to write instead.
    """
    name, colon, rest = spec.strip().partition(":")
    if name not in SPECS:
        forms = ", ".join(form for form, _ in SPECS.values())
        raise Refusal(f"unknown target update '{spec}', expected one of {forms}{_near_spec(name)}")
    written = SPECS[name][0]
    if name in ("tied", "frozen"):
        if colon:
            raise Refusal(f"the target update '{name}' takes no number, but '{spec}' came; write {name}")
        return tied() if name == "tied" else frozen()
    if name == "last-layer":
        if not rest:
            raise Refusal(
                f"the target update 'last-layer' needs a way to follow, but '{spec}' came; write last-layer:hard:500"
            )
        return last_layer(parse(rest, gradient_steps))
    form = _FORMS[name]
    if not rest:
        raise Refusal(
            f"the target update '{name}' needs a number, written {written}, but '{spec}' came; write {form.example}"
        )
    numbers = [_number(text, spec, written) for text in _split(rest, form.marks)]
    if not form.least <= len(numbers) <= form.most:
        how_many = " or ".join(_COUNTS[n] for n in range(form.least, form.most + 1))
        raise Refusal(
            f"the target update '{name}' takes {how_many}, written {written}, not '{spec}'; write {form.example}"
        )
    if name == "cosine" and len(numbers) == 1:
        if gradient_steps is None:
            cosine(numbers[0], 1)  # a wrong TAU is told first
            raise Refusal(f"the target update '{spec}' needs its length in gradient steps here; write {spec}/10000")
        numbers.append(gradient_steps)
    return form.make(*numbers)


def _split(text: str, marks: str) -> list[str]:
    """``text`` cut at the first of each of ``marks``, in their order; what is over stays in the last piece."""
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        pieces.append(piece)
        if not found:
            return pieces
    return [*pieces, text]


def _near_spec(name: str) -> str:
    near = nearest(name, SPECS)
    return near if "did you mean" in near else ""


def _number(text: str, spec: str, form: str) -> int | float:
    text = text.strip().replace("_", "")
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refusal(f"the target update '{spec}' is written {form} with numbers, and '{text}' is not one")
    return value
