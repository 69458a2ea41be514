"""From the options of ``qtwin siamese`` to a request: every check that needs no JAX, made before it is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from qtwin.config.options import number, option, read_fields
from qtwin.config.siamese import BATCH_NORMS, PREDICTORS, SiameseConfig
from qtwin.config.siamese_specs import augment_choice
from qtwin.errors import Refusal, one_of
from qtwin.nets.names import encoder_choice, widths_choice
from qtwin.request.check_target import is_plain
from qtwin.request.run_config import SavedRun, saved_run
from qtwin.request.run_options import RunOptions, go_on, placed, read_options
from qtwin.request.siamese_defaults import defaults_for
from qtwin.siamese.catalog import METHODS, MethodInfo, those_with
from qtwin.siamese.data import Images, load_images
from qtwin.siamese.sizes import LIMIT
from qtwin.target_update.specs import parse as parse_target

_ABLATED = ", ".join(those_with("ablates_stop_gradient"))
# field of `SiameseConfig`: (placeholder of its option, help text), in the order in which a method reads them
SETTINGS = {
    "encoder": ("NET", "encoder: conv:32,64,128 or resnet18"),
    "projector": ("WIDTHS", "widths of the projector's layers, for example 128,128"),
    "predictor": ("HOW", "predictor: learned, scheduled, fixed or none"),
    "bottleneck": ("N", "width of the predictor's hidden layer; 0 is a quarter of the projector's output"),
    "batch_norm": ("WHERE", "batch norm in projector and predictor: default, hidden, all or none"),
    "target": ("SPEC", "target update: tied, soft:0.01, cosine:0.004, hard:100, frozen, ... (qtwin list targets)"),
    "stats_policy": ("HOW", "batch-norm statistics of the target: own, copied, mixed or shared"),
    "stop_gradient": ("yes|no", f"no removes the stop-gradient (an ablation of {_ABLATED}, with --target tied)"),
    "symmetric": ("yes|no", "yes: each view predicts the other; no: the first predicts the second"),
    "temperature": ("T", f"softmax temperature ({', '.join(those_with('temperature'))})"),
    "queue": ("N", f"size of the queue of negatives ({', '.join(those_with('queue'))}) [images]"),
    "augment": ("STEPS", "augmentations, joined by plus: crop:0.3+shift:4+turn:20+flip+colour+grey+blur"),
    "learning_rate": ("RATE", "learning rate of SGD for a batch of 256, with cosine decay (also --learning-rate)"),
    "momentum": ("M", "momentum of SGD"),
    "weight_decay": ("D", "weight decay of SGD"),
    "batch": ("B", "batch size [images]"),
    "epochs": ("N", "epochs: passes over the images in whole batches"),
}
STATS_POLICIES = ("own", "copied", "mixed", "shared")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SiameseRequest(RunOptions):
    """What ``qtwin siamese`` is to do, checked as far as it can be without JAX; how it is carried out is `RunOptions`.

    Attributes:
      config: the run.
      images: what ``config.data`` names, read.
    """

    config: SiameseConfig
    images: Images


def build(
    method: str,
    *,
    data: str | None = None,
    data_limit: float | str = LIMIT,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> SiameseRequest:
    """Puts a request together: a setting that is given, before the method's own for such images.

    With ``resume``, what is not given is what the run in ``out`` had.

    Args:
      method: a key of `qtwin.siamese.catalog.METHODS`.
      data: the images (`qtwin.siamese.data.load_images`); digits if None.
      data_limit: memory that the images may take. [GiB]
      settings: fields of `SiameseConfig` by name, as values or as the text an option holds.
      **options: seeds, seed, out, resume, log_points (15), quiet, checkpoints, keep: see
        `qtwin.request.run_options.Given`.

    Raises:
      Refusal: what was asked for makes no sense, the images cannot be learned from, or the run in ``out`` is of another
        method or had other settings.
    """
    one_of("method", method, METHODS)
    given = read_options(options, log_points=15)
    saved = _saved(given.out, method) if given.resume else None
    base = saved.config if saved else defaults_for(method, "digits" if data is None else data)
    read = read_fields(settings or {}, base, ("method", "data"))
    config = dataclasses.replace(base, data=base.data if data is None else data, **read)
    data_limit = number(data_limit, "--data-limit")
    seeds, run = go_on(given, config, {}, saved)
    check(config)
    images = load_images(config.data, limit=data_limit)
    encoder_choice(config.encoder, images.train.shape[1:])
    if config.batch > len(images.train):
        raise Refusal(
            f"there are {len(images.train):,} images to learn from and a batch needs {config.batch:,}; write --batch"
            f" {max(2, len(images.train) // 4)}"
        )
    options = placed(given, seeds, run["checkpoints"], f"{images.name}-{method}")
    return SiameseRequest(config=config, images=images, **options)


def check(c: SiameseConfig) -> None:
    """Refuses settings that make no sense, whatever the images are."""
    encoder_choice(c.encoder)
    widths = widths_choice(c.projector, f"--projector is written WIDTH,WIDTH,..., not '{c.projector}'; write 128,128")
    one_of("predictor", c.predictor, PREDICTORS)
    one_of("place for batch norm", c.batch_norm, BATCH_NORMS)
    one_of("batch-norm policy", c.stats_policy, STATS_POLICIES)
    augment_choice(c.augment)
    rule = parse_target(c.target, 1)
    if not is_plain(rule):
        raise Refusal(
            f"--target {c.target} is for action values, which a Siamese network does not have; write --target soft:0.01"
        )
    if c.batch < 2:
        raise Refusal(f"batch norm needs at least two images per batch, not {c.batch}; write --batch 128")
    for field in ("epochs", "queue"):
        if getattr(c, field) < 1:
            raise Refusal(f"{option(field)} is a whole number of at least 1, not {getattr(c, field)}; write 100")
    for field in ("learning_rate", "temperature"):
        if not getattr(c, field) > 0:
            raise Refusal(f"{option(field)} is a number greater than 0, not {getattr(c, field):g}; write 0.1")
    if c.momentum >= 1:
        raise Refusal(f"--momentum is at least 0 and below 1, not {c.momentum:g}; write --momentum 0.9")
    _check_method(c, METHODS[c.method], rule.tied)
    if c.predictor != "none" and widths[-1] < 4 and not c.bottleneck:
        raise Refusal(
            f"a quarter of the projector's output of {widths[-1]} is too small for a hidden layer; write --bottleneck 1"
        )


def _check_method(c: SiameseConfig, info: MethodInfo, tied: bool) -> None:
    """Refuses settings that the method has no use for, as its record says."""
    if info.target == "none" and not tied:
        raise Refusal(
            f"{c.method} has no target network and takes no --target {c.target}; leave it out, or use the method"
            f" {those_with('target', 'any')[-1]}"
        )
    if not c.stop_gradient and not (info.ablates_stop_gradient and tied):
        raise Refusal(
            f"--stop-gradient no is an ablation of {_ABLATED} with --target tied, not of {c.method} with --target"
            f" {c.target}; leave it out"
        )
    if not info.predictor and c.predictor != "none":
        raise Refusal(
            f"{c.method} has no predictor and takes no --predictor {c.predictor}; leave it out, or use the method"
            f" {those_with('predictor')[-1]}"
        )
    if not info.symmetric and not c.symmetric:
        who = " and ".join(those_with("symmetric"))
        raise Refusal(f"--symmetric no applies to {who}, not to {c.method}; leave it out")
    if info.queue and c.queue < c.batch:
        raise Refusal(f"a queue of {c.queue} keys is smaller than a batch of {c.batch}; write --queue {4 * c.batch}")


def _saved(out: str | None, method: str) -> SavedRun:
    """The Siamese run in ``out``; refuses one of another method."""
    saved = saved_run(out, SiameseConfig)
    before = saved.config.method
    if method != before:
        raise Refusal(
            f"the run in {out} is one of {before}, not {method}; write qtwin siamese {before} --resume --out {out}"
        )
    return saved
