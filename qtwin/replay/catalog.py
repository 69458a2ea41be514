"""The kinds of replay buffer: one record for each. Read without importing JAX.

A new kind is a function that makes a `qtwin.replay.base.Replay`, and its record here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qtwin.config.option_specs import prioritise_choice, sequence_steps
from qtwin.config.rates_of import budget
from qtwin.errors import Refusal
from qtwin.records import Catalogue, blanks, dangling
from qtwin.replay.size import PRIORITY_BYTES, bytes_per_frame, bytes_per_transition, in_frames

if TYPE_CHECKING:
    from qtwin.config.config import Config
    from qtwin.envs.spec import EnvSpec

UNITS = ("transitions", "frames")


class ReplayInfo(NamedTuple):
    """All facts about a kind of replay buffer.

    Attributes:
      name: its name.
      about: one line about it.
      suits: ``(env, c) -> bool``: does the config ask for it in this environment? The first that suits is taken.
      build: its function as ``"module:function"``, imported when used.
      arguments: ``(env, c) -> arguments of build``; refuses what the kind cannot do.
      row_bytes: ``env -> bytes`` per row; 0 where nothing is kept beyond a cycle.
      unit: what a row is: "transitions" or "frames"; "" for a kind that ``wraps``.
      wraps: it wraps another kind, the next one that suits, which is the first argument of ``build``.
      whole: a batch of 0 is the whole buffer.
    """

    name: str
    about: str
    suits: Callable[[EnvSpec, Config], bool]
    build: str
    arguments: Callable[[EnvSpec, Config], tuple[Any, ...]]
    row_bytes: Callable[[EnvSpec], int]
    unit: str
    wraps: bool = False
    whole: bool = False


def _recorded(env: EnvSpec, c: Config) -> tuple[Any, ...]:
    from qtwin.replay.dataset import load_dataset

    return load_dataset(c.data, env), c.batch, c.discount, c.n_step


def _of_a_cycle(env: EnvSpec, c: Config) -> tuple[Any, ...]:
    if c.n_step != 1:
        raise Refusal(
            f"--replay 0 keeps no later transitions to sum rewards over, so returns have 1 step, not --n-step"
            f" {c.n_step};"
            " write --n-step 1, or --replay 10000"
        )
    return c.batch, c.discount


def _in_a_ring(env: EnvSpec, c: Config) -> tuple[Any, ...]:
    return c.replay, c.batch, c.discount, c.n_step, sequence_steps(c)


def _by_priority(env: EnvSpec, c: Config) -> tuple[Any, ...]:
    alpha, *beta = prioritise_choice(c.prioritise)
    return alpha, tuple(beta), budget(c), max(c.n_step, sequence_steps(c))


_REPLAYS = (
    ReplayInfo(
        "dataset", "a recorded data set, read-only", lambda env, c: bool(c.data),
        "qtwin.replay.dataset:dataset", _recorded, lambda env: 0, "transitions", whole=True,
    ),
    ReplayInfo(
        "latest", "the transitions of the current cycle", lambda env, c: c.replay == 0, "qtwin.replay.latest:latest",
        _of_a_cycle, lambda env: 0, "transitions",
    ),
    ReplayInfo(
        "prioritised", "sampled by priority, the magnitude of the last TD error", lambda env, c: bool(c.prioritise),
        "qtwin.replay.priority:prioritised", _by_priority, lambda env: PRIORITY_BYTES, "", wraps=True,
    ),
    ReplayInfo(
        "frames", "a ring buffer of images, each stored once", lambda env, c: in_frames(env),
        "qtwin.replay.frames:frame_ring",
        lambda env, c: (env, *_in_a_ring(env, c)), bytes_per_frame, "frames",
    ),
    ReplayInfo(
        "ring", "a ring buffer of transitions", lambda env, c: True, "qtwin.replay.ring:ring",
        _in_a_ring, bytes_per_transition, "transitions",
    ),
)  # fmt: skip
REPLAYS = Catalogue("replay", ReplayInfo, _REPLAYS, "qtwin.replay.catalog:problems", first=True)


def kinds(env: EnvSpec, c: Config) -> tuple[ReplayInfo, ...]:
    """The kind of replay buffer that a config asks for, after the kinds that wrap it, the outermost first."""
    found = []
    for info in REPLAYS.values():
        if info.suits(env, c):
            found.append(info)
            if not info.wraps:
                return tuple(found)
    raise ValueError("no kind of replay suits")  # the last always suits


def problems(info: ReplayInfo, outside: bool = False) -> list[str]:
    """The problems of a record, one line each; empty for a valid one.

    Args:
      info: the record.
      outside: whether it is defined outside this package.
    """
    wrong = blanks(info, ("unit",) if info.wraps else ()) + dangling(info, ("build",), outside)
    if info.unit not in (("",) if info.wraps else UNITS):
        wrong.append(f"unit is one of {', '.join(UNITS)}, or nothing for one that wraps, not '{info.unit}'")
    functions = ("suits", "arguments", "row_bytes")
    return wrong + [f"{field} is no function" for field in functions if not callable(getattr(info, field))]
