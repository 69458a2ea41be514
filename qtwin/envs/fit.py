"""Can one policy, or one recording, serve two environments?"""

from __future__ import annotations

import numpy as np

from qtwin.envs.spec import EnvSpec

SHAPES = ("obs_shape", "num_actions", "num_states", "action_low", "action_high")


def mismatch(expected: EnvSpec, came: EnvSpec, fields: tuple[str, ...] = SHAPES) -> str | None:
    """The first of ``fields`` in which two environments differ; None where they agree.

    Bounds of actions agree when they are the same 32-bit numbers: some homes round them to that and others do not.
    """
    for field in fields:
        ours, theirs = getattr(expected, field), getattr(came, field)
        if field.startswith("action_"):
            ours, theirs = np.float32(ours).tolist(), np.float32(theirs).tolist()
        if ours != theirs:
            return field
    return None
