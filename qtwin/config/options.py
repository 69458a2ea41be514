"""The settings, their options, and their values read into the types that `Config` has. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import numbers
import re
from typing import Any

from qtwin.config.config import Config
from qtwin.config.synonyms import hint
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.errors import Refusal, one_of

# field of `Config`: (placeholder of its option, help text), in the order in which an algorithm reads them. The help
# adds the default, which comes from the agents' records.
SETTINGS = {
    "preprocessing": ("NAME", "Atari frames and game rules: nature, cleanrl or v5 (qtwin list preprocessings)"),
    "env_kwargs": ("JSON", "arguments of a Gymnasium environment, for example '{\"is_slippery\": false}'"),
    "net": ("NET", "network: table, linear, mlp:120,84, minatar, nature, ... (qtwin list nets)"),
    "normalise": ("HOW", "observation normalisation: none, or running (by the running mean and standard deviation)"),
    "init": ("HOW", "weight initialisation: lecun (Flax), torch or sparse"),
    "bootstrap": ("NAME", "bootstrap target: max, double, minto, ... (qtwin list bootstraps)"),
    "discount": ("GAMMA", "discount factor"),
    "n_step": ("N", "length of n-step returns [transitions]"),
    "loss": (
        "LOSS",
        "loss on the TD error: huber, mse or half-mse; cross-entropy for distributions over atoms or classes",
    ),
    "regularise": ("HOW", "regularisation towards the target network: none, functional:KAPPA or proximal:C"),
    "self_predict": ("METHOD", "auxiliary self-predictive loss: simsiam, byol or curl"),
    "self_predict_target": ("SPEC", "target update of its second encoder, written like --target"),
    "self_predict_steps": ("K", "prediction horizon in latent space, simsiam and byol only [transitions]"),
    "self_predict_weight": ("W", "weight relative to the Q loss; 0 takes the method's own"),
    "augment": ("HOW", "augmentation of image observations for this loss: none or shift:PIXELS"),
    "optimiser": ("OPT", "optimiser: adam[:EPS[:B1]], radam[:EPS], sgd or rmsprop[:EPS[:inside|outside]]"),
    "learning_rate": ("RATE", "learning rate (also --learning-rate)"),
    "max_gradient_norm": ("NORM", "clip gradients to this global norm; 0 turns clipping off"),
    "collect": ("M", "process 1: transitions collected per cycle, summed over environments; 0 is offline"),
    "target": ("SPEC", "process 2, the target update: hard:500, soft:0.005, tied, ... (qtwin list targets)"),
    "regress": ("K", "process 3: gradient steps per cycle"),
    "warmup": ("N", "random transitions collected before the first gradient step"),
    "replay": ("N", "capacity of the replay buffer [transitions]; 0 trains on the current cycle only"),
    "prioritise": ("A:B[:E]", "prioritised replay: exponent A, importance weights from B to E (1) over the run"),
    "batch": ("B", "minibatch size [transitions]; 0 is the whole recording"),
    "explore": (
        "EPS",
        "epsilon, or the scale of an actor's noise: one number, or START:END:OVER[:after-warmup], where OVER is in"
        " transitions or a share of the budget (50%)",
    ),
    "zeta": (
        "MU",
        "random actions are repeated for a number of steps drawn from a zeta distribution with this exponent (ez-greedy"
        " uses 2); 0 is one step",
    ),
    "envs": ("N", "number of parallel environments"),
    "steps": ("N", "training budget [transitions]; offline [gradient steps]"),
    "schedule_steps": ("N", "budget that schedules are computed from, in the unit of --steps; 0 is --steps"),
}
NUMBERS_TOO = ("explore", "temperature", "target_entropy")  # settings of text that may be one number
ALIASES = {"lr": "learning_rate", "actor_lr": "actor_learning_rate"}  # short names that Python and files may use too


def option(field: str) -> str:
    """The option that sets a field of `Config`."""
    return "--" + field.replace("learning_rate", "lr").replace("_", "-")


def read_settings(settings: dict[str, Any], base: Config) -> dict[str, Any]:
    """Settings with the types that `Config` has, from values or from the text of options."""
    read = read_fields(settings, base, ("env", "agent"))
    if read.get("preprocessing"):
        one_of("preprocessing", read["preprocessing"], PREPROCESSINGS)
    if read.get("data"):
        # A recording needs no collecting. An explicit --collect stays, and is checked later.
        read = {"collect": 0, "warmup": 0} | read
    return read


def read_fields(settings: dict[str, Any], base: Any, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """Settings with the types of ``base``'s fields, from values or from the text of options.

    Args:
      settings: by the names of fields.
      base: an instance of a frozen dataclass.
      others: fields that are not settings.
    """
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base) if field.name not in others}
    leasts = {field.name: field.metadata.get("least") for field in dataclasses.fields(base)}
    read = {}
    for name, value in canonical(settings).items():
        if name not in fields:
            near = hint(name, fields, value, None if isinstance(base, Config) else [*map(option, fields)])
            raise Refusal(f"unknown setting '{name}'{near}")
        match fields[name]:
            case bool():
                read[name] = yes(value, option(name))
            case int():
                read[name] = whole(value, option(name), leasts.get(name) or 0)
            case float():
                read[name] = number(value, option(name))
            case _:
                if isinstance(value, numbers.Real) and not isinstance(value, bool) and name in NUMBERS_TOO:
                    value = f"{value:.12g}"
                if not isinstance(value, str):
                    raise Refusal(f"{option(name)} is text, not {value!r}; write for example {_example(name, base)}")
                read[name] = value
    return read


def canonical(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by their full names: ``lr`` is ``learning_rate``."""
    found = {ALIASES.get(name, name): value for name, value in settings.items()}
    if len(found) < len(settings):
        short = next(name for name in settings if name in ALIASES)
        raise Refusal(f"'{short}' and '{ALIASES[short]}' are the same setting; leave one of them out")
    return found


def _example(name: str, base: Any) -> str:
    return f"{option(name)} {getattr(base, name) or 'none'}"


def yes(value: Any, what: str) -> bool:
    """Yes or no, also as text."""
    if isinstance(value, bool):
        return value
    if value not in ("yes", "no"):
        raise Refusal(f"{what} is yes or no, not {value}; write {what} yes")
    return value == "yes"


def flag(value: Any, what: str) -> bool:
    """A flag: True or False, and no text, which would be true whatever it says."""
    if not isinstance(value, bool):
        raise Refusal(f"{what} is a flag, True or False in Python, not {value!r}")
    return value


def whole(value: Any, what: str, least: int) -> int:
    """A whole number of at least ``least``, also as text: ``100_000``, ``1e5``."""
    text = str(value).strip()
    if not isinstance(value, bool) and re.fullmatch(r"[+-]?[\d_]*\d(\.0*)?([eE]\+?\d{1,2})?", text):
        found = float(text) if re.search(r"[.eE]", text) else int(text.replace("_", ""))
        if found == int(found) and found >= least:
            return int(found)
    raise Refusal(
        f"{what} is a whole number of at least {least}, not {value}; write for example {what} {max(least, 10)}"
    )


def number(value: Any, what: str) -> float:
    """A finite number of at least 0, also as text."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if isinstance(value, bool) or not 0 <= found < float("inf"):
        raise Refusal(f"{what} is a number of at least 0, not {value}; write for example {what} 0.001")
    return found
