"""Where a run is written, and which seeds it has. Read without importing JAX."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qtwin.config.options import whole
from qtwin.errors import Refusal, nearest
from qtwin.storage.schemas import LARGEST_SEED

LOCK = ".lock"  # in a run directory, while it is written to


def seeds_of(seeds: int | None, seed: int | None) -> tuple[int, ...]:
    """The seeds S, S+1, ..., S+K-1 of ``--seeds K`` (1 if None) and ``--seed S`` (0 if None)."""
    first = whole(0 if seed is None else seed, "--seed", 0)
    count = whole(1 if seeds is None else seeds, "--seeds", 1)
    if first + count - 1 > LARGEST_SEED:
        raise Refusal(f"seeds are whole numbers up to {LARGEST_SEED}, not {first + count - 1}; write --seed 0")
    return tuple(range(first, first + count))


def anchored(path: str | Path) -> str:
    """An absolute path: what is meant by a relative one does not change when something changes the working directory.

    Raises:
      Refusal: the working directory has been removed.
    """
    try:
        return str(Path(path).absolute())
    except OSError as error:
        raise Refusal(
            f"'{path}' is a relative path and the working directory is gone ({error.strerror}); change to another, or"
            " write an absolute path"
        ) from None


def resolve_run_dir(out: str | None, resume: bool, stem: str = "run") -> str:
    """``out`` if a run can be written there, or (``resume``) is there; without ``out`` a fresh ``runs/STEM-COUNT``."""
    if out is None and not resume:
        stem, count = re.sub(r"[^\w.-]+", "-", stem), 1
        while (Path("runs") / f"{stem}-{count}").exists():
            count += 1
        out = str(Path("runs") / f"{stem}-{count}")
    if not out:
        raise Refusal("--resume needs the directory of a run; write --out DIR")
    path = Path(out)
    if resume:
        if not (path / "config.json").is_file():
            hint = near_run(path) or "; leave out --resume to start one"
            raise Refusal(f"there is no run at {out} to resume{hint}")
        stay_inside(path)
        return out
    if path.exists() and not path.is_dir():
        raise Refusal(f"--out {out} is a file, and a directory is needed; write another --out")
    if path.is_dir() and any(each.name != LOCK for each in path.iterdir()):
        if (path / "config.json").exists():
            raise Refusal(f"--out {out} holds another run; write another --out, or --resume to continue it")
        raise Refusal(f"--out {out} is not empty; write another --out")
    ground = next(parent for parent in (path, *Path(anchored(path)).parents) if parent.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise Refusal(
            f"--out {out} cannot be created, because {ground} is no directory to write in; write another --out"
        )
    return out


def stay_inside(folder: Path) -> None:
    """Refuses a directory in which a link leads out of it, or that holds anything but files and directories.

    What is written through such a link would land elsewhere, and a FIFO would keep its writer waiting for ever.
    """
    whole = folder.resolve()
    for inner, folders, files in os.walk(folder):
        for name in (*folders, *files):
            each = Path(inner, name)
            if each.is_symlink() and not each.resolve().is_relative_to(whole):
                raise Refusal(f"{each} is a link to something outside {folder}; replace it by a copy")
            if each.exists() and not each.is_file() and not each.is_dir():
                raise Refusal(f"{each} is not a regular file but a FIFO, a socket or a device; remove it")


def near_run(path: Path) -> str:
    """Offers the nearest run beside ``path``, or says nothing."""
    beside = path.absolute().parent
    runs = [str(run) for run in path.parent.iterdir() if (run / "config.json").exists()] if beside.is_dir() else []
    found = nearest(str(path), runs)
    return found if "did you mean" in found else ""
