"""What evaluation episodes give, and when one that does not end is cut. Read without importing JAX."""

from __future__ import annotations

from typing import Any, NamedTuple

from qtwin.envs.spec import EnvSpec
from qtwin.types import Array

EVAL_MAX_STEPS = 10_000  # of an evaluation episode, in an environment that has no longer time limit of its own
LARGEST = 2**31 - 1  # steps that are counted in 32 bits


class Played(NamedTuple):
    """What evaluation episodes gave.

    Attributes:
      returns: undiscounted; of an episode that was cut, up to there. [episodes] float32
      cut: the episode was cut because it did not end by itself. [episodes] bool
      ledger: what came of the values in them, a `qtwin.measure.overestimation.Ledger`; None where nothing was judged.
    """

    returns: Array
    cut: Array
    ledger: Any = None


def eval_steps(spec: EnvSpec, asked: int = 0) -> int:
    """Steps after which an evaluation episode is cut. [transitions]

    Args:
      spec: the environment.
      asked: the number asked for; 0 stands for `EVAL_MAX_STEPS`, or the environment's own time limit if that is longer.
    """
    return min(asked or max(EVAL_MAX_STEPS, spec.time_limit or 0), LARGEST)


def cut_in_words(cut: int, episodes: int, limit: int) -> str:
    """``3 of 10 evaluation episodes were cut after 10,000 steps``; "" where none was."""
    if not cut:
        return ""
    return f"{cut:,} of {episodes:,} evaluation episode{'s' * (episodes != 1)} were cut after {limit:,} steps"


def limit_note(spec: EnvSpec, asked: int = 0) -> str:
    """What is said at the start where an evaluation might never end; "" where the environment has a time limit."""
    if spec.time_limit is not None:
        return ""
    return (
        f"{spec.id} has no time limit: an evaluation episode is cut after {eval_steps(spec, asked):,} steps"
        " (--eval-max-steps)"
    )
