"""The target update by name: ``hard:500``, ``soft:0.005``, ... Read without importing JAX."""

from __future__ import annotations

import math
import re

from qtwin.errors import Refusal, nearest
from qtwin.processes.update_target import TargetUpdate, cosine, frozen, hard, soft, tied, until_converged

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
}

EXAMPLES = {"hard": "hard:500", "soft": "soft:0.005", "cosine": "cosine:0.004", "until": "until:0.01/2000"}


def parse(spec: str, gradient_steps: int | None = None) -> TargetUpdate:
    """Reads a target spec: ``hard:500``, ``soft:0.005``, ``soft:0.005/10``, ``cosine:0.004``, ``tied``, ``frozen``,
    ``until:0.01/2000``.

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
    form = SPECS[name][0]
    if ":" not in form:
        if colon:
            raise Refusal(f"the target update '{name}' takes no number, but '{spec}' came; write {name}")
        return tied() if name == "tied" else frozen()
    if not rest:
        example = EXAMPLES[name]
        raise Refusal(f"the target update '{name}' needs a number, written {form}, but '{spec}' came; write {example}")
    first, slash, second = rest.partition("/")
    if name == "hard":
        if slash:
            raise Refusal(f"the target update 'hard' takes one number, written {form}, not '{spec}'; write hard:500")
        return hard(_number(first, spec, form))
    if name == "soft":
        return soft(_number(first, spec, form), _number(second, spec, form) if slash else 1)
    if name == "cosine":
        if not slash and gradient_steps is None:
            cosine(_number(first, spec, form), 1)  # a wrong TAU is told first
            raise Refusal(f"the target update '{spec}' needs its length in gradient steps here; write {spec}/10000")
        return cosine(_number(first, spec, form), _number(second, spec, form) if slash else gradient_steps)
    if not slash:
        raise Refusal(
            f"the target update 'until' needs a tolerance and the most gradient steps there may be, written {form},"
            f" but '{spec}' came; write until:0.01/2000"
        )
    return until_converged(_number(first, spec, form), _number(second, spec, form))


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
