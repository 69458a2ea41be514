"""When checkpoints are written, and which of them stay. Read without importing JAX."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from qtwin.config.options import whole
from qtwin.errors import Refusal, nearest

CHECKPOINTS = "5"  # per run
KEEP = "last:2"  # the newest, and one to fall back to


class Saved(NamedTuple):
    """A checkpoint as the policy sees it.

    Attributes:
      cycles: turned when it was written.
      number: how many were written before it.
      score: the greedy return (the features' accuracy) last seen before it; None where there is none.
    """

    cycles: int
    number: int
    score: float | None


class Keep(NamedTuple):
    """Which checkpoints stay: any that one of these asks for.

    Attributes:
      last: the newest so many, at least 1.
      every: each whose number is a multiple of this; 0 is none.
      best: the so many with the highest score, the newer of equals.
    """

    last: int = 2
    every: int = 0
    best: int = 0

    def choose(self, saved: Iterable[Saved]) -> set[int]:
        """The cycles of those that stay."""
        ordered = sorted(saved)
        kept = set(ordered[-self.last :])
        if self.every:
            kept |= {each for each in ordered if each.number % self.every == 0}
        if self.best:
            scored = [each for each in ordered if each.score is not None]
            kept |= set(sorted(scored, key=lambda each: (each.score, each.cycles))[-self.best :])
        return {each.cycles for each in kept}

    def at_once(self, count: int) -> int:
        """How many of a run's ``count`` checkpoints there are at once, with the one that is being written."""
        return min(count, self.last + self.best + (-(-count // self.every) if self.every else 0) + 1)


DEFAULT = Keep()


def parse_keep(text: str) -> Keep:
    """Reads ``last:2``, ``every:10``, ``best:1`` or several of them, with commas between; a number alone is ``last``.

    Raises:
      Refusal: it is none of these, or keeps nothing to resume from.
    """
    found = {}
    for part in str(text).split(","):
        name, colon, count = part.strip().partition(":")
        if not colon:
            name, count = "last", name
        if name not in Keep._fields:
            near = nearest(name, Keep._fields)
            raise Refusal(f"--keep is written last:N, every:N, best:N or several of them, not '{text}'{near}")
        if name in found:
            raise Refusal(f"--keep '{text}' says '{name}' twice; write for example --keep last:2,best:1")
        found[name] = whole(count, f"--keep {name}:", 1)
    return Keep(**found)


def parse_checkpoints(text: str) -> tuple[int | None, int | None]:
    """Reads ``5`` (so many in a run) or ``every:100000`` (so many transitions apart, offline gradient steps).

    Returns:
      ``(per run, None)`` or ``(None, apart)``.
    """
    name, colon, count = str(text).strip().partition(":")
    if not colon:
        return whole(name, "--checkpoints", 1), None
    if name != "every":
        raise Refusal(
            f"--checkpoints is a number of checkpoints in a run, or every:N for one each N transitions, not '{text}';"
            " write for example --checkpoints 5 or --checkpoints every:100000"
        )
    return None, whole(count, "--checkpoints every:", 1)
