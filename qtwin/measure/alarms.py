"""Alarms in plain words: what a log point's diagnostics say that somebody should know. Read without importing JAX."""

from __future__ import annotations

from typing import Any

CHURN = 0.2  # of the states, per gradient step; about 0.1 is usual (Schaul et al. 2022)
DORMANT = 0.5  # of the units
SPREAD = 0.05  # of what features that do not collapse have
RANK = 0.02  # of what the effective rank could be
OVER = 2.0  # times the return that followed


def alarms(point: dict[str, Any], bound: float | None, never_moves: bool) -> dict[str, str]:
    """What is wrong at a log point, by kind, each in one sentence about the worst seed.

    Args:
      point: a log point with its diagnostics; lists hold one number per seed.
      bound: r_max / (1 - gamma), which no |Q| exceeds in truth; None where it is not known.
      never_moves: the target's rule never moves it.
    """
    found = {}
    worst = {name: max(_there(point, name), default=None) for name in ("churn", "largest_q", "dormant")}
    if worst["churn"] is not None and worst["churn"] > CHURN:
        found["churn"] = f"the greedy action of {worst['churn']:.0%} of the states changes per gradient step"
    if worst["largest_q"] is not None and bound and worst["largest_q"] > bound:
        found["divergence"] = (
            f"largest |Q| {worst['largest_q']:.4g} exceeds r_max/(1-gamma) = {bound:.4g}: soft divergence"
        )
    spreads, ranks, limit = _there(point, "spread"), _there(point, "effective_rank"), point.get("rank_limit")
    if spreads and min(spreads) < SPREAD:
        found["collapse"] = f"features have collapsed: they spread {min(spreads):.1%} as far as they could"
    elif ranks and limit and min(ranks) <= max(1, RANK * limit):
        found["collapse"] = f"features have collapsed: of {limit} dimensions {min(ranks):.0f} hold 99 % of them"
    if worst["dormant"] is not None and worst["dormant"] > DORMANT:
        found["dormant"] = f"{worst['dormant']:.0%} of the hidden units are dormant"
    said, came = point.get("predicted_return") or [], point.get("true_return") or []
    ratios = [s / c for s, c in zip(said, came, strict=True) if s is not None and c is not None and s > OVER * c > 0]
    if ratios:
        found["over-estimation"] = f"values are {max(ratios):.1f} times the discounted return that followed"
    if never_moves:
        found["frozen"] = (
            "the target never moves: nothing is learned beyond the first regression, towards the values of a random"
            " network"
        )
    return found


def _there(point: dict[str, Any], name: str) -> list[float]:
    return [value for value in point.get(name) or [] if value is not None]
