"""A comparison as text: the table on the terminal, and what is missing from it. Read without importing JAX."""

from __future__ import annotations

from qtwin.measure.statistics import ENOUGH


def missing(found: dict) -> list[str]:
    """What of a comparison has not been run, or cannot be read, in words."""
    said, unfinished = [], False
    for cell in found["cells"]:
        if cell["status"] != "done":
            unfinished = True
            how = (
                "has not begun"
                if cell["status"] == "missing"
                else f"is at {cell['share']:.0%} of its steps, not judged"
            )
            said.append(f"{cell['label']} {how}")
        said += [f"{cell['label']}: {gap}" for gap in cell.get("gaps", ())]
    if unfinished:
        said.append(f"to go on: {found['command']}")
    return said


def table(found: dict) -> str:
    """The ranking as text: final greedy return and area under the curve, with the intervals that the last line names.

    Below ten seeds every seed's final return stands there, from ten on the worst and the best.
    """
    ended = ranked(found["cells"])
    few = len(found["seeds"]) < ENOUGH
    rows = [("", "target updates", "final greedy return", seeds_head(few), "area under the curve")]
    for cell in ended:
        final = cell["final"]
        rows.append(
            (
                cell["label"],
                updates(cell),
                middle(final["iqm"], final["low"], final["high"]),
                each_seed(final["seeds"], few, " ... "),
                middle(cell["area_iqm"], cell["area_low"], cell["area_high"]),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            word.ljust(w) if i == 0 else word.rjust(w) for i, (word, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, found["interval"]["note"]])


def ranked(cells: list[dict]) -> list[dict]:
    """The cells that have ended, the best first."""
    return sorted((c for c in cells if c["status"] == "done"), key=lambda c: -c["final"]["iqm"])


def middle(iqm: float | None, low: float | None, high: float | None) -> str:
    """``480.1 [440.0, 500.0]``, without the interval where there is none."""
    if iqm is None:
        return "-"
    return f"{iqm:.1f}" if low is None or high is None else f"{iqm:.1f} [{low:.1f}, {high:.1f}]"


def seeds_head(few: bool) -> str:
    """The head of the column that `each_seed` fills."""
    return "each seed" if few else "worst ... best"


def each_seed(values: list[float], few: bool, between: str) -> str:
    """The seeds' own values, or of many the worst and the best."""
    return ", ".join(f"{v:.1f}" for v in values) if few else f"{min(values):.1f}{between}{max(values):.1f}"


def updates(cell: dict) -> str:
    """Target updates of a cell, which may differ from seed to seed."""
    count = cell["summary"]["target_updates"]
    return f"{count:,}" if isinstance(count, int) else f"{min(count):,} to {max(count):,}"
