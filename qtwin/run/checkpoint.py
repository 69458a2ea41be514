"""Checkpoints: the whole of every seed's `TrainState`, with a SHA-256 of every file; written aside, then renamed.

A checkpoint is a folder ``cycle-CYCLES`` with a safetensors file for each seed and ``manifest.json``, which names every
file's hash and closes with its own. What is large, the columns of a replay, is cut into blocks of `BLOCK_BYTES`, each
kept once, under its hash, in ``blocks/`` beside the checkpoints (`qtwin.storage.block_store`): rows that have not
changed since the checkpoint before are not written again, whatever kind of replay holds them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors.numpy import save

from qtwin.errors import Unusable
from qtwin.request.retention import DEFAULT, Keep, Saved
from qtwin.state import TrainState
from qtwin.storage import block_store
from qtwin.storage.files import open_regular, read_json, sha256_of, sync_folder, write_flushed
from qtwin.storage.tensor_files import Held, fits, read_header, read_tensors
from qtwin.types import PyTree

FORMAT = 4
# Until 4 the target's variables were called its follower; 1 had no blocks, no closing hash and no count of faults; 2 no
# count of those of environments.
READABLE = (1, 2, 3, 4)
FAULTS_OF_ENVS = 3  # the first format that has a count of those
RENAMED = {"twin.follower.": "twin.target_variables.", "twin.sibling_follower.": "twin.sibling_variables."}
T = TypeVar("T")
FOLDER = re.compile(r"cycle-\d{12}")


def named_leaves(tree: PyTree) -> dict[str, np.ndarray]:
    """A pytree's leaves under the names of the path that leads to each, ``twin.online.params.head.kernel``."""
    return {name: np.asarray(leaf, order="C") for name, leaf in leaves_of(tree).items()}


def leaves_of(tree: PyTree) -> dict[str, Any]:
    """A pytree's leaves by name, as they are."""
    return {".".join(map(_part, path)): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


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
    wanted = leaves_of(like)
    fits(where, named, wanted)
    return jax.tree.unflatten(jax.tree.structure(like), [named[name] for name in wanted])


def write(
    folder: Path,
    cycles: int,
    boundary: int,
    seeds: tuple[int, ...],
    states: Iterable[TrainState],
    keep: Keep = DEFAULT,
    score: float | None = None,
    known: set[str] | None = None,
) -> Path:
    """Saves every seed's state as ``folder/cycle-CYCLES``; then those that ``keep`` does not ask for go.

    Args:
      folder: the run's ``checkpoints`` directory.
      cycles: cycles turned so far.
      boundary: how many checkpoints came before this one.
      seeds: which seeds.
      states: their states, as numpy arrays; taken one after another, so that only one need be in memory.
      keep: which checkpoints stay.
      score: what the best are chosen by.
      known: hashes of blocks that this process has written or verified, added to here. A block on the disk that is not
        among them is read and verified before it is relied upon.

    Raises:
      OSError: it could not be written; the checkpoints before it are as they were.
    """
    final, aside = folder / f"cycle-{cycles:012d}", folder / f".writing-{os.getpid()}"
    clear(folder)
    aside.mkdir(parents=True)
    digests, sizes, columns = {}, {}, {}
    try:
        for seed, state in zip(seeds, states, strict=True):
            small, columns[str(seed)] = block_store.split(
                folder, named_leaves(state), set() if known is None else known
            )
            data = save(small)
            name = f"seed-{seed}.safetensors"
            write_flushed(aside / name, data)
            digests[name], sizes[name] = hashlib.sha256(data).hexdigest(), len(data)
        manifest = {"format": FORMAT, "cycles": cycles, "boundary": boundary, "seeds": list(seeds), "score": score}
        manifest |= {"sha256": digests, "bytes": sizes, "columns": columns}
        manifest["closing"] = closing(manifest)
        write_flushed(aside / "manifest.json", json.dumps(manifest, indent=1).encode())
        sync_folder(aside)
        if final.exists():
            os.replace(final, folder / f".replaced-{os.getpid()}")
        os.replace(aside, final)
    except OSError:
        clear(folder)  # an unfinished checkpoint must not keep the room that the next one needs
        raise
    sync_folder(folder)
    prune(folder, keep)
    return final


def closing(manifest: dict) -> str:
    """The SHA-256 of all that a manifest says but this."""
    said = {name: value for name, value in manifest.items() if name != "closing"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def clear(folder: Path) -> None:
    """Removes what an unfinished save has left."""
    for old in (*folder.glob(".writing-*"), *folder.glob(".replaced-*")):
        shutil.rmtree(old, ignore_errors=True)


def prune(folder: Path, keep: Keep) -> None:
    """Removes the checkpoints that ``keep`` does not ask for, and the blocks that no other needs."""
    found = {}
    for path in _all(folder):
        try:
            manifest = read_manifest(path)
            found[path] = Saved(manifest["cycles"], manifest["boundary"], manifest.get("score"))
        except Unusable:
            found[path] = Saved(int(path.name[6:]), -1, None)  # unreadable here: it goes when newer ones have come
    stay = keep.choose(found.values())
    for path, each in found.items():
        if each.cycles not in stay:
            shutil.rmtree(path, ignore_errors=True)
    try:
        block_store.prune(folder, [read_manifest(path) for path in _all(folder)])
    except Unusable:
        return  # what a manifest that cannot be read needs is not known: no block goes


def newest(
    folder: Path, passed_over: list[str] | None = None, known: set[str] | None = None
) -> tuple[Path, dict] | None:
    """The newest checkpoint whose files are all there and unchanged, with its manifest; None if there is none.

    Args:
      folder: the run's ``checkpoints`` directory.
      passed_over: is told of every newer one that cannot be used: the file, and what is wrong with it.
      known: as for `write`.
    """
    for path in reversed(_all(folder)):
        try:
            manifest = read_manifest(path)
            for name, digest in manifest["sha256"].items():
                _verify(path / name, digest, manifest["bytes"].get(name))
            verified = block_store.verify(folder, manifest)
            if known is not None:
                known |= verified
            return path, manifest
        except Unusable as reason:
            if passed_over is not None:
                passed_over.append(str(reason))
    return None


def read_manifest(path: Path) -> dict:
    """A checkpoint's manifest, with everything in it that a file's name or an array's size is made of checked.

    Raises:
      Unusable: it is missing, damaged, of a later version, or names what no checkpoint holds.
    """
    file = path / "manifest.json"
    try:
        manifest = read_json(file)
        form = manifest["format"]
        if form not in READABLE:
            later = " (it is of a later version of qtwin)" if isinstance(form, int) and form > FORMAT else ""
            raise Unusable(f"{file}: format {str(form)[:40]}, and this version reads {FORMAT}{later}")
        if form >= 2 and manifest["closing"] != closing(manifest):
            raise Unusable(f"{file}: its closing hash does not fit what it says, so it is damaged")
        manifest = {"columns": {}, "bytes": {}} | manifest
        counts = [manifest["cycles"], manifest["boundary"], *manifest["seeds"], *manifest["bytes"].values()]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise Unusable(f"{file}: a count is no whole number of at least 0")
        if path.name != f"cycle-{manifest['cycles']:012d}":
            raise Unusable(f"{file}: it is of cycle {manifest['cycles']} and lies in {path.name}")
        if sorted(manifest["sha256"]) != sorted(f"seed-{seed}.safetensors" for seed in manifest["seeds"]):
            raise Unusable(f"{file}: the files it names are not those of its seeds")
        block_store.check(manifest["columns"], str(file))
    except Unusable:
        raise
    except OSError as error:
        raise Unusable(f"{file}: it cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Unusable(f"{file}: it is damaged ({type(error).__name__}: {str(error)[:80]})") from None
    return manifest


def read(
    path: Path, manifest: dict, like: list[TrainState], put: Callable[[block_store.Column], Any] = np.asarray
) -> list[TrainState]:
    """The states that a checkpoint holds, each checked against ``like`` leaf by leaf.

    Args:
      path: from `newest`.
      manifest: likewise.
      like: the shapes and types of what is expected.
      put: what becomes of a large array; left out, it is read whole.

    Raises:
      Refusal: it does not hold this run, or has changed since `newest` verified it.
    """
    states = []
    for seed, state in zip(manifest["seeds"], like, strict=True):
        file, columns = path / f"seed-{seed}.safetensors", by_present_names(manifest["columns"].get(str(seed), {}))
        wanted = leaves_of(state)
        # Faults that a run could not know of when it was saved have not happened.
        early = manifest["format"] < FAULTS_OF_ENVS
        new = {name: leaf for name, leaf in wanted.items() if early and name.startswith("faults.")}
        beside = {name: Held(np.dtype(leaf.dtype).name, leaf.shape) for name, leaf in new.items()}
        beside |= {name: Held(column["dtype"], tuple(column["shape"])) for name, column in columns.items()}
        try:
            named = read_tensors(
                file,
                lambda held, where=str(file), beside=beside, wanted=wanted: fits(
                    where, beside | by_present_names(held), wanted
                ),
                manifest["sha256"][file.name],
            )
        except OSError as error:
            raise block_store.unreadable(Unusable(f"{file}: it cannot be read ({error.strerror or error})")) from None
        except Unusable as error:
            raise block_store.unreadable(error) from None
        named = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in new.items()} | by_present_names(named)
        for name, column in columns.items():
            named[name] = put(block_store.column_of(path.parent, column, wanted[name], f"{file}: '{name}'"))
        states.append(fill(state, named, str(file)))
    return states


def by_present_names(leaves: Mapping[str, T]) -> dict[str, T]:
    """What an earlier format holds, by the names that the leaves of a state have now."""
    found = {}
    for name, leaf in leaves.items():
        old = next((old for old in RENAMED if name.startswith(old)), None)
        found[name if old is None else RENAMED[old] + name.removeprefix(old)] = leaf
    return found


def _all(folder: Path) -> list[Path]:
    found = folder.glob("cycle-*") if folder.is_dir() else ()
    return sorted(path for path in found if path.is_dir() and FOLDER.fullmatch(path.name))


def _verify(file: Path, digest: str, size: int | None) -> None:
    """Refuses a file that has changed since it was written."""
    try:
        if size is None:  # of an earlier version, which did not note it: the header says how large the file is
            with open_regular(file) as opened:
                read_header(opened, file)
        found = sha256_of(file, size)
    except OSError as error:
        raise Unusable(f"{file}: it cannot be read ({error.strerror or error})") from None
    if found != digest:
        raise Unusable(f"{file}: its SHA-256 is {found[:12]}... and the manifest says {str(digest)[:12]}...")
