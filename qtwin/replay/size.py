"""What a row of each kind of replay takes. Read without importing JAX."""

from __future__ import annotations

import numpy as np

from qtwin.envs.spec import EnvSpec

PRIORITY_BYTES = 4  # what `qtwin.replay.priority.prioritised` takes beside a row [bytes]


def in_frames(env: EnvSpec) -> bool:
    """Is a memory of ``env`` a ring of frames, each kept once, rather than of steps with both their observations?"""
    return env.engine == "hosted" and len(env.obs_shape) == 3 and env.obs_dtype == "uint8"


def bytes_per_image(env: EnvSpec) -> int:
    """What one frame takes. [bytes]"""
    height, width, channels = env.obs_shape
    return height * width * (channels // env.stack) * np.dtype(env.obs_dtype).itemsize


def bytes_per_frame(env: EnvSpec) -> int:
    """What one row of `qtwin.replay.frames.frame_ring` takes. [bytes]"""
    return bytes_per_image(env) + _action(env) + 2 * 4 + 2 + 2 * 4  # reward, discount, last, step, behind, ahead


def bytes_per_transition(env: EnvSpec) -> int:
    """What one step of `qtwin.replay.ring.ring` takes. [bytes]"""
    obs = int(np.prod(env.obs_shape, dtype=int)) * np.dtype(env.obs_dtype).itemsize
    return 2 * obs + _action(env) + 2 * 4 + 1


def _action(env: EnvSpec) -> int:
    return int(np.prod(env.action_shape, dtype=int)) * 4
