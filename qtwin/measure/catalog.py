"""What `qtwin.measure.diagnostics.read` measures: one record for each. Read without importing JAX.

A new measure is its function and its line in `read` and `Readings`, and its record here. One from outside is a record
that holds its function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qtwin.records import NAME, Catalogue, blanks, dangling

NEEDS = ("", "values", "layers")
FOUND_ON = ("the probe batch", "gradient steps ahead", "the twin")
LOGGED = ("per seed", "once", "by layer", "with the evaluations")
# What else a log point holds, which no measure from outside is called.
LOG_FIELDS = (
    "cycles", "transitions", "gradient_steps", "target_updates", "seconds", "transitions_per_second",
    "images_per_second", "eval_return", "eval_cut", "train_return", "train_length", "episodes", "loss", "q", "td_error",
    "self_loss", "skipped_updates", "lost_environments", "twin_distance", "probe_distance", "epsilon", "explore",
    "temperature", "target_age", "target_age_transitions", "seen_reward", "probed_at", "predicted_return",
    "true_return", "over_estimation", "divergence", "alarms", "knn", "agreement",
)  # fmt: skip


class MeasureInfo(NamedTuple):
    """Everything that is known about a measure.

    Attributes:
      name: the field of `qtwin.measure.diagnostics.Readings`.
      about: what it is, in one line.
      paper: where it comes from; "" where that needs no saying.
      unit: what it is counted in.
      needs: what the agent must tell for it, a field of `qtwin.algorithm.Agent`: "values" or "layers"; "" is nothing.
      found_on: what is looked at: "the probe batch", "gradient steps ahead" on it, or "the twin" itself.
      log_name: how a log point calls it.
      logged: how a log point holds it: a number "per seed", "once" for all of them, one per seed for each layer ("by
        layer"), or "with the evaluations": the largest of all so far, those of evaluation episodes included.
      read: of a measure from outside, its function, or that function by ``"module:function"``: ``(agent, twin, batch)
        -> []``, a number of jax.numpy, or None where the agent does not tell what it needs. ``agent`` is the
        algorithm's `qtwin.Agent`, ``twin`` one seed's `qtwin.Twin`, ``batch`` the probe batch, a `qtwin.Transition` of
        about 512. It is compiled, and logged by its name as a number per seed. "" for those of this package.
    """

    name: str
    about: str
    paper: str = ""
    unit: str = ""
    needs: str = ""
    found_on: str = "the probe batch"
    log_name: str = ""
    logged: str = "per seed"
    read: str | Callable[..., Any] = ""


_MEASURES = (
    MeasureInfo(
        "value_gap", "E |Q - Qbar| over the probe states and all actions", "", "a value", "values", "the probe batch",
        "value_gap",
    ),
    MeasureInfo(
        "greedy_gap", "share of probe states in which online and target network prefer different actions", "",
        "share of states", "values", "the probe batch", "greedy_gap",
    ),
    MeasureInfo(
        "churn", "share of probe states whose greedy action changes with one gradient step", "Schaul et al. 2022",
        "share of states", "values", "gradient steps ahead", "churn",
    ),
    MeasureInfo(
        "target_change", "mean |change of y| with one gradient step, moves of the target that fall due included", "",
        "a value", "", "gradient steps ahead", "target_change",
    ),
    MeasureInfo(
        "largest_q", "the largest |Q| on the probe states", "", "a value", "values", "the probe batch", "largest_q"
    ),
    MeasureInfo(
        "largest_reward", "the largest |r| in the probe batch, of n steps together where a target spans n", "",
        "a reward", "", "the probe batch", "largest_reward", "with the evaluations",
    ),
    MeasureInfo(
        "effective_rank", "srank of the features", "Kumar et al. 2021", "dimensions", "layers", "the probe batch",
        "effective_rank",
    ),
    MeasureInfo(
        "rank_limit", "the lesser of probe states and features", "", "dimensions", "layers", "the probe batch",
        "rank_limit", "once",
    ),
    MeasureInfo(
        "dormant", "share of hidden units that hardly answer", "Sokar et al. 2023", "share of hidden units", "layers",
        "the probe batch", "dormant",
    ),
    MeasureInfo(
        "spread", "standard deviation of the l2-normalised features, times sqrt(d)", "Chen & He 2021", "1", "layers",
        "the probe batch", "spread",
    ),
    MeasureInfo(
        "distances", "relative L2 distance between the twins for each layer by name", "", "1", "", "the twin",
        "distance/LAYER", "by layer",
    ),
)  # fmt: skip
MEASURES = Catalogue("diagnostic", MeasureInfo, _MEASURES, "qtwin.measure.catalog:problems")


def per_seed() -> tuple[str, ...]:
    """The measures that a log point holds as a number per seed, without those from outside."""
    return tuple(info.name for info in MEASURES.values() if info.logged == "per seed" and not info.read)


def from_outside(names: set[str]) -> list[str]:
    """Of the names that log points hold with a number per seed, those of measures from outside.

    The measures need not be registered where the log points are read.
    """
    known = {*LOG_FIELDS, *(info.name for info in MEASURES.values() if not info.read)}
    return sorted(name for name in names - known if NAME.fullmatch(name))


def problems(info: MeasureInfo, outside: bool = False) -> list[str]:
    """What is wrong with a measure's record, one line each; nothing for a whole one.

    Args:
      info: the record.
      outside: it is not one of this package's own: it holds its function, and is logged by its name for each seed.
    """
    wrong = blanks(info, ("paper", "needs", "log_name" if outside else "read"))
    if outside:
        wrong += dangling(info, ("read",), outside) if info.read is not None else []
        if info.name in LOG_FIELDS:
            wrong.append("a log point holds something else by that name; choose another name")
        if info.logged != "per seed":
            wrong.append(f"logged is 'per seed' of a diagnostic from outside, not '{info.logged}'")
    elif info.read:
        wrong.append("read is of a diagnostic from outside alone")
    for field, choices in (("needs", NEEDS), ("found_on", FOUND_ON), ("logged", LOGGED)):
        if getattr(info, field) not in choices:
            wrong.append(f"{field} is one of {', '.join(filter(None, choices))}, not '{getattr(info, field)}'")
    if info.logged == "per seed" and info.log_name not in (info.name, *([""] if outside else [])):
        wrong.append("a log point calls it otherwise, though it holds it as it is")
    return wrong
