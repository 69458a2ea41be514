"""What the cells of a comparison came to: table, ``compare.json``, ``report.html``. Read without importing JAX."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qtwin.errors import Refusal
from qtwin.lab.findings import findings
from qtwin.lab.grid import FORMAT, read_plan
from qtwin.measure.catalog import from_outside
from qtwin.measure.statistics import LEVEL, area, band, improvement_interval, interval, iqm, method, note
from qtwin.measure.statistics import probability_of_improvement as improvement
from qtwin.request.run_config import read_config
from qtwin.storage import schemas
from qtwin.storage.reading import read_record
from qtwin.storage.rotating_log import read_log, told
from qtwin.target_update.specs import parse
from qtwin.types import stands_alone

# what a log point measures for each seed, and is shown over the run; what measures from outside say comes after it
MEASURES = (
    "probe_distance", "value_gap", "greedy_gap", "churn", "target_change", "largest_q", "divergence",
    "effective_rank", "dormant", "spread", "predicted_return", "true_return", "over_estimation", "q", "loss",
)  # fmt: skip


class Summary(NamedTuple):
    """A cell's ``summary.json``.

    Attributes:
      found: what it holds; None where there is none, or none that can be used.
      wrong: why it cannot be used, in words; "" where nothing is wrong.
    """

    found: dict | None
    wrong: str


def read_summary(run: Path, seeds: int) -> Summary:
    """What a run of so many seeds came to."""
    file = run / "summary.json"
    if not file.exists():
        return Summary(None, "")
    try:
        return Summary(read_record(file, schemas.summary(seeds)), "")
    except Refusal as refusal:
        return Summary(None, str(refusal))


def collect(folder: Path) -> dict:
    """Everything that a report shows, from the run directories of the cells."""
    plan = read_plan(folder)
    seeds = len(plan["seeds"])
    cells = [cell_of(folder / "cells" / cell["folder"], cell, seeds) for cell in plan["cells"]]
    ended = [cell for cell in cells if cell["status"] == "done"]
    found = {
        "format": FORMAT,
        "command": plan["command"],
        "env": plan["env"],
        "seeds": plan["seeds"],
        "varied": plan["varied"],
        "interval": {"level": LEVEL, "method": method(seeds), "note": note(seeds)},
        "versions": versions(),
        "cells": cells,
        "improvement": _improvement(ended),
    }
    return found | {"findings": findings(found)}


def cell_of(run: Path, planned: dict, seeds: int) -> dict[str, Any]:
    """One cell: what was planned, how far it is, what it has measured, and what of that is damaged.

    Args:
      run: its directory.
      planned: its part of ``grid.json``.
      seeds: how many it has.
    """
    log = read_log(run / "metrics.jsonl", schemas.log_point(seeds, ("eval_return",)))
    looks = read_log(run / "twin.jsonl", schemas.look(seeds))
    ended = read_summary(run, seeds)
    gaps = [text for text in (ended.wrong, told(log), told(looks)) if text]
    cell = {name: planned[name] for name in ("label", "folder", "varied", "steps", "command") if name in planned}
    cell |= {"status": "missing", "share": 0.0, "gaps": gaps}
    points, offline = _in_order(log.points)
    if not points:
        return cell
    at = [point["gradient_steps" if offline else "transitions"] for point in points]
    cell |= {"status": "unfinished", "share": min(1.0, at[-1] / planned["steps"]), "at": at, "offline": offline}
    returns = np.array([[np.nan if v is None else v for v in point["eval_return"]] for point in points], float).T
    low, high = band(returns)
    cell["returns"] = {
        "seeds": _rounded(returns), "iqm": _rounded(iqm(returns)), "low": _rounded(low), "high": _rounded(high),
    }  # fmt: skip
    cell["area"] = _rounded(area(at, returns))
    shown = (*MEASURES, *from_outside({name for p in points for name, held in p.items() if isinstance(held, list)}))
    cell["measures"] = {name: _over_seeds(points, name) for name in shown if any(p.get(name) for p in points)}
    cell["rank_limit"] = next((p["rank_limit"] for p in points if "rank_limit" in p), None)
    cell["probed_at"] = [point.get("probed_at") for point in points]
    cell["target_age"] = [point.get("target_age") for point in points]
    cell["alarms"] = _alarms(points)
    cell["period"] = _period(run, points[-1]["gradient_steps"], gaps)
    cell["looks"] = [
        {"gradient_steps": look["gradient_steps"], "age": look["age"], "distance": float(iqm(look["distance"]))}
        for look in looks.points
    ]
    return cell if ended.found is None else cell | _judged(ended.found, cell["area"])


def _judged(summary: dict, areas: list[float | None]) -> dict:
    """What a cell that has run to its end came to."""
    finals = np.array(summary["eval_return"], float)
    heights = np.array([each for each in areas if each is not None], float)
    low, high = _rounded(interval(finals))
    area_low, area_high = _rounded(interval(heights)) if len(heights) else (None, None)
    kept = ("transitions", "gradient_steps", "target_updates", "wall_seconds", "target", "agent", "env")
    return {
        "status": "done",
        "share": 1.0,
        "final": {"seeds": _rounded(finals), "iqm": float(iqm(finals)), "low": low, "high": high},
        "area_iqm": float(iqm(heights)) if len(heights) else None,
        "area_low": area_low,
        "area_high": area_high,
        "summary": {name: summary[name] for name in kept},
    }


def _in_order(points: list[dict]) -> tuple[list[dict], bool]:
    """The log points whose steps go on from those before, and whether nothing was collected."""
    offline = bool(points) and points[-1]["transitions"] == 0
    name, kept = "gradient_steps" if offline else "transitions", []
    for point in points:
        if not kept or point[name] > kept[-1][name]:
            kept.append(point)
    return kept, offline


def versions() -> dict[str, str]:
    """Of everything that the numbers hang on."""

    def of(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a checkout of qtwin that was never installed
            return "not installed"

    others = ("jax", "flax", "optax", "gymnax", "gymnasium", "numpy")
    return {"qtwin": of("qtwin"), "python": platform.python_version()} | {name: of(name) for name in others}


def _period(run: Path, gradient_steps: int, gaps: list[str]) -> float | None:
    """The time constant of a cell's rule, C or 1 / tau; None where the target never moves, is tied, or is not known."""
    try:
        target = read_config(run)["config"]["target"]
        if stands_alone(target):
            return None
        rule = parse(target, gradient_steps)
    except (ValueError, ArithmeticError) as error:
        gaps.append(str(error))
        return None
    return None if rule.tied or not rule.every or not rule.tau else rule.every / rule.tau


def _improvement(ended: list[dict]) -> list[dict]:
    pairs = []
    for x in ended:
        for y in ended:
            if x is not y:
                ours, theirs = np.array(x["final"]["seeds"]), np.array(y["final"]["seeds"])
                low, high = improvement_interval(ours, theirs)
                probability = improvement(ours, theirs)
                pairs.append({"of": x["label"], "over": y["label"], "p": probability, "low": low, "high": high})
    return pairs


def _over_seeds(points: list[dict], name: str) -> dict[str, list[float | None]]:
    """The interquartile mean over seeds, the least and the most, at each log point."""
    middles, lows, highs = [], [], []
    for point in points:
        values = np.array([v for v in point.get(name) or [] if v is not None], float)
        middles.append(float(iqm(values)) if len(values) else None)
        lows.append(float(values.min()) if len(values) else None)
        highs.append(float(values.max()) if len(values) else None)
    return {"iqm": _rounded(middles), "low": _rounded(lows), "high": _rounded(highs)}


def _alarms(points: list[dict]) -> list[dict]:
    """Each kind of alarm once: at how many log points, and what was said at the last of them."""
    kinds: dict[str, dict] = {}
    for point in points:
        for kind, words in (point.get("alarms") or {}).items():
            count = kinds.get(kind, {"count": 0})["count"] + 1
            kinds[kind] = {"kind": kind, "count": count, "of": len(points), "words": words}
    return list(kinds.values())


def _rounded(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _rounded(values.tolist())
    if isinstance(values, (list, tuple)):
        return [_rounded(value) for value in values]
    if values is None or values != values:
        return None
    return float(f"{values:.6g}")
