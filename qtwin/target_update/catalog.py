"""The target update rules: one record for each. Read without importing JAX.

A new rule is a function that makes a `TargetUpdate`, and its record here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qtwin.records import Catalogue
from qtwin.target_update.adaptive_rules import chain, cosine, geometric, t_soft, until_converged
from qtwin.target_update.rules import TargetUpdate, averaged, frozen, hard, last_layer, soft, tied

TAKES = ("nothing", "numbers", "rule")


class TargetRuleInfo(NamedTuple):
    """All facts about a target update rule.

    Attributes:
      name: the part of its spec before the first colon.
      form: the form of its spec, for example ``soft:TAU[/EVERY]``.
      about: what it does, in one line.
      paper: the source; "" for this library's own.
      make: its function, which takes the arguments of the spec and returns a `TargetUpdate`; or
        ``"module:function"``, imported when used.
      example: a valid spec.
      takes: the arguments of the spec: "nothing", "numbers", or another "rule", which it modifies.
      least, most: how many numbers it takes.
      marks: the separators before the second and the third number.
      needs_length: its last number defaults to the length of the run in gradient steps.
    """

    name: str
    form: str
    about: str
    paper: str
    make: Callable[..., TargetUpdate] | str
    example: str
    takes: str = "numbers"
    least: int = 1
    most: int = 1
    marks: str = "/"
    needs_length: bool = False

    @property
    def line(self) -> str:
        """Its line in ``qtwin list targets``."""
        return f"{self.about} ({self.paper})" if self.paper else self.about


_RULES = (
    TargetRuleInfo(
        "hard", "hard:C", "copies the online network every C gradient steps", "Mnih 2015", hard, "hard:500"
    ),
    TargetRuleInfo(
        "soft", "soft:TAU[/EVERY]", "moves the fraction TAU towards the online network, every gradient step or every"
        " EVERY",
        "Lillicrap 2015, BYOL", soft, "soft:0.005", most=2,
    ),
    TargetRuleInfo(
        "cosine", "cosine:TAU[/K]",
        "soft update whose fraction decays from TAU to 0 along a cosine over K gradient steps (default: the whole run)",
        "BYOL, Grill 2020", cosine, "cosine:0.004", most=2, needs_length=True,
    ),
    TargetRuleInfo(
        "tied", "tied", "no separate copy: the online network behind a stop-gradient",
        "SimSiam; online Q-learning", tied, "tied",
        takes="nothing",
    ),
    TargetRuleInfo("frozen", "frozen", "never changes", "a control", frozen, "frozen", takes="nothing"),
    TargetRuleInfo(
        "until", "until:TOLERANCE/N",
        "copies when the relative improvement of the loss falls below TOLERANCE, or after N gradient steps",
        "Ernst 2005, Riedmiller 2005",
        until_converged, "until:0.01/2000", least=2, most=2,
    ),
    TargetRuleInfo(
        "geometric", "geometric:C0:Q", "copies after C0, C0 Q, C0 Q^2, ... gradient steps: a growing period", "",
        geometric, "geometric:100:1.1", least=2, most=2, marks=":",
    ),
    TargetRuleInfo(
        "t-soft", "t-soft:TAU[:NU]", "soft update, smaller for tensors that have jumped away",
        "Student's t, NU degrees of freedom; Kobayashi 2021", t_soft, "t-soft:0.005", most=2, marks=":",
    ),
    TargetRuleInfo(
        "averaged", "averaged:K:C", "mean Q-values of the last K snapshots, one every C gradient steps",
        "Anschel 2017", averaged, "averaged:5:100", least=2, most=2, marks=":",
    ),
    TargetRuleInfo(
        "chain", "chain:K:C[/D]",
        "a chain of K networks, each learning from the one before; it shifts every C gradient steps, and its inner"
        " targets are updated every D", "i-QN, Vincent 2025", chain, "chain:5:500/30", least=2, most=3, marks=":/",
    ),
    TargetRuleInfo(
        "last-layer", "last-layer:SPEC",
        "only the last layer has a target copy, updated by SPEC; the other layers are shared", "Vincent 2025",
        last_layer,
        "last-layer:hard:500", takes="rule",
    ),
)  # fmt: skip
SPECS = Catalogue("target update", TargetRuleInfo, _RULES, "qtwin.target_update.specs:problems")
