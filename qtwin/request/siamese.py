"""From the options of ``qtwin siamese`` to a request: every check that needs no JAX, made before it is imported."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from qtwin.config.options import number, option, read_fields, whole
from qtwin.config.siamese import BATCH_NORMS, PREDICTORS, SiameseConfig
from qtwin.config.siamese_specs import augment_choice
from qtwin.errors import Refusal, one_of
from qtwin.nets.names import encoder_choice, widths_choice
from qtwin.request.check_target import is_plain
from qtwin.request.retention import CHECKPOINTS, KEEP, parse_checkpoints, parse_keep
from qtwin.request.run_config import BOUND, as_before, read_config, same_run
from qtwin.request.run_directory import place_of, seeds_of
from qtwin.request.siamese_defaults import defaults_for
from qtwin.siamese.catalog import METHODS, MethodInfo, those_with
from qtwin.siamese.data import Images, load_images
from qtwin.siamese.sizes import LIMIT
from qtwin.target_update.specs import parse as parse_target

_ABLATED = ", ".join(those_with("ablates_stop_gradient"))
# field of `SiameseConfig`: (what its option takes, what it means), in the order in which a method reads
SETTINGS = {
    "encoder": ("NET", "the encoder: conv:32,64,128 or resnet18"),
    "projector": ("WIDTHS", "the projector's layers, 128,128"),
    "predictor": ("HOW", "the predictor: learned, scheduled, fixed, none"),
    "bottleneck": ("N", "its hidden layer; 0 is a quarter of the projector's output"),
    "batch_norm": ("WHERE", "in projector and predictor: default, hidden, all, none"),
    "target": ("SPEC", "process 2: tied, soft:0.01, cosine:0.004, hard:100, frozen (qtwin list targets)"),
    "stats_policy": ("HOW", "the target's batch-norm statistics: own, copied, mixed, shared"),
    "stop_gradient": ("yes|no", f"no lets the gradient through to the target branch ({_ABLATED}, tied)"),
    "symmetric": ("yes|no", "each view predicts the other; no: the first predicts the second"),
    "temperature": ("T", f"of the softmax over similarities ({', '.join(those_with('temperature'))})"),
    "queue": ("N", f"keys of earlier batches that count as unlike ({', '.join(those_with('queue'))}) [images]"),
    "augment": ("STEPS", "what makes a view: crop:0.3+shift:4+turn:20+flip+colour+grey+blur"),
    "learning_rate": ("RATE", "for a batch of 256; falls along a cosine"),
    "momentum": ("M", "of SGD"),
    "weight_decay": ("D", "of SGD"),
    "batch": ("B", "images in a batch"),
    "epochs": ("N", "passes over the images, each shown once in a pass, in whole batches"),
}
STATS_POLICIES = ("own", "copied", "mixed", "shared")


@dataclasses.dataclass(frozen=True)
class SiameseRequest:
    """What ``qtwin siamese`` is to do, checked as far as it can be without JAX.

    Attributes:
      config: the run.
      images: what ``config.data`` names, read.
      seeds: which seeds, trained side by side.
      out: the run directory, which holds nothing yet, or the run to go on with.
      resume: go on with the run in ``out``.
      log_points: how many times on the way the features are judged.
      quiet: say nothing.
      checkpoints: how many, or ``every:N`` gradient steps (`qtwin.request.retention.parse_checkpoints`).
      keep: which of them stay (`qtwin.request.retention.parse_keep`).
    """

    config: SiameseConfig
    images: Images
    seeds: tuple[int, ...]
    out: str
    resume: bool
    log_points: int
    quiet: bool
    checkpoints: str = CHECKPOINTS
    keep: str = KEEP


def build(
    method: str,
    *,
    data: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    out: str | None = None,
    resume: bool = False,
    log_points: int = 15,
    quiet: bool = False,
    checkpoints: str | int | None = None,
    keep: str | int | None = None,
    data_limit: float | str = LIMIT,
    settings: dict[str, Any] | None = None,
) -> SiameseRequest:
    """Puts a request together: a setting that is given, before the method's own for such images.

    With ``resume``, what is not given is what the run in ``out`` had.

    Args:
      method: a key of `qtwin.siamese.catalog.METHODS`.
      data: the images (`qtwin.siamese.data.load_images`); digits if None.
      seeds, seed, out, resume, log_points, quiet, checkpoints, keep: as for training (`qtwin.request.train.build`).
      data_limit: memory that the images may take. [GiB]
      settings: fields of `SiameseConfig` by name, as values or as the text an option holds.

    Raises:
      Refusal: what was asked for makes no sense, the images cannot be learned from, or the run in ``out`` is of another
        method or had other settings.
    """
    one_of("method", method, METHODS)
    saved = _saved(out, method) if resume else None
    base = saved.config if saved else defaults_for(method, "digits" if data is None else data)
    given = read_fields(settings or {}, base, ("method", "data"))
    config = dataclasses.replace(base, data=base.data if data is None else data, **given)
    log_points = whole(log_points, "--log-points", 1)
    data_limit = number(data_limit, "--data-limit")
    keep = KEEP if keep is None else str(keep)
    parse_keep(keep)
    checkpoints = None if checkpoints is None else str(checkpoints)
    if checkpoints is not None:
        parse_checkpoints(checkpoints)
    picked = saved.seeds if saved and seeds is None and seed is None else seeds_of(seeds, seed)
    run = BOUND | {"checkpoints": checkpoints or BOUND["checkpoints"]}
    if saved:
        run = as_before(run, saved.file["run"])
        same_run(Path(str(out)), saved.file, config, picked, run)
    check(config)
    images = load_images(config.data, limit=data_limit)
    encoder_choice(config.encoder, images.train.shape[1:])
    if config.batch > len(images.train):
        raise Refusal(
            f"there are {len(images.train):,} images to learn from and a batch needs {config.batch:,}; write --batch"
            f" {max(2, len(images.train) // 4)}"
        )
    place = place_of(out, resume, f"{images.name}-{method}")
    return SiameseRequest(config, images, picked, place, resume, log_points, quiet, run["checkpoints"], keep)


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
        raise Refusal(f"--target {c.target} is for action values, and a Siamese network has none; write soft:0.01")
    if c.batch < 2:
        raise Refusal(
            f"batch norm learns from what differs in a batch, and a batch of {c.batch} holds nothing that does; write"
            " --batch 128"
        )
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
        raise Refusal(f"a quarter of the projector's {widths[-1]} numbers is no layer; write --bottleneck 1")


def _check_method(c: SiameseConfig, info: MethodInfo, tied: bool) -> None:
    """Refuses settings that the method has no use for, as its record says."""
    if info.target == "none" and not tied:
        raise Refusal(
            f"{c.method} has no target, both twins learn, and --target {c.target} came; leave it out, or write"
            f" {those_with('target', 'any')[-1]}"
        )
    if not c.stop_gradient and not (info.ablates_stop_gradient and tied):
        raise Refusal(
            f"--stop-gradient no lets the gradient through to a tied twin, which is {_ABLATED}'s ablation, and"
            f" {c.method} with --target {c.target} came; write {those_with('ablates_stop_gradient')[-1]} --target tied"
        )
    if not info.predictor and c.predictor != "none":
        raise Refusal(
            f"{c.method} has no predictor, and --predictor {c.predictor} came; leave it out, or write"
            f" {those_with('predictor')[-1]}"
        )
    if not info.symmetric and not c.symmetric:
        who = " and ".join(those_with("symmetric"))
        raise Refusal(f"--symmetric no is for {who}, and {c.method} came; leave it out")
    if info.queue and c.queue < c.batch:
        raise Refusal(f"the queue holds {c.queue} keys and a batch brings {c.batch}; write --queue {4 * c.batch}")


class Saved(NamedTuple):
    """A run that is to be gone on with: its settings, its seeds, and all of its ``config.json``."""

    config: SiameseConfig
    seeds: tuple[int, ...]
    file: dict


def _saved(out: str | None, method: str) -> Saved:
    """The Siamese run in ``out``; refuses one of another method."""
    found = read_config(Path(place_of(out, True)), SiameseConfig)
    known = {field.name for field in dataclasses.fields(SiameseConfig)}
    config = SiameseConfig(**{k: v for k, v in found["config"].items() if k in known})
    if method != config.method:
        raise Refusal(
            f"the run in {out} is one of {config.method}, not {method}; write qtwin siamese {config.method} --resume"
            f" --out {out}"
        )
    return Saved(config, tuple(found["seeds"]), found)
