"""Settings as they are written, read into the types that `Config` has. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from qtwin.config.config import Config
from qtwin.envs.preprocessing import PREPROCESSINGS
from qtwin.errors import Refusal, one_of

# field of `Config`: (what its option takes, what it means), in the order in which an algorithm reads
SETTINGS = {
    "preprocessing": ("HOW", "Atari's frames and games: nature, cleanrl, v5 (qtwin list preprocessings)"),
    "env_kwargs": ("JSON", "arguments of a Gymnasium environment: '{\"is_slippery\": false}'"),
    "net": ("NET", "the network: table, linear, mlp:120,84, minatar (qtwin list nets)"),
    "normalise": ("HOW", "observations: none, running"),
    "init": ("HOW", "how its weights begin: lecun (Flax's way), torch, sparse"),
    "bootstrap": ("HOW", "how a TD target uses the target network: max, double, minto, ... (qtwin list bootstraps)"),
    "discount": ("GAMMA", "the discount factor"),
    "n_step": ("N", "steps of reward in a TD target [transitions]"),
    "loss": ("LOSS", "huber, mse, half-mse; of distributions cross-entropy, of quantiles huber"),
    "regularise": ("HOW", "what else holds it near the target: none, functional:KAPPA, proximal:C"),
    "self_predict": ("METHOD", "a self-predictive loss beside it: simsiam, byol, curl"),
    "self_predict_target": ("SPEC", "how its reference follows, written as --target; the method's own if left out"),
    "self_predict_steps": ("K", "how far ahead the latent is predicted (simsiam, byol) [transitions]"),
    "self_predict_weight": ("W", "of this loss beside the Q loss; 0 is the method's own"),
    "augment": ("HOW", "image observations for it: none, shift:PIXELS"),
    "optimiser": ("OPT", "adam[:EPS[:B1]], sgd, rmsprop[:EPS[:inside|outside]]"),
    "learning_rate": ("RATE", "the learning rate"),
    "max_gradient_norm": ("NORM", "gradients are scaled down to this norm; 0 leaves them"),
    "collect": ("M", "process 1: transitions per cycle, over all environments"),
    "target": ("SPEC", "process 2: hard:500, soft:0.005, soft:0.005/10, tied, frozen, ... (qtwin list targets)"),
    "regress": ("K", "process 3: gradient steps per cycle"),
    "warmup": ("N", "transitions gathered at random first"),
    "replay": ("N", "transitions remembered; 0 is the cycle's own"),
    "prioritise": ("A:B[:E]", "draw by TD error: ALPHA:BETA, weights' BETA going to END (1) over the run"),
    "batch": ("B", "transitions in a regression batch; 0 is a whole recording"),
    "explore": (
        "EPS",
        "epsilon (an actor's noise), one number or START:END:OVER[:after-warmup] (OVER in transitions or 50%%)",
    ),
    "zeta": ("MU", "random actions last as a zeta distribution of this exponent draws (ez-greedy: 2); 0 is one step"),
    "envs": ("N", "environments stepped together"),
    "steps": ("N", "the budget [transitions]; offline [gradient steps]"),
    "schedule_steps": ("N", "the budget that schedules are derived from; 0 is --steps, or as before with --resume"),
}


def option(field: str) -> str:
    """The option that sets a field of `Config`."""
    return "--" + field.replace("learning_rate", "lr").replace("_", "-")


def read_settings(settings: dict[str, Any], base: Config) -> dict[str, Any]:
    """Settings with the types that `Config` has, from values or from the text of options."""
    read = read_fields(settings, base, ("env", "agent"))
    if read.get("preprocessing"):
        one_of("preprocessing", read["preprocessing"], PREPROCESSINGS)
    if read.get("data"):
        # Learning from a recording, nothing is collected; said aloud, a --collect is checked against it.
        read = {"collect": 0, "warmup": 0} | read
    return read


def read_fields(settings: dict[str, Any], base: Any, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """Settings with the types of ``base``'s fields, from values or from the text of options.

    Args:
      settings: by the names of fields.
      base: an instance of a frozen dataclass.
      others: fields that are no settings.
    """
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base) if field.name not in others}
    leasts = {field.name: field.metadata.get("least") for field in dataclasses.fields(base)}
    read = {}
    for name, value in settings.items():
        one_of("setting", name, fields)
        match fields[name]:
            case bool():
                read[name] = yes(value, option(name))
            case int():
                read[name] = whole(value, option(name), leasts.get(name) or 0)
            case float():
                read[name] = number(value, option(name))
            case _:
                if not isinstance(value, str):
                    raise Refusal(f"{option(name)} is text, not {value!r}; write for example {getattr(base, name)!r}")
                read[name] = value
    return read


def yes(value: Any, what: str) -> bool:
    """Yes or no, also as text."""
    if isinstance(value, bool):
        return value
    if value not in ("yes", "no"):
        raise Refusal(f"{what} is yes or no, not {value}; write {what} yes")
    return value == "yes"


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
