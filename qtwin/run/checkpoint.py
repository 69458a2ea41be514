"""Checkpoints: the whole of every seed's `TrainState`, as safetensors with a manifest; written aside, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from qtwin.engine.state import TrainState
from qtwin.errors import Refusal
from qtwin.types import PyTree

FORMAT = 1
KEPT = 2  # checkpoints kept: the newest, and one to fall back to


def named_leaves(tree: PyTree) -> dict[str, np.ndarray]:
    """A pytree's leaves under the names of the path that leads to each, ``twin.online.params.head.kernel``."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = ".".join(_part(key) for key in path)
        named[name] = np.asarray(leaf, order="C")
    return named


def _part(key) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def fill(like: PyTree, named: dict[str, np.ndarray], where: str) -> PyTree:
    """``like`` with every leaf replaced by the array of the same name, shape and type in ``named``.

    Raises:
      Refusal: a leaf is missing, superfluous or of another shape or type; the message names the file and the leaf.
    """
    wanted = named_leaves(like)
    if set(wanted) != set(named):
        odd = sorted(set(wanted) ^ set(named))[0]
        what = "lacks" if odd in wanted else "holds, beyond what this run has,"
        raise Refusal(
            f"{where} {what} '{odd}', so it was saved by a run with other settings; resume with the same ones"
        )
    for name, leaf in wanted.items():
        if named[name].shape != leaf.shape or named[name].dtype != leaf.dtype:
            raise Refusal(
                f"{where} holds '{name}' as {named[name].dtype}{list(named[name].shape)} and this run has"
                f" {leaf.dtype}{list(leaf.shape)}, so it is of a run with other settings; resume with the same ones"
            )
    return jax.tree.unflatten(jax.tree.structure(like), [named[name] for name in wanted])


def write(folder: Path, cycles: int, boundary: int, seeds: tuple[int, ...], states: list[TrainState]) -> Path:
    """Saves every seed's state as ``folder/cycle-CYCLES``; the older checkpoints but the newest of them go.

    Args:
      folder: the run's ``checkpoints`` directory.
      cycles: cycles turned so far.
      boundary: how many checkpoints came before this one.
      seeds: which seeds.
      states: their states, as numpy arrays.
    """
    final = folder / f"cycle-{cycles:012d}"
    aside = folder / f".writing-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    digests = {}
    for seed, state in zip(seeds, states, strict=True):
        data = save(named_leaves(state))
        name = f"seed-{seed}.safetensors"
        _write_flushed(aside / name, data)
        digests[name] = hashlib.sha256(data).hexdigest()
    manifest = {"format": FORMAT, "cycles": cycles, "boundary": boundary, "seeds": list(seeds), "sha256": digests}
    _write_flushed(aside / "manifest.json", json.dumps(manifest, indent=1).encode())
    shutil.rmtree(final, ignore_errors=True)
    os.replace(aside, final)
    for old in _all(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def newest(folder: Path) -> tuple[Path, dict] | None:
    """The newest checkpoint whose files are all there and unchanged, with its manifest; None if there is none."""
    for path in reversed(_all(folder)):
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            if manifest["format"] != FORMAT:
                continue
            if all(
                hashlib.sha256((path / name).read_bytes()).hexdigest() == digest
                for name, digest in manifest["sha256"].items()
                if Path(name).name == name
            ):
                return path, manifest
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def read(path: Path, manifest: dict, like: list[TrainState]) -> list[TrainState]:
    """The states that a checkpoint holds, each checked against ``like`` leaf by leaf."""
    states = []
    for seed, state in zip(manifest["seeds"], like, strict=True):
        file = path / f"seed-{int(seed)}.safetensors"
        try:
            named = load(file.read_bytes())
        except (OSError, SafetensorError) as error:
            raise Refusal(f"the checkpoint {file} cannot be read: {error}") from None
        states.append(fill(state, named, str(file)))
    return states


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("cycle-*") if path.is_dir())


def _write_flushed(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
