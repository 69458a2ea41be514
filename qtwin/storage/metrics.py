"""The fields of ``metrics.jsonl``, one record each: `docs/metrics.md` and the schema of a log point are made from them.

Read without importing JAX.
"""

from __future__ import annotations

from typing import NamedTuple

FORMS = ("count", "number", "per seed", "count, or per seed", "text by name")
RUNS = ("all", "train", "siamese")


class MetricInfo(NamedTuple):
    """A field of a log point.

    Attributes:
      name: its name; ``LAYER`` stands for a layer's name.
      form: one of ``FORMS``: a whole number; a number; a list with one number per seed; a whole number that is a list
        where seeds differ; or an object of texts. A number that does not exist or is not finite is null.
      unit: its unit.
      about: one line about it.
      runs: which runs have it, one of ``RUNS``.
      when: in which of those runs or log points it is present; "" for always.
    """

    name: str
    form: str
    unit: str
    about: str
    runs: str = "all"
    when: str = ""


_READ = "diagnostics are on"
_VALUES = "diagnostics are on and the agent has action values"
_LAYERS = "diagnostics are on and the network has hidden layers"
_METRICS = (
    MetricInfo("cycles", "count", "cycles", "cycles so far"),
    MetricInfo("transitions", "count", "transitions", "transitions collected so far, per seed; 0 in Siamese runs"),
    MetricInfo("gradient_steps", "count", "gradient steps", "gradient steps so far, per seed"),
    MetricInfo("target_updates", "count, or per seed", "target updates", "target updates so far"),
    MetricInfo("seconds", "number", "s", "time spent in the three processes, without compilation and evaluation"),
    MetricInfo(
        "transitions_per_second", "number", "1/s",
        "speed since the last log point, summed over seeds; offline, gradient steps per second", "train",
    ),
    MetricInfo("images_per_second", "number", "1/s", "speed since the last log point, summed over seeds", "siamese"),
    MetricInfo("eval_return", "per seed", "return", "mean return of the greedy evaluation episodes", "train"),
    MetricInfo(
        "train_return", "per seed", "return", "mean return of the training episodes that ended since the last log"
        " point",
        "train",
    ),
    MetricInfo("train_length", "per seed", "transitions", "mean length of those episodes", "train"),
    MetricInfo("episodes", "per seed", "episodes", "number of those episodes", "train"),
    MetricInfo("loss", "per seed", "loss", "mean loss since the last log point"),
    MetricInfo("q", "per seed", "value", "mean Q(s, a) of the training batches since the last log point", "train"),
    MetricInfo("td_error", "per seed", "value", "mean absolute TD error since the last log point", "train"),
    MetricInfo(
        "self_loss", "per seed", "loss", "mean self-predictive loss, before its weight", "train",
        "`--self-predict` is set",
    ),
    MetricInfo(
        "skipped_updates", "per seed", "gradient steps", "updates skipped so far because they were not finite", "train"
    ),
    MetricInfo(
        "lost_environments", "per seed", "environments", "environments replaced so far", "train", "there were any"
    ),
    MetricInfo(
        "eval_cut", "per seed", "episodes", "evaluation episodes cut by `--eval-max-steps`", "train", "there were any"
    ),
    MetricInfo("twin_distance", "per seed", "1", "relative L2 distance between online and target network"),
    MetricInfo("epsilon", "number", "probability", "current epsilon", "train", "the agent is value-based"),
    MetricInfo("explore", "number", "1", "current scale of the exploration noise", "train", "the agent has an actor"),
    MetricInfo("temperature", "per seed", "1", "entropy coefficient alpha", "train", "it is learned"),
    MetricInfo("target_age", "number", "gradient steps", "mean age of the target's parameters", "train", _READ),
    MetricInfo("target_age_transitions", "number", "transitions", "the same age in transitions", "train", _READ),
    MetricInfo(
        "probed_at", "count", "gradient steps", "where the following diagnostics were read, between two log points",
        "train", _READ,
    ),
    MetricInfo("probe_distance", "per seed", "1", "`twin_distance` at `probed_at`", "train", _READ),
    MetricInfo(
        "value_gap", "per seed", "value", "mean |Q - Qbar| over the probe states and all actions", "train", _VALUES
    ),
    MetricInfo(
        "greedy_gap", "per seed", "share",
        "share of probe states in which online and target network have different greedy actions", "train", _VALUES,
    ),
    MetricInfo(
        "churn", "per seed", "share", "share of probe states whose greedy action changes in one gradient step", "train",
        _VALUES,
    ),
    MetricInfo(
        "target_change", "per seed", "value",
        "mean |change of the TD target y| in one gradient step, due target updates included", "train", _READ,
    ),
    MetricInfo("largest_q", "per seed", "value", "largest |Q| on the probe states", "train", _VALUES),
    MetricInfo("largest_reward", "number", "reward", "largest |reward| seen so far, r_max", "train", _READ),
    MetricInfo("divergence", "per seed", "1", "`largest_q` over r_max / (1 - gamma)", "train", _VALUES),
    MetricInfo(
        "predicted_return", "per seed", "return", "mean Q(s, a) over the states of evaluation episodes", "train",
        _VALUES
    ),
    MetricInfo("true_return", "per seed", "return", "mean discounted return that followed them", "train", _VALUES),
    MetricInfo("over_estimation", "per seed", "return", "`predicted_return` - `true_return`", "train", _VALUES),
    MetricInfo(
        "effective_rank", "per seed", "dimensions", "effective rank (srank) of the features", "all",
        f"{_LAYERS}; always in Siamese runs",
    ),
    MetricInfo("rank_limit", "count", "dimensions", "upper bound of the effective rank", "train", _LAYERS),
    MetricInfo("dormant", "per seed", "share", "share of dormant hidden units", "train", _LAYERS),
    MetricInfo(
        "spread", "per seed", "1", "standard deviation of the normalised features times sqrt(d): 1 spread out, 0"
        " collapsed",
        "all", f"{_LAYERS}; always in Siamese runs",
    ),
    MetricInfo(
        "distance/LAYER", "per seed", "1", "relative L2 distance between online and target network in that layer",
        "train",
        _READ,
    ),
    MetricInfo("alarms", "text by name", "", "alarms raised by the diagnostics, in words", "train", _READ),
    MetricInfo("knn", "per seed", "share", "share of test images that their 20 nearest neighbours label correctly",
    "siamese"),
    MetricInfo("agreement", "per seed", "1", "mean cosine similarity between prediction and target", "siamese"),
)  # fmt: skip
METRICS: dict[str, MetricInfo] = {info.name: info for info in _METRICS}


def table() -> str:
    """The table of ``docs/metrics.md``, in Markdown."""
    runs = {"all": "all", "train": "`qtwin train`", "siamese": "`qtwin siamese`"}
    rows = ["| field | form | unit | what it is | runs |", "|---|---|---|---|---|"]
    for info in METRICS.values():
        which = runs[info.runs] + (f", if {info.when}" if info.when else "")
        about = info.about.replace("|", "\\|")
        rows.append(f"| `{info.name}` | {info.form} | {info.unit} | {about} | {which} |")
    return "\n".join(rows) + "\n"
