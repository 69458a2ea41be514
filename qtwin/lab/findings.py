"""What a comparison shows, in sentences that follow from its numbers alone. Read without importing JAX.

A sentence that sets settings apart is held against every pair that it speaks of: "with no overlap" is said of two
groups only where no interval of the one overlaps any interval of the other.
"""

from __future__ import annotations


def findings(found: dict) -> list[str]:
    """Sentences on the ranking, on cells that are the same, and on what went wrong; nothing is judged by eye.

    Args:
      found: what ``compare.json`` holds, its findings aside.
    """
    ended = sorted((c for c in found["cells"] if c["status"] == "done"), key=lambda c: -c["final"]["iqm"])
    said = []
    if len(ended) > 1:
        said += _ranking(ended)
    said += _same(ended)
    for cell in ended:
        said += _troubles(cell)
    return said


def overlap(one: dict, other: dict) -> bool:
    """The intervals of two cells' final returns have a point in common."""
    return one["final"]["low"] <= other["final"]["high"] and other["final"]["low"] <= one["final"]["high"]


def _ranking(ended: list[dict]) -> list[str]:
    """The highest against each other cell, then what lies below all the rest."""
    best, others = ended[0], ended[1:]
    final = best["final"]
    if any(cell["final"]["low"] is None or cell["final"]["high"] is None for cell in ended):
        seeds = len(final["seeds"])
        return [
            f"{best['label']} ends highest, at {final['iqm']:.1f}, but {'one seed' if seeds == 1 else f'{seeds} seeds'}"
            " cannot tell settings apart: there is no interval."
        ]
    said = f"{best['label']} ends highest, at {final['iqm']:.1f} [{final['low']:.1f}, {final['high']:.1f}]."
    level = [cell["label"] for cell in others if overlap(best, cell)]
    apart = [cell["label"] for cell in others if not overlap(best, cell)]
    if level:
        reach = "its interval reaches" if len(level) == 1 else "their intervals reach"
        said += f" {_and(level)} cannot be told from it, for {reach} into its own."
    if apart:
        said += f" {_and(apart)} end{'s' if len(apart) == 1 else ''} below {best['label']}, with no overlap."
    return [said, *_lowest(ended)]


def _lowest(ended: list[dict]) -> list[str]:
    """The largest group of which no interval overlaps one of the cells above it, where the group is not all but one."""
    for cut in range(2, len(ended)):
        above, below = ended[:cut], ended[cut:]
        if not any(overlap(one, other) for one in above for other in below):
            labels = [cell["label"] for cell in below]
            return [f"{_and(labels)} end{'s' if len(below) == 1 else ''} below all others, with no overlap."]
    return []


def _same(ended: list[dict]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for cell in ended:
        groups.setdefault(str((cell["returns"]["seeds"], cell["final"]["seeds"])), []).append(cell["label"])
    return [
        f"{_and(labels)} give the same curves, seed by seed and point by point."
        for labels in groups.values()
        if len(labels) > 1
    ]


def _troubles(cell: dict) -> list[str]:
    return [
        f"{cell['label']}: {alarm['words']}"
        f" ({'at every log point' if alarm['count'] == alarm['of'] else _times(alarm)})."
        for alarm in cell["alarms"]
    ]


def _times(alarm: dict) -> str:
    return f"at {alarm['count']} of {alarm['of']} log points"


def _and(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
