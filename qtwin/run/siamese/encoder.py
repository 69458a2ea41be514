"""A trained encoder as files that anybody can read, and back again.

encoder = qtwin.load_encoder("runs/digits-simsiam-1")
features = encoder(images)                  # [M, H, W, C] -> [M, D]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qtwin.config.siamese import SiameseConfig
from qtwin.errors import Refusal
from qtwin.nets.names import encoder_choice
from qtwin.siamese.arrays import as_images
from qtwin.storage.reading import Anything, MapOf, problem, read_record, shown
from qtwin.storage.schemas import ENCODER
from qtwin.types import Array, Variables

FORMAT = 1
HEADER = 2**20  # bytes that the names and shapes in a file of weights may take


class Encoder(NamedTuple):
    """A trained encoder.

    Attributes:
      image_shape: [H, W, C] of the images that it takes.
      seed: the run's seed that trained it.
      variables: its parameters and batch-norm statistics.
      features: ``(variables, images [M, H, W, C]) -> features [M, D]``.
    """

    image_shape: tuple[int, int, int]
    seed: int
    variables: Variables
    features: Callable[[Variables, Array], np.ndarray]

    def __call__(self, images: Array) -> np.ndarray:
        """Features of images: [M, H, W, C] -> [M, D] float32.

        Args:
          images: uint8, uint16 or bool, or floating-point numbers from 0 to 1; scaled by their type, as
            `qtwin.siamese.arrays.as_images` scales those that are learned from.

        Raises:
          Refusal: the images have another shape or type, or numbers outside of [0, 1].
        """
        images = np.asarray(images)
        if images.shape[1:] != tuple(self.image_shape):
            raise Refusal(
                f"the encoder takes images {['M', *self.image_shape]}, and {list(images.shape)} came; reshape or resize"
            )
        return self.features(self.variables, as_images("what the encoder takes", images))


def export(folder: Path, config: SiameseConfig, image_shape: tuple[int, ...], variables: dict[int, Variables]) -> None:
    """Writes ``encoder.json`` and a ``seed-S.safetensors`` for each seed.

    Args:
      folder: the run's ``encoder`` directory.
      config: names the encoder.
      image_shape: [H, W, C].
      variables: each seed's online network, of which the encoder alone is written.
    """
    from safetensors.numpy import save_file

    from qtwin.run.checkpoint import named_leaves

    folder.mkdir(parents=True, exist_ok=True)
    for seed, online in variables.items():
        part = online.part("encoder")
        named = named_leaves(part.params) | {f"stats.{name}": leaf for name, leaf in named_leaves(part.stats).items()}
        save_file(named, str(folder / f"seed-{seed}.safetensors"))
    description = {
        "format": FORMAT,
        "method": config.method,
        "data": config.data,
        "encoder": config.encoder,
        "image_shape": list(image_shape),
        "features": encoder_choice(config.encoder)[-1],
        "seeds": sorted(variables),
    }
    (folder / "encoder.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def load_encoder(run: str | Path, seed: int | None = None) -> Encoder:
    """The encoder that a run of ``qtwin siamese`` trained.

    Args:
      run: the run's directory.
      seed: which of its seeds; the first if left out.

    Raises:
      Refusal: there is no finished run there, the seed is none of its seeds, or a file is damaged.
    """
    folder = Path(run) / "encoder"
    description = _read(folder)
    seeds = description["seeds"]
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise Refusal(f"the run {run} holds the seeds {', '.join(map(str, seeds))}, not {seed}")
    import jax

    from qtwin.nets.encoders import encoder_network
    from qtwin.run.weights import read_variables
    from qtwin.siamese.features import featuriser

    shape, file = tuple(description["image_shape"]), folder / f"seed-{seed}.safetensors"
    like = encoder_network(shape, description["encoder"])[0].init
    like = jax.eval_shape(like, jax.random.key(0))  # no size is believed before the file has that many numbers
    variables = read_variables(file, like)
    return Encoder(shape, seed, variables, featuriser(shape, description["encoder"]))


def _read(folder: Path) -> dict:
    file = folder / "encoder.json"
    if not file.is_file():
        raise Refusal(
            f"{folder.parent} holds no finished encoder ({file.name} is missing); name a run of qtwin siamese"
        )
    again = "train again or name another run"
    found = read_record(file, MapOf(Anything()), again)
    if found.get("format") != FORMAT:
        raise Refusal(f"{file} has format {shown(found.get('format'))} and this version reads {FORMAT}; update qtwin")
    if wrong := problem(found, ENCODER):
        raise Refusal(f"{file} is damaged: {wrong}; {again}")
    try:
        encoder_choice(found["encoder"], tuple(found["image_shape"]))
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{file} is damaged ({type(error).__name__}: {error}); {again}") from None
    return found
