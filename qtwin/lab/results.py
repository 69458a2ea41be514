"""What the cells of a comparison came to: table, ``compare.json``, ``report.html``. Read without importing JAX."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from qtwin.files import read_json
from qtwin.lab.findings import findings
from qtwin.lab.grid import FORMAT, RESULTS, read_plan
from qtwin.lab.statistics import area, band, improvement_interval, interval, iqm, probability_of_improvement
from qtwin.processes.target_specs import parse
from qtwin.run.logs import read_points

PAGE = "report.html"
# what a log point measures for each seed, and is shown over the run
MEASURES = (
    "probe_distance", "value_gap", "greedy_gap", "churn", "target_change", "largest_q", "divergence",
    "effective_rank", "dormant", "spread", "predicted_return", "true_return", "over_estimation", "q", "loss",
)  # fmt: skip


def conclude(folder: Path, quiet: bool) -> dict:
    """Reads every cell that has run, writes ``compare.json`` and ``report.html``, prints the table.

    Args:
      folder: the comparison's directory.
      quiet: print nothing.

    Returns:
      what ``compare.json`` holds.
    """
    from qtwin.lab.page import page

    found = collect(folder)
    (folder / RESULTS).write_text(json.dumps(found, indent=1) + "\n")
    (folder / PAGE).write_text(page(found))
    if not quiet:
        print("\n" + table(found))
        for sentence in found["findings"]:
            print(f"* {sentence}")
        for sentence in missing(found):
            print(f"! {sentence}")
        print(f"\ntable   {folder / RESULTS}\nreport  {folder / PAGE}")
    return found


def collect(folder: Path) -> dict:
    """Everything that a report shows, from the run directories of the cells."""
    plan = read_plan(folder)
    cells = [cell_of(folder / "cells" / cell["folder"], cell) for cell in plan["cells"]]
    ended = [cell for cell in cells if cell["status"] == "done"]
    found = {
        "format": FORMAT,
        "command": plan["command"],
        "env": plan["env"],
        "seeds": plan["seeds"],
        "varied": plan["varied"],
        "versions": versions(),
        "cells": cells,
        "improvement": _improvement(ended),
    }
    return found | {"findings": findings(found)}


def cell_of(run: Path, planned: dict) -> dict[str, Any]:
    """One cell: what was planned, how far it is, and what it has measured."""
    points = read_points(run / "metrics.jsonl")
    cell = {**planned, "status": "missing", "share": 0.0}
    if not points:
        return cell
    offline = points[-1]["transitions"] == 0
    at = [point["gradient_steps" if offline else "transitions"] for point in points]
    cell |= {"status": "unfinished", "share": at[-1] / planned["steps"], "at": at, "offline": offline}
    returns = np.array([[np.nan if v is None else v for v in point["eval_return"]] for point in points], float).T
    low, high = band(returns)
    cell["returns"] = {
        "seeds": _rounded(returns), "iqm": _rounded(iqm(returns)), "low": _rounded(low), "high": _rounded(high),
    }  # fmt: skip
    cell["area"] = _rounded(area(at, returns))
    cell["measures"] = {name: _over_seeds(points, name) for name in MEASURES if any(p.get(name) for p in points)}
    cell["rank_limit"] = next((p["rank_limit"] for p in points if "rank_limit" in p), None)
    cell["probed_at"] = [point.get("probed_at") for point in points]
    cell["target_age"] = [point.get("target_age") for point in points]
    cell["alarms"] = _alarms(points)
    cell["period"] = _period(run, points[-1]["gradient_steps"])
    cell["looks"] = [
        {"gradient_steps": look["gradient_steps"], "age": look["age"], "distance": float(iqm(look["distance"]))}
        for look in read_points(run / "twin.jsonl")
    ]
    if (run / "summary.json").is_file():
        summary = read_json(run / "summary.json")
        finals = np.array(summary["eval_return"], float)
        low, high = interval(finals)
        area_low, area_high = interval(np.array(cell["area"], float))
        cell |= {
            "status": "done",
            "share": 1.0,
            "final": {"seeds": _rounded(finals), "iqm": float(iqm(finals)), "low": low, "high": high},
            "area_iqm": float(iqm(np.array(cell["area"], float))),
            "area_low": area_low,
            "area_high": area_high,
            "summary": {
                name: summary[name]
                for name in (
                    "transitions",
                    "gradient_steps",
                    "target_updates",
                    "wall_seconds",
                    "target",
                    "agent",
                    "env",
                )
            },
        }
    return cell


def missing(found: dict) -> list[str]:
    """What of a comparison has not been run, in words."""
    said = []
    for cell in found["cells"]:
        if cell["status"] != "done":
            how = (
                "has not begun"
                if cell["status"] == "missing"
                else f"is at {cell['share']:.0%} of its steps, not judged"
            )
            said.append(f"{cell['label']} {how}")
    if said:
        said.append(f"to go on: {found['command']}")
    return said


def table(found: dict) -> str:
    """The ranking as text: final greedy return and area under the curve, with 95 % intervals."""
    ended = sorted((c for c in found["cells"] if c["status"] == "done"), key=lambda c: -c["final"]["iqm"])
    rows = [("", "target updates", "final greedy return", "worst ... best", "area under the curve")]
    for cell in ended:
        final, updates = cell["final"], cell["summary"]["target_updates"]
        rows.append(
            (
                cell["label"],
                f"{updates:,}" if isinstance(updates, int) else f"{min(updates):,} to {max(updates):,}",
                f"{final['iqm']:.1f} [{final['low']:.1f}, {final['high']:.1f}]",
                f"{min(final['seeds']):.1f} ... {max(final['seeds']):.1f}",
                f"{cell['area_iqm']:.1f} [{cell['area_low']:.1f}, {cell['area_high']:.1f}]",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            word.ljust(w) if i == 0 else word.rjust(w) for i, (word, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def versions() -> dict[str, str]:
    """Of everything that the numbers hang on."""
    import qtwin

    names = ("jax", "flax", "optax", "gymnax", "gymnasium", "numpy")
    return {"qtwin": qtwin.__version__, "python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def _period(run: Path, gradient_steps: int) -> float | None:
    """The time constant of a cell's rule, C or 1 / tau; None where the target never moves or is tied."""
    from qtwin.run.saved import read_config

    rule = parse(read_config(run)["config"]["target"], gradient_steps)
    return None if rule.tied or not rule.every or not rule.tau else rule.every / rule.tau


def _improvement(ended: list[dict]) -> list[dict]:
    pairs = []
    for x in ended:
        for y in ended:
            if x is not y:
                ours, theirs = np.array(x["final"]["seeds"]), np.array(y["final"]["seeds"])
                low, high = improvement_interval(ours, theirs)
                probability = probability_of_improvement(ours, theirs)
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
