"""What `qtwin.measure.diagnostics.read` measures: one record for each. Read without importing JAX.

A new measure is its function and its line in `read` and `Readings`, and its record here.
"""

from __future__ import annotations

from typing import NamedTuple

from qtwin.records import blanks

NEEDS = ("", "values", "layers")
FOUND_ON = ("the probe batch", "gradient steps ahead", "the twin")
LOGGED = ("per seed", "once", "by layer", "with the evaluations")


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
    """

    name: str
    about: str
    paper: str
    unit: str
    needs: str
    found_on: str
    log_name: str
    logged: str = "per seed"


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
MEASURES: dict[str, MeasureInfo] = {info.name: info for info in _MEASURES}
PER_SEED = tuple(info.name for info in _MEASURES if info.logged == "per seed")


def problems(info: MeasureInfo) -> list[str]:
    """What is wrong with a measure's record, one line each; nothing for a whole one."""
    wrong = blanks(info, ("paper", "needs"))
    for field, choices in (("needs", NEEDS), ("found_on", FOUND_ON), ("logged", LOGGED)):
        if getattr(info, field) not in choices:
            wrong.append(f"{field} is one of {', '.join(filter(None, choices))}, not '{getattr(info, field)}'")
    if info.logged == "per seed" and info.log_name != info.name:
        wrong.append("a log point calls it otherwise, though it holds it as it is")
    return wrong
