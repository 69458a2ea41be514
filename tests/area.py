"""Stands for OpenCV in Gymnasium's AtariPreprocessing, which needs it for one call: to shrink a frame by area.

OpenCV's own sums, in 32 bits and in its order, so that they round as it rounds; tests hold them to the OpenCV inside
ale-py, and to OpenCV itself where it is installed.
"""

import math
import types

import numpy as np


def taps(source, target):
    """For each target pixel, the source pixels it covers and their weights: [target, most], padded with weight 0."""
    scale = source / target
    rows = []
    for i in range(target):
        low, high = i * scale, min((i + 1) * scale, source)
        first, last = math.ceil(low), math.floor(high)
        width = min(scale, source - low)
        row = [(first - 1, (first - low) / width)] if first - low > 1e-3 else []
        row += [(k, 1.0 / width) for k in range(first, last)]
        row += [(last, min(high - last, 1.0) / width)] if high - last > 1e-3 else []
        rows.append(row)
    most = max(map(len, rows))
    rows = [row + [(0, 0.0)] * (most - len(row)) for row in rows]
    return np.array([[k for k, _ in row] for row in rows]), np.array([[w for _, w in row] for row in rows], np.float32)


def resize(frame, size, interpolation="area"):
    """A frame [H, W] uint8 shrunk to ``size``, (width, height)."""
    assert interpolation == "area"
    (columns, across), (lines, down) = taps(frame.shape[1], size[0]), taps(frame.shape[0], size[1])
    frame = frame.astype(np.float32)
    narrow = np.zeros((frame.shape[0], size[0]), np.float32)
    for k in range(columns.shape[1]):
        narrow += frame[:, columns[:, k]] * across[None, :, k]
    small = np.zeros(size[::-1], np.float32)
    for k in range(lines.shape[1]):
        small += narrow[lines[:, k]] * down[:, k, None]
    return np.rint(small).astype(np.uint8)


OPENCV = types.SimpleNamespace(resize=resize, INTER_AREA="area")
