"""The diagnostics that `qtwin.measure.diagnostics.read` computes: one record for each. Read without importing JAX.

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
    """All facts about a diagnostic.

    Attributes:
      name: the field of `qtwin.measure.diagnostics.Readings`.
      about: one line about it.
      paper: the source, or "".
      unit: its unit.
      needs: the field of `qtwin.algorithm.Agent` that it needs, "values" or "layers"; "" for none.
      found_on: what it is computed on: "the probe batch", "gradient steps ahead" on it, or "the twin" itself.
      log_name: its name in a log point.
      logged: its form in a log point: a number "per seed", "once" for all seeds, one per seed and layer ("by layer"),
        or "with the evaluations": the largest so far, including evaluation episodes.
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
        "value_gap", "mean |Q - Qbar| over the probe states and all actions", "", "a value", "values", 
        "the probe batch",
        "value_gap",
    ),
    MeasureInfo(
        "greedy_gap", "share of probe states in which online and target network have different greedy actions", "",
        "share of states", "values", "the probe batch", "greedy_gap",
    ),
    MeasureInfo(
        "churn", "share of probe states whose greedy action changes in one gradient step", "Schaul et al. 2022",
        "share of states", "values", "gradient steps ahead", "churn",
    ),
    MeasureInfo(
        "target_change", "mean |change of the TD target y| in one gradient step, due target updates included", "",
        "a value", "", "gradient steps ahead", "target_change",
    ),
    MeasureInfo(
        "largest_q", "largest |Q| on the probe states", "", "a value", "values", "the probe batch", "largest_q"
    ),
    MeasureInfo(
        "largest_reward", "largest |reward| in the probe batch, of n-step sums where targets have n steps", "",
        "a reward", "", "the probe batch", "largest_reward", "with the evaluations",
    ),
    MeasureInfo(
        "effective_rank", "effective rank (srank) of the penultimate features", "Kumar et al. 2021", "dimensions",
        "layers", "the probe batch",
        "effective_rank",
    ),
    MeasureInfo(
        "rank_limit", "upper bound of the effective rank: the smaller of probe states and features", "", "dimensions",
        "layers", "the probe batch",
        "rank_limit", "once",
    ),
    MeasureInfo(
        "dormant", "share of dormant hidden units", "Sokar et al. 2023", "share of hidden units", "layers",
        "the probe batch", "dormant",
    ),
    MeasureInfo(
        "spread", "standard deviation of the l2-normalised features, times sqrt(d)", "Chen & He 2021", "1", "layers",
        "the probe batch", "spread",
    ),
    MeasureInfo(
        "distances", "relative L2 distance between online and target network, per layer", "", "1", "", "the twin",
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
