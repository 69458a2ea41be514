"""One run of self-supervised learning as plain data. Read without importing JAX."""

from __future__ import annotations

import dataclasses

PREDICTORS = {
    "learned": "two layers with a bottleneck, at a constant learning rate",
    "scheduled": "the same at the learning rate of the others, which falls",
    "fixed": "the same as it began, random (SimSiam's ablation)",
    "none": "the projection is compared as it is (SimSiam's ablation)",
}
BATCH_NORMS = {
    "default": "as the paper has it: on every layer of the projector, on the predictor's hidden one",
    "hidden": "on hidden layers only",
    "all": "on every layer, the predictor's output included",
    "none": "nowhere in projector and predictor",
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
      batch_norm: where batch norm stands, a key of ``BATCH_NORMS``.
      target: how the target network follows.
      stats_policy: what becomes of the target's batch-norm statistics (`qtwin.twin.STATS_POLICIES`). While learning
        every pass normalises by its own batch, so they matter only where the target network itself is looked at.
      stop_gradient: False lets the gradient through to the other branch (SimSiam's ablation; a tied target only).
      symmetric: each view predicts the other; False: the first predicts the second only.
      temperature: of the softmax over similarities (MoCo, SimCLR).
      queue: keys of earlier batches that serve as negatives (MoCo). [images]
      augment: what makes a view of an image, steps with a plus between: ``crop:0.3+flip+colour+blur+shift:4``.
      learning_rate: of SGD for a batch of 256; scaled by batch / 256, falling along a cosine.
      momentum: of SGD.
      weight_decay: of SGD.
      batch: images in a batch. [images]
      epochs: passes over the images. A pass shows each image once, in an order of its own, in whole batches; the images
        left over are others in each pass. [passes]
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
