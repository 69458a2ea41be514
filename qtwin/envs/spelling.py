"""The nearest name of an environment that does not exist. Read without importing JAX."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MANY = 12  # names that are listed if none is near
CLOSE = 0.7  # least similarity of two names without home and version: a family is never mistaken for another


def nearest_env(word: str, known: Iterable[str]) -> str:
    """The ending of a refusal: the nearest environment, or where to find the names if none is near.

    Names are compared without their home and their version, so that ``CartPole-v9`` leads to ``CartPole-v1``, and
    ``MiniGrid-Empty-5x5-v0`` never to a game whose letters happen to be similar.

    Args:
      word: what the user wrote.
      known: the valid names.
    """
    stems: dict[str, list[str]] = {}
    for name in dict.fromkeys(known):
        stems.setdefault(_stem(name), []).append(name)
    near = difflib.get_close_matches(_stem(word), stems, n=1, cutoff=CLOSE)
    if near:
        versioned = re.search(r"-v\d+$", word)  # without a version, the first: the fastest home

        def alike(name: str) -> float:
            return difflib.SequenceMatcher(None, name.lower(), word.lower()).ratio() if versioned else 0.0

        return f"; did you mean '{max(stems[near[0]], key=alike)}'?"
    if len(stems) <= MANY:
        return f"; there are {', '.join(name for names in stems.values() for name in names)}"
    return (
        "; see qtwin list envs. Gymnasium knows environments of another package once that has been imported: in Python,"
        " import it before qtwin.train"
    )


def _stem(name: str) -> str:
    plain = re.split(r"[:/]", name)[-1].lower()
    return re.sub(r"(-minatar|-bsuite|-misc)?(-v\d+)?$", "", plain)
