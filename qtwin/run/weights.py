"""A network's weights alone, out of an exported file or out of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qtwin.errors import Refusal, Unusable
from qtwin.run.checkpoint import fill, leaves_of, read_manifest
from qtwin.storage import block_store
from qtwin.storage.tensor_files import Held, fits, read_tensors
from qtwin.types import Variables


def read_variables(file: Path, like: Variables) -> Variables:
    """A network's variables from an exported file: its parameters, and under ``stats.`` its statistics.

    Args:
      file: a safetensors file.
      like: the shapes and types of what is expected.

    Raises:
      Refusal: it cannot be read, or holds something else; nothing has been allocated then.
    """
    params, stats = leaves_of(like.params), {f"stats.{name}": leaf for name, leaf in leaves_of(like.stats).items()}
    try:
        named = read_tensors(file, lambda held: fits(str(file), held, params | stats))
    except OSError as error:
        raise Refusal(f"the weights {file} cannot be read: {error}") from None
    except Unusable as error:
        raise Refusal(f"the weights cannot be read: {error}") from None
    named_stats = {name: named[f"stats.{name}"] for name in leaves_of(like.stats)}
    return Variables(
        fill(like.params, {name: named[name] for name in params}, str(file)), fill(like.stats, named_stats, str(file))
    )


def online_of(path: Path, seed: int, like: Variables) -> Variables:
    """One seed's online network, alone, out of a checkpoint.

    Args:
      path: the checkpoint.
      seed: which of its seeds.
      like: the shapes and types of what is expected.

    Raises:
      Refusal: there is no such checkpoint, it is damaged, or holds another network; the leaf is named.
    """
    try:
        manifest = read_manifest(path)
    except Unusable as error:
        raise Refusal(f"the checkpoint cannot be read: {error}") from None
    file, begins = path / f"seed-{seed}.safetensors", "twin.online."
    columns = {k: c for k, c in manifest["columns"].get(str(seed), {}).items() if k.startswith(begins)}
    wanted = {f"{begins}{name}": leaf for name, leaf in leaves_of(like).items()}
    beside = {name: Held(column["dtype"], tuple(column["shape"])) for name, column in columns.items()}

    def check(held: dict[str, Held]) -> None:
        ours = {name: each for name, each in held.items() if name.startswith(begins)}
        fits(str(file), beside | ours, wanted)

    try:
        named = read_tensors(file, check, manifest["sha256"][file.name])
    except OSError as error:
        raise Refusal(f"the checkpoint {file} cannot be read: {error}") from None
    except Unusable as error:
        raise Refusal(f"the checkpoint cannot be read: {error}") from None
    for name, column in columns.items():
        named[name] = np.asarray(block_store.column_of(path.parent, column, wanted[name], f"{file}: '{name}'"))
    return fill(like, {name.removeprefix(begins): named[name] for name in wanted}, str(file))
