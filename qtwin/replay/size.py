"""Bytes per row of each kind of replay buffer. Read without importing JAX."""

from __future__ import annotations

import numpy as np

from qtwin.envs.spec import EnvSpec

PRIORITY_BYTES = 4  # per row of `qtwin.replay.priority.prioritised`, in addition [bytes]


def in_frames(env: EnvSpec) -> bool:
    """Whether the replay buffer of ``env`` stores each frame once, rather than both observations of every step."""
    return env.engine == "hosted" and len(env.obs_shape) == 3 and env.obs_dtype == "uint8"


def bytes_per_image(env: EnvSpec) -> int:
    """Size of one frame. [bytes]"""
    height, width, channels = env.obs_shape
    return height * width * (channels // env.stack) * np.dtype(env.obs_dtype).itemsize


def bytes_per_frame(env: EnvSpec) -> int:
    """Size of one row of `qtwin.replay.frames.frame_ring`. [bytes]"""
    return bytes_per_image(env) + _action(env) + 2 * 4 + 2 + 2 * 4  # reward, discount, last, step, behind, ahead


def bytes_per_transition(env: EnvSpec) -> int:
    """Size of one step of `qtwin.replay.ring.ring`. [bytes]"""
    obs = int(np.prod(env.obs_shape, dtype=int)) * np.dtype(env.obs_dtype).itemsize
    return 2 * obs + _action(env) + 2 * 4 + 1


def _action(env: EnvSpec) -> int:
    return int(np.prod(env.action_shape, dtype=int)) * 4
