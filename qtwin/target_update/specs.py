"""The target update by name: ``hard:500``, ``soft:0.005``, ... Read without importing JAX."""

from __future__ import annotations

import math
import re
from typing import Any

from qtwin.errors import Refusal, nearest, told
from qtwin.records import blanks, dangling, imported, origin_of
from qtwin.target_update.catalog import SPECS, TAKES, TargetRuleInfo
from qtwin.target_update.rules import TargetUpdate, is_count
from qtwin.types import HandedIn, stands_alone

_COUNTS = {1: "one number", 2: "two numbers", 3: "three numbers"}


def parse(spec: str, gradient_steps: int | None = None) -> TargetUpdate:
    """Reads a target spec: ``hard:500``, ``soft:0.005``, ``cosine:0.004``, ``last-layer:hard:500``, ... (`SPECS`).

    Args:
      spec: as it is written on the command line.
      gradient_steps: the run's length, over which ``cosine:TAU`` falls; None where it is not known.

    Raises:
      Refusal: with one sentence that says what was expected, what came and what to write instead.
    """
    if isinstance(spec, HandedIn):
        return spec.thing
    if stands_alone(spec):
        raise Refusal(
            f"'{spec}' is the name of a target update that was handed in from Python; hand it in again, as target=...,"
            " or write the spec of one of qtwin's own (qtwin list targets)"
        )
    name = spec.strip().partition(":")[0]
    if name not in SPECS:
        forms = ", ".join(info.form for info in SPECS.values())
        raise Refusal(f"unknown target update '{spec}', expected one of {forms}{_near_spec(name)}")
    return made(SPECS[name], spec, gradient_steps)


def made(info: TargetRuleInfo, spec: str, gradient_steps: int | None = None) -> TargetUpdate:
    """The rule of a record, from a spec that starts with the record's name; arguments and errors as for `parse`."""
    _, colon, rest = spec.strip().partition(":")
    if info.takes == "nothing":
        if colon:
            raise Refusal(f"the target update '{info.name}' takes no number, but '{spec}' came; write {info.example}")
        return _built(info, spec)
    if not rest:
        what = "a target update" if info.takes == "rule" else f"a number, written {info.form}"
        raise Refusal(f"the target update '{info.name}' needs {what}, but '{spec}' came; write {info.example}")
    if info.takes == "rule":
        return _built(info, spec, parse(rest, gradient_steps))
    return _built(info, spec, *_numbers(info, spec, rest, gradient_steps))


def _built(info: TargetRuleInfo, spec: str, *arguments: Any) -> TargetUpdate:
    """What a record's function returns; what one from outside raises is a refusal."""
    try:
        return imported(info.make)(*arguments)
    except Refusal:
        raise
    except Exception as error:
        if not origin_of("target update", info.name):
            raise
        raise Refusal(f"the target update '{spec}' cannot be made: {told(error)}") from error


def problems(info: TargetRuleInfo, outside: bool = False) -> list[str]:
    """What is wrong with a rule's record, one line each; nothing for a whole one.

    Args:
      info: the record.
      outside: it is not one of this package's own.
    """
    wrong = blanks(info, ("paper",))
    if not callable(info.make):
        wrong += dangling(info, ("make",), outside) if info.make is not None else []
    if info.takes not in TAKES:
        wrong.append(f"takes is one of {', '.join(TAKES)}, not {info.takes}")
    if not 1 <= info.least <= info.most <= len(info.marks) + 1 <= max(_COUNTS):
        wrong.append(f"{info.least} to {info.most} numbers do not fit the marks '{info.marks}'")
    for field in ("form", "example"):
        if getattr(info, field).partition(":")[0].partition("[")[0] != info.name:
            wrong.append(f"{field} does not begin with the name")
    if wrong:
        return wrong
    try:
        rule = made(info, info.example, 1000)
    except (Refusal, TypeError) as error:
        return [f"its example {info.example} cannot be made: {error}"]
    if not isinstance(rule, TargetUpdate):
        return [f"make returns {type(rule).__name__}, not a TargetUpdate"]
    if missing := [name for name in ("init", "watch", "due", "move") if not callable(getattr(rule, name))]:
        return [f"make returns a rule whose {missing[0]} is no function"]
    if not (is_count(rule.every) or rule.every == 0) or not 0 <= rule.tau <= 1:
        return [f"make returns a rule with every {rule.every!r} and tau {rule.tau!r}: gradient steps, and 0 to 1"]
    if rule.spec.partition(":")[0] != info.name:
        return [f"make returns a rule whose spec is {rule.spec}"]
    return []


def _numbers(info: TargetRuleInfo, spec: str, rest: str, gradient_steps: int | None) -> list[int | float]:
    """The numbers after a rule's name, with the length of the run added if the rule needs it and none was given."""
    numbers = [_number(text, spec, info.form) for text in _split(rest, info.marks)]
    if not info.least <= len(numbers) <= info.most:
        how_many = " or ".join(_COUNTS[n] for n in range(info.least, info.most + 1))
        raise Refusal(
            f"the target update '{info.name}' takes {how_many}, written {info.form}, not '{spec}'; write {info.example}"
        )
    if info.needs_length and len(numbers) < info.most:
        if gradient_steps is None:
            imported(info.make)(*numbers, 1)  # a wrong number is told first
            raise Refusal(f"the target update '{spec}' needs its length in gradient steps here; write {spec}/10000")
        numbers.append(gradient_steps)
    return numbers


def _split(text: str, marks: str) -> list[str]:
    """``text`` split at the first of each of ``marks``, in order; the rest stays in the last piece."""
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
