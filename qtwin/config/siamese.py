"""The settings of a self-supervised run. Read without importing JAX."""

from __future__ import annotations

import dataclasses

PREDICTORS = {
    "learned": "two layers with a bottleneck, constant learning rate",
    "scheduled": "the same with the decaying learning rate of the other layers",
    "fixed": "the same, fixed at its random initialisation (SimSiam ablation)",
    "none": "no predictor (SimSiam ablation)",
}
BATCH_NORMS = {
    "default": "as in the paper: all projector layers and the predictor's hidden layer",
    "hidden": "hidden layers only",
    "all": "all layers, including the predictor's output",
    "none": "none in projector and predictor",
}


@dataclasses.dataclass(frozen=True)
class SiameseConfig:
    """A run, in the order in which a method reads: NETWORK, TARGET, LOSS, RATES.

    Attributes:
      method: a key of `qtwin.siamese.catalog.METHODS`.
      data: the images, as `qtwin.siamese.data.load_images` takes them.
      encoder: ``conv:32,64,128`` (3x3 convolutions of stride 2 with batch norm, then a mean over the image) or
        ``resnet18``.
      projector: widths of the projector's layers, the last that of its output.
      predictor: a key of ``PREDICTORS`` (SimSiam and BYOL).
      bottleneck: width of the predictor's hidden layer; 0 is a quarter of the projector's output.
      batch_norm: where batch norm is applied, a key of ``BATCH_NORMS``.
      target: the target update.
      stats_policy: how the target gets its batch-norm statistics (`qtwin.twin.STATS_POLICIES`). Training normalises
        every batch by its own statistics, so they matter only where the target network itself is evaluated.
      stop_gradient: False removes the stop-gradient (SimSiam ablation; tied target only).
      symmetric: each view predicts the other; False: the first predicts the second only.
      temperature: of the softmax over similarities (MoCo, SimCLR).
      queue: size of the queue of negatives (MoCo). [images]
      augment: augmentations joined by plus: ``crop:0.3+flip+colour+blur+shift:4``.
      learning_rate: of SGD for a batch of 256; scaled by batch / 256, with cosine decay.
      momentum: of SGD.
      weight_decay: of SGD.
      batch: batch size. [images]
      epochs: passes over the images. Each pass is a new permutation, cut into whole batches; a remainder is left out,
        a different one in each pass. [passes]
    """

    method: str = "simsiam"
    data: str = "digits"
    encoder: str = "conv:32,64,128"
    projector: str = "128,128,128"
    predictor: str = "learned"
    bottleneck: int = 0
    batch_norm: str = "default"
    target: str = "tied"
    stats_policy: str = "own"
    stop_gradient: bool = True
    symmetric: bool = True
    temperature: float = 0.2
    queue: int = 1024
    augment: str = "crop:0.3+flip+colour"
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = 256
    epochs: int = 100
