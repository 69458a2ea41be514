"""Errors with messages for users. A wrong request is refused in one sentence, never with a traceback."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping


class Refusal(ValueError):
    """The request is wrong. The message is one sentence: what was expected, what came, what to write instead."""


class Unusable(ValueError):
    """A file cannot be used. The message names the file and the reason; the caller may try another one."""


class Broken(RuntimeError):
    """An environment broke its contract, raised, died or hung. The message says which one, where and how."""


class Diverged(ValueError):
    """Training diverged. The message is one sentence: where, what happened, what to try."""


def nearest(word: str, choices: Iterable[str], close: float = 0.5) -> str:
    """The ending of a refusal: the nearest valid name, or the valid names if none is near.

    Args:
      word: what the user wrote.
      choices: the valid names.
      close: how similar a near name is at least, 1 for the same.

    Returns:
      ``"; did you mean 'X'?"`` when a name is near, else ``"; there are A, B, C"`` (at most twelve of them).
    """
    choices = list(dict.fromkeys(choices))
    folded = {}
    for choice in choices:
        folded.setdefault(choice.lower(), choice)
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=close)
    if found:
        return f"; did you mean '{folded[found[0]]}'?"
    if not choices:
        return ""
    more = f" and {len(choices) - 12} more" if len(choices) > 12 else ""
    return f"; there are {', '.join(choices[:12])}{more}"


def one_of(what: str, word: str, choices: Iterable[str]) -> str:
    """Returns ``word`` if it is one of ``choices``; refuses otherwise, offering the nearest name."""
    if isinstance(choices, Mapping) and isinstance(word, str) and word in choices:
        return word  # without listing them: a catalogue would look for more
    choices = list(choices)
    if word not in choices:
        raise Refusal(f"unknown {what} '{word}'{nearest(word, choices)}")
    return word


def told(error: BaseException, folder: str = "") -> str:
    """An error of somebody else's code in a few words: its type, its message, and where it was raised.

    Args:
      error: it.
      folder: the file and the line are those of the innermost frame in it; "" is any folder but this package's.
    """
    reason = "".join(each if each.isprintable() else "?" for each in " ".join(str(error).split())[:500])
    kind = "" if isinstance(error, Refusal) else type(error).__name__
    words = ": ".join(filter(None, (kind, reason)))
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    import traceback  # takes longer than all else that is imported here

    ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
    files = [(os.path.abspath(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    inside = [(file, line) for file, line in files if file.startswith(folder) and not file.startswith(ours)]
    return words + (f" ({inside[-1][0]}:{inside[-1][1]})" if inside else "")
