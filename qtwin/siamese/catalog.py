"""The Siamese methods: one record for each. Read without importing JAX.

A new method is a module that reads like an agent's, and its record here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qtwin.config.siamese import SiameseConfig
from qtwin.records import Catalogue, blanks, dangling

TARGETS = ("any", "none")


class MethodInfo(NamedTuple):
    """All facts about a self-supervised method.

    Attributes:
      name: its name.
      about: one line about it.
      paper: the source.
      build: ``(images [M, H, W, C], config) -> Algorithm`` as ``"module:function"``, imported when used.
      defaults: its own defaults of `qtwin.config.siamese.SiameseConfig`, over those that all methods share on such
        images.
      on_digits: further defaults for the digits.
      target: "any" target update, or "none": both branches get gradients, and the networks stay tied.
      predictor: the online network has a predictor.
      symmetric: the setting ``symmetric`` applies.
      ablates_stop_gradient: the stop-gradient may be removed, with a tied target.
      temperature: its loss is a softmax over similarities with a temperature.
      queue: keys of earlier batches serve as negatives.
      norm_on_output: its paper has batch norm on the projector's output as well.
    """

    name: str
    about: str
    paper: str
    build: str
    defaults: Mapping[str, Any]
    on_digits: Mapping[str, Any]
    target: str = "any"
    predictor: bool = False
    symmetric: bool = False
    ablates_stop_gradient: bool = False
    temperature: bool = False
    queue: bool = False
    norm_on_output: bool = False

    @property
    def line(self) -> str:
        """What ``qtwin list methods`` says of it."""
        return f"{self.about} ({self.paper})" if self.paper else self.about


_METHODS = (
    MethodInfo(
        "simsiam", "SimSiam: a predictor, and one encoder with a stop-gradient on the other branch", "Chen & He 2021",
        "qtwin.siamese.simsiam:simsiam", {}, {}, predictor=True, symmetric=True, ablates_stop_gradient=True,
        norm_on_output=True,
    ),
    MethodInfo(
        "byol", "BYOL: a predictor, and a target network with soft updates", "Grill 2020", "qtwin.siamese.byol:byol",
        # The target follows along a cosine from 0.004 (its section 3.2) and a bottleneck as wide as the projector.
        {"target": "cosine:0.004"},
        # BYOL's loss has four times the gradient of SimSiam's; its twin has 2,750 gradient steps to catch up, not a
        # million.
        {"target": "cosine:0.05", "projector": "256,128", "bottleneck": 256, "learning_rate": 0.4},
        predictor=True, symmetric=True,
    ),
    MethodInfo(
        "moco", "MoCo v2: contrastive; keys from a softly updated target network, negatives from a queue", "He 2020",
        "qtwin.siamese.moco:moco",
        # Version 2's temperature; a queue and a pace for small data, as in the authors' CIFAR-10 demonstration.
        {"target": "soft:0.01", "temperature": 0.1, "predictor": "none"}, {}, temperature=True, queue=True,
    ),
    MethodInfo(
        "simclr", "SimCLR: contrastive; no target network, negatives from the batch", "Chen 2020",
        "qtwin.siamese.simclr:simclr", {"temperature": 0.5, "predictor": "none"}, {}, target="none", temperature=True,
    ),
)  # fmt: skip
METHODS = Catalogue("method", MethodInfo, _METHODS, "qtwin.siamese.catalog:problems")


def those_with(field: str, value: Any = True) -> list[str]:
    """The methods whose record says so, by name."""
    return [name for name, info in METHODS.items() if getattr(info, field) == value]


def problems(info: MethodInfo, outside: bool = False) -> list[str]:
    """What is wrong with a method's record, one line each; nothing for a whole one.

    Args:
      info: the record.
      outside: it is not one of this package's own.
    """
    wrong = blanks(info, ("paper",) if outside else ()) + dangling(info, ("build",), outside)
    if info.target not in TARGETS:
        wrong.append(f"target is one of {', '.join(TARGETS)}, not {info.target}")
    settings = SiameseConfig.__dataclass_fields__
    for field in ("defaults", "on_digits"):
        given = getattr(info, field)
        wrong += [f"{field} names '{name}', which is no setting" for name in given or {} if name not in settings]
    if not info.predictor and dict(info.defaults or {}).get("predictor") != "none":
        wrong.append("it has no predictor, and its defaults do not say so")
    if info.target == "none" and "target" in {**(info.defaults or {}), **(info.on_digits or {})}:
        wrong.append("it has no target, and its defaults name one")
    return wrong
