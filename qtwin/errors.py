"""Refusals: a wrong request is answered with one sentence and exit code 2, never with a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Refusal(ValueError):
    """The request was wrong. The message is one sentence: what was expected, what came, what to write instead."""


class Unusable(ValueError):
    """A file cannot be used. The message names the file and the reason; there may be another one to turn to."""


class Broken(RuntimeError):
    """An environment did not keep to its contract, raised, died or hung. The message says which, where and what."""


class Diverged(ValueError):
    """The run went wrong on the way. The message is one sentence: where, what came, what to try."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """The ending of a refusal that offers the nearest valid name, or the names there are when none is near.

    Args:
      word: what the user wrote.
      choices: the valid names.

    Returns:
      ``"; did you mean 'X'?"`` when a name is near, else ``"; there are A, B, C"`` (at most twelve of them).
    """
    choices = list(dict.fromkeys(choices))
    folded = {}
    for choice in choices:
        folded.setdefault(choice.lower(), choice)
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    if found:
        return f"; did you mean '{folded[found[0]]}'?"
    if not choices:
        return ""
    more = f" and {len(choices) - 12} more" if len(choices) > 12 else ""
    return f"; there are {', '.join(choices[:12])}{more}"


def one_of(what: str, word: str, choices: Iterable[str]) -> str:
    """Returns ``word`` if it is one of ``choices``; refuses otherwise, offering the nearest name."""
    choices = list(choices)
    if word not in choices:
        raise Refusal(f"unknown {what} '{word}'{nearest(word, choices)}")
    return word
