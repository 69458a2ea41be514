"""What each method runs when nothing else is asked for. Read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.config.siamese import SiameseConfig

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
_METHODS = {
    "simsiam": {},
    # The target follows along a cosine from 0.004 (its section 3.2) and a bottleneck as wide as the projector.
    "byol": {"target": "cosine:0.004"},
    # Version 2's temperature; a queue and a pace for small data, as in the authors' CIFAR-10 demonstration.
    "moco": {"target": "soft:0.01", "temperature": 0.1, "predictor": "none"},
    "simclr": {"temperature": 0.5, "predictor": "none"},
}


# BYOL's loss has four times the gradient of SimSiam's; its twin has 2,750 gradient steps to catch up, not a million.
_DIGIT_METHODS = {
    "byol": {"target": "cosine:0.05", "projector": "256,128", "bottleneck": 256, "learning_rate": 0.4},
}


def defaults_for(method: str, data: str) -> SiameseConfig:
    """The method's own settings for the images that ``data`` names."""
    base = _DIGITS if data == "digits" else _FRAMES if data.endswith(".safetensors") else _PICTURES
    own = _METHODS[method] | (_DIGIT_METHODS.get(method, {}) if data == "digits" else {})
    return dataclasses.replace(base, method=method, data=data, **own)
