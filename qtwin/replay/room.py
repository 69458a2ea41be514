"""What a run's replays take, and whether there is room for them. Read without importing JAX."""

from __future__ import annotations

from qtwin.config.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.replay.catalog import kinds
from qtwin.replay.size import bytes_per_image, in_frames
from qtwin.storage.sizes import size

SPARE = 0.05  # of the free memory, left for all else that a run needs


def replay_bytes(env: EnvSpec, c: Config) -> int:
    """What the replay of one seed takes, 0 where nothing is kept beyond a cycle. [bytes]"""
    return c.replay * sum(info.row_bytes(env) for info in kinds(env, c))


def room_for(env: EnvSpec, c: Config, seeds: int, free: int | None, on_disk: bool = False) -> str:
    """One line on the memory that the replays of a run take.

    Args:
      env: the environment.
      c: the run.
      seeds: each has a replay of its own.
      free: memory where the learner computes, `free_bytes` or an accelerator's; None where it is not known. [bytes]
      on_disk: the images lie on the disk (`room_on_disk`).

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
    """One line on what a run's images and the replays in its checkpoints take of the disk.

    Args:
      env, c, seeds: as for `room_for`.
      free: on the disk, with what the run has there already. [bytes]
      kept: checkpoints that are there at once while one is written.
      apart: transitions from one to the next. [transitions]
      where: the run directory.
      on_disk: the images lie there too.

    Raises:
      Refusal: the images and one checkpoint do not fit.
    """
    once = seeds * replay_bytes(env, c)
    images = seeds * c.replay * bytes_per_image(env) if on_disk else 0
    # A block that has not changed is kept once, so two checkpoints differ by the rows that came between them.
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
    """``count`` cut to its two leading figures."""
    factor = 10 ** max(len(str(count)) - 2, 0)
    return count // factor * factor
