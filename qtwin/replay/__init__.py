"""Replay buffers: storing transitions, and sampling the batches of the regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtwin.errors import Refusal
from qtwin.records import imported
from qtwin.replay.catalog import kinds

if TYPE_CHECKING:
    from qtwin.config.config import Config
    from qtwin.envs.spec import EnvSpec
    from qtwin.replay.base import Replay


def remember(env: EnvSpec, c: Config) -> Replay:
    """The replay buffer of a run (`qtwin.replay.catalog.REPLAYS`).

    Args:
      env: the environment's spec, against which a data set is checked.
      c: ``data`` names a data set; ``replay`` is the size of a ring buffer, or 0 for the latest transitions only.
    """
    *around, kind = kinds(env, c)
    if c.batch == 0 and not kind.whole:
        raise Refusal("a batch of 0 means the whole recording, and there is none; write --data FILE, or --batch 128")
    replay = imported(kind.build)(*kind.arguments(env, c))
    for info in reversed(around):
        replay = imported(info.build)(replay, *info.arguments(env, c))
    return replay


make_replay = remember
