"""What is known of an agent without building it: the shape of its record. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qtwin.agents.own import Nothing
from qtwin.config.config import Config, config_class
from qtwin.config.option_specs import LOSS_NAMES
from qtwin.records import dangling

if TYPE_CHECKING:
    from qtwin.envs.spec import EnvSpec

NUMERIC = tuple(name for name in LOSS_NAMES if name != "cross-entropy")
# What an agent's network gives for each action, and what the network of an actor gives.
VALUES = ("values", "atoms", "classes", "quantiles", "fractions")
POLICIES = ("tanh", "tanh of the mean")
OWN_OUTPUT = "own"  # actions, by the algorithm's own `act`: its policy needs the algorithm to be loaded
ACTIONS = ("discrete", "continuous")
KEEPS = ("ring", "everything", "nothing")
# The options of the commands, and the arguments of the functions, that take an agent's settings beside them.
OPTIONS = (
    "help", "imports", "import", "agent", "agents", "preset", "config", "seeds", "seed", "out", "resume", "lr",
    "eval_episodes", "eval_max_steps", "log_points", "engine", "overlap", "diagnose", "checkpoints", "keep", "frames",
    "env_timeout", "env_mode", "on_nan", "quiet", "budget", "json", "version", "callbacks", "start_from", "on",
    "actors", "search", "trials", "settings",
)  # fmt: skip


class AgentInfo(NamedTuple):
    """All facts about one agent. Refusals, help, lists, tests and what is exported are derived from it.

    Attributes:
      name: as ``--agent`` has it.
      about: one line.
      paper: who and when.
      build: ``module:function`` of its screen, ``(EnvSpec, Config) -> Algorithm``; imported when it is built. Of a
        record from outside also the function itself.
      defaults: what it runs when nothing else is asked for.
      actions: what it can act in, some of ``ACTIONS``.
      output: what its network gives for each action, one of ``VALUES``, or of an actor one of ``POLICIES``; or
        ``OWN_OUTPUT`` where its exported policy acts by the algorithm's own ``act``.
      own: its own settings, a frozen dataclass of `qtwin.config.config.setting` fields.
      losses: names that ``loss`` may have.
      learns: why no others, where that is said: "learns quantiles by their own loss".
      bootstraps: kinds that ``bootstrap`` may have; () is any.
      carries: why no others, where that is said: "bootstraps from its actor's action".
      any_target: it takes every target rule and regulariser; else a plain target network and no regulariser.
      several: several of its networks can learn side by side, where ``bootstrap`` or ``target`` asks for that.
      weighted: it weighs its loss by importance, so that transitions may be drawn by priority.
      noisy: it can explore by a noisy network.
      epsilon: it explores by random actions, which may last.
      self_predicts: a self-predictive loss may stand beside its own.
      offline: it can learn from a recording.
      keeps: of what it collects, ``replay`` transitions ("ring"), as many as the budget at most ("everything"), or the
        cycle's own ("nothing").
      ignores: fields of `Config` that mean nothing to it.
      check: ``(config, spec) -> None``: refuses what no column says.
      variant: ``(spec, config) -> module:function`` of another screen that serves the same name, or "".
      recurrent: its network carries a state from step to step.
    """

    name: str
    about: str
    paper: str
    build: str
    defaults: Config
    actions: tuple[str, ...]
    output: str
    own: type = Nothing
    losses: tuple[str, ...] = NUMERIC
    learns: str = ""
    bootstraps: tuple[str, ...] = ()
    carries: str = ""
    any_target: bool = False
    several: bool = False
    weighted: bool = False
    noisy: bool = False
    epsilon: bool = True
    self_predicts: bool = False
    offline: bool = True
    keeps: str = "ring"
    ignores: tuple[str, ...] = ()
    check: Callable[[Config, EnvSpec], None] | None = None
    variant: Callable[[EnvSpec, Config], str] | None = None
    recurrent: bool = False

    @property
    def config(self) -> type[Config]:
        """The class of its runs: the settings of every agent, and its own."""
        return config_class(self.own)

    @property
    def acts(self) -> bool:
        """An actor beside the critic chooses its actions."""
        return self.output in POLICIES

    def policy_output(self, spec: EnvSpec) -> str:
        """What the network that acts gives: "values", "logits", one of ``POLICIES``, or ``OWN_OUTPUT``."""
        if self.output == OWN_OUTPUT:
            return OWN_OUTPUT
        if not self.acts:
            return "values"
        return self.output if spec.continuous else "logits"


def becoming(base: Config, agent: str, own: type = Nothing, **changes: object) -> Config:
    """The run ``base`` with another agent: what both have stays as it was, but for ``changes``.

    Args:
      base: a run of any agent.
      agent: the name of the other one.
      own: that one's own settings.
      changes: by field, shared ones and its own.
    """
    kind = config_class(own)
    kept = {field.name: getattr(base, field.name) for field in dataclasses.fields(kind) if hasattr(base, field.name)}
    return kind(**kept | {"agent": agent} | changes)


def problems(info: AgentInfo, outside: bool = False) -> list[str]:
    """What is missing in a record or contradicts itself; nothing if it is whole.

    Args:
      info: the record.
      outside: it is not one of this package's own: it need not be of a paper, and its screen may be written in any way.
    """
    needed = ("name", "about", *([] if outside else ["paper"]), "build")
    found = [f"{column} is empty" for column in needed if not getattr(info, column)]
    if info.output not in (*VALUES, *POLICIES, OWN_OUTPUT):
        found.append(f"output is one of {', '.join((*VALUES, *POLICIES, OWN_OUTPUT))}, not {info.output!r}")
    if not info.actions or not set(info.actions) <= set(ACTIONS):
        found.append(f"actions are some of {', '.join(ACTIONS)}, not {info.actions!r}")
    if info.keeps not in KEEPS:
        found.append(f"keeps is one of {', '.join(KEEPS)}, not {info.keeps!r}")
    if not isinstance(info.own, type) or not dataclasses.is_dataclass(info.own):
        return [*found, "own is no dataclass"]
    if clash := [field.name for field in dataclasses.fields(info.own) if field.name in OPTIONS]:
        return [*found, f"its own setting {clash[0]} has the name of an option of qtwin train; choose another name"]
    for field in dataclasses.fields(info.own):
        if not field.metadata.get("takes") or not field.metadata.get("means"):
            found.append(f"its own setting {field.name} says neither what it takes nor what it means: use setting(...)")
        if not isinstance(field.default, (bool, int, float, str)):
            found.append(
                f"its own setting {field.name} is by default no number, text, True or False, but {field.default!r}"
            )
    if type(info.defaults) is not info.config or info.defaults.agent != info.name:
        found.append("defaults are no run of this agent with its own settings")
    elif info.defaults.loss not in info.losses:
        found.append(f"the loss of its defaults, {info.defaults.loss!r}, is none of its losses")
    return [*found, *(dangling(info, ("build",), outside) if outside else _unbuilt(info))]


def _unbuilt(info: AgentInfo) -> list[str]:
    """Is its screen there, and does somebody read each of its own settings?"""
    module, _, function = info.build.partition(":")
    screen = _source(module)
    if not screen:
        return [f"build names the module {module!r}, which there is not"]
    if not re.search(rf"^def {re.escape(function)}\(", screen, re.M):
        return [f"build names the function {function!r}, which {module} does not define"]
    # A setting is read on the screen, or in a part that the screen makes of the whole config.
    parts = re.findall(r"^from (qtwin[\w.]*) import ([\w, ]+)", screen, re.M)
    modules = {home for home, _ in parts}
    modules |= {f"{home}.{name.strip()}" for home, names in parts for name in names.split(",")}
    read = screen + "".join(map(_source, sorted(modules)))
    fields = [field.name for field in dataclasses.fields(info.own)]
    return [f"nobody reads its own setting {name}" for name in fields if not re.search(rf"\bc\.{name}\b", read)]


def _source(module: str) -> str:
    """The text of a module; "" where there is none of that name."""
    try:
        spec = importlib.util.find_spec(module) if module else None
    except ModuleNotFoundError:  # a name in a module is none
        spec = None
    return Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
