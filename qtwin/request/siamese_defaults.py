"""What each method runs when nothing else is asked for. Read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.config.siamese import SiameseConfig
from qtwin.siamese.catalog import METHODS

# Chen & He 2021, appendix D (CIFAR-10), but for the encoder and the widths, which are for two cores.
_PICTURES = SiameseConfig(
    encoder="conv:32,64,128,256", projector="256,256", augment="crop:0.2+flip+colour+grey", learning_rate=0.03,
    weight_decay=5e-4, batch=256, epochs=100,
)  # fmt: skip
# Nothing published: found on the digits themselves, with one seed, and shown with others.
_DIGITS = SiameseConfig(
    encoder="conv:16,32,64", projector="128,128,128", augment="crop:0.5+shift:6+turn:20+colour", learning_rate=0.6,
    batch=128, epochs=250,
)  # fmt: skip
# Frames of a game are neither mirrored nor recoloured: a ball on the right is no ball on the left.
_FRAMES = dataclasses.replace(_PICTURES, encoder="conv:32,64,128", augment="crop:0.5+shift:2")


def defaults_for(method: str, data: str) -> SiameseConfig:
    """The method's own settings for the images that ``data`` names."""
    base = _DIGITS if data == "digits" else _FRAMES if data.endswith(".safetensors") else _PICTURES
    info = METHODS[method]
    own = {**info.defaults, **(info.on_digits if data == "digits" else {})}
    return dataclasses.replace(base, method=method, data=data, **own)
