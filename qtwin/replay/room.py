"""Memory and disk space of a run's replay buffers, and whether they fit. Read without importing JAX."""

from __future__ import annotations

from qtwin.config.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.replay.catalog import kinds
from qtwin.replay.size import bytes_per_image, in_frames
from qtwin.storage.sizes import size

SPARE = 0.05  # fraction of the free memory that is left for everything else


def replay_bytes(env: EnvSpec, c: Config) -> int:
    """Size of the replay buffer of one seed, 0 if nothing is kept beyond a cycle. [bytes]"""
    return c.replay * sum(info.row_bytes(env) for info in kinds(env, c))


def room_for(env: EnvSpec, c: Config, seeds: int, free: int | None, on_disk: bool = False) -> str:
    """One line on the memory that the replay buffers of a run take.

    Args:
      env: the environment.
      c: the run's config.
      seeds: number of seeds, each with a separate replay buffer.
      free: free memory of the learner's device, `free_bytes` or an accelerator's; None if unknown. [bytes]
      on_disk: whether the images are stored on the disk (`room_on_disk`).

    Raises:
      Refusal: they do not fit.
    """
    each = replay_bytes(env, c) - (c.replay * bytes_per_image(env) if on_disk else 0)
    unit = kinds(env, c)[-1].unit
    beside = ", their images on the disk" if on_disk else ""
    takes = f"{_times(seeds)}{size(each)} ({c.replay:,} {unit}{beside})"
    if free is None:
        return f"replay {takes}"
    room = int(free * (1 - SPARE))
    if seeds * each > room:
        fits = int(room / seeds / each * c.replay)
        disk = ", or --frames disk" if in_frames(env) and not on_disk else ""
        raise Refusal(
            f"the replay takes {takes}, and {size(free)} of memory are free; write --replay {_rounded(fits)} or fewer"
            + disk
            + (f", or fewer --seeds than {seeds}" if seeds > 1 else "")
        )
    return f"replay {takes}, {size(free)} of memory free"


def room_on_disk(
    env: EnvSpec, c: Config, seeds: int, free: int, kept: int, apart: int, where: str, on_disk: bool
) -> str:
    """One line on the disk space of a run's images and of the replay buffers in its checkpoints.

    Args:
      env, c, seeds: as for `room_for`.
      free: free disk space, including what this run's files occupy already. [bytes]
      kept: number of checkpoints on the disk while one is written.
      apart: transitions between two checkpoints. [transitions]
      where: the run directory.
      on_disk: whether the images are stored on the disk too.

    Raises:
      Refusal: the images and one checkpoint do not fit.
    """
    once = seeds * replay_bytes(env, c)
    images = seeds * c.replay * bytes_per_image(env) if on_disk else 0
    # Unchanged blocks are stored once, so two checkpoints differ by the rows that were added between them.
    most = once * min(kept, 1 + (kept - 1) * apart / c.replay)
    if images + once > free * (1 - SPARE):
        what = f"the images that are remembered take {size(images)} of the disk, and " if on_disk else ""
        fits = int(free * (1 - SPARE) / (images + once) * c.replay)
        raise Refusal(
            f"{what}a checkpoint of the replay takes {size(once)}{'' if on_disk else ' of the disk'}, and {size(free)}"
            f" are free at {where}; write --replay {_rounded(fits)} or fewer, or another --out"
        )
    files = f"images {size(images)}, " if on_disk else ""
    return f"on the disk {files}checkpoints up to {size(int(most))}, {size(free)} free"


def _times(seeds: int) -> str:
    return f"{seeds} x " if seeds > 1 else ""


def _rounded(count: int) -> int:
    """``count`` rounded down to two significant digits."""
    factor = 10 ** max(len(str(count)) - 2, 0)
    return count // factor * factor
