"""How options are shown by ``--help``: in groups, each with its unit and default. Read without importing JAX."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from qtwin.agents.catalog import AGENTS, own_settings
from qtwin.config.options import ALIASES, SETTINGS, option

USUAL = "dqn"  # where agents have different defaults, the help shows this one's
# What an empty default means.
EMPTY = {
    "self_predict_target": "the method's own",
    "preprocessing": "nature for Atari games",
    "actor_net": "that of the critics",
    "env_kwargs": "none",
}


class Option(NamedTuple):
    """What ``--help`` says of an option.

    Attributes:
      takes: the placeholder of its value; None for a flag.
      means: what it does, with its unit.
      default: the default as text; "" where none is shown.
    """

    takes: str | None
    means: str
    default: str = ""


# Settings that all agents share, by subject. The options that most people use come before these.
SETTING_GROUPS = {
    "network and optimiser": ("init", "normalise", "optimiser", "max_gradient_norm"),
    "TD target and loss": ("bootstrap", "loss", "regularise"),
    "rates of the three processes": ("collect", "regress", "schedule_steps"),
    "replay": ("prioritise",),
    "exploration": ("zeta",),
    "auxiliary self-predictive loss": (
        "self_predict", "self_predict_target", "self_predict_steps", "self_predict_weight", "augment",
    ),
    "Atari": ("preprocessing",),
    "Gymnasium environments": ("env_kwargs",),
}  # fmt: skip
COMMON_SETTINGS = (
    *("steps", "envs", "net", "target", "learning_rate", "discount", "n_step"),
    *("batch", "replay", "warmup", "explore"),
)


def shared_settings() -> dict[str, Option]:
    """The settings of every agent, with their defaults."""
    return {field: Option(takes, means, _default(field)) for field, (takes, means) in SETTINGS.items()}


def agents_settings() -> tuple[dict[str, Option], dict[str, tuple[str, ...]]]:
    """The settings that only some agents have, and their groups, each named after its agents."""
    options, groups = {}, {}
    for agents, fields in own_settings().items():
        groups[f"settings of {', '.join(agents)}"] = tuple(fields)
        for name, field in fields.items():
            options[name] = Option(field.metadata["takes"], field.metadata["means"], _default(name, agents))
    return options, groups


def add_options(
    parser: argparse.ArgumentParser,
    options: Mapping[str, Option],
    groups: Mapping[str, Iterable[str]],
    nargs: str | None = None,
) -> None:
    """Adds options to a parser, group by group.

    Args:
      parser: of a command.
      options: by the names of the fields that they set.
      groups: title and members; "" is the first group, without a title of its own. Members that are not in ``options``
        are skipped. What is in no group is shown at the end.
      nargs: of every option that takes a value.
    """
    left = dict(options)
    for title, names in groups.items():
        chosen = {name: left.pop(name) for name in names if name in left}
        _add_group(parser, title, chosen, nargs)
    _add_group(parser, "other options", left, nargs)


def _add_group(parser: argparse.ArgumentParser, title: str, options: dict[str, Option], nargs: str | None) -> None:
    if not options:
        return
    group = parser.add_argument_group(title) if title else parser
    for name, each in options.items():
        how: dict[str, Any] = {"dest": name, "help": _text(each).replace("%", "%%")}
        how |= {"action": "store_true"} if each.takes is None else {"metavar": each.takes, "nargs": nargs}
        group.add_argument(option(name), **how)
        if name in ALIASES.values():
            long = "--" + name.replace("_", "-")
            parser.add_argument(long, **how | {"help": argparse.SUPPRESS})


def _default(field: str, agents: Iterable[str] = tuple(AGENTS)) -> str:
    """The default of a setting: one for all of ``agents``, or the usual agent's, or each agent's own."""
    found = {agent: _shown(field, getattr(AGENTS[agent].defaults, field)) for agent in agents}
    values = list(dict.fromkeys(found.values()))
    if len(values) == 1:
        return values[0]
    if USUAL in found:
        return f"{found[USUAL]} for {USUAL}"
    return ", ".join(f"{value} for {' '.join(a for a in found if found[a] == value)}" for value in values)


def _shown(field: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return EMPTY.get(field, "none") if value == "" else str(value)


def _text(shown: Option) -> str:
    if not shown.default:
        return shown.means
    if shown.means.endswith(")"):  # one pair of brackets is enough
        return f"{shown.means[:-1]}; default: {shown.default})"
    return f"{shown.means} (default: {shown.default})"
