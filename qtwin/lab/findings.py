"""What a comparison shows, in sentences that follow from its numbers alone. Read without importing JAX."""

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


def _ranking(ended: list[dict]) -> list[str]:
    best, others = ended[0], ended[1:]
    final = best["final"]
    height = f"{final['iqm']:.1f} [{final['low']:.1f}, {final['high']:.1f}]"
    level = [c["label"] for c in others if c["final"]["high"] >= final["low"]]
    apart = [c["label"] for c in others if c["final"]["high"] < final["low"]]
    said = [f"{best['label']} ends highest, at {height}."]
    if level:
        verb = "cannot be told from it, for its interval reaches" if len(level) == 1 else "cannot be told from it, for"
        tail = " into its own" if len(level) == 1 else " their intervals reach into its own"
        said[0] += f" {_and(level)} {verb}{tail}."
    if apart:
        said[0] += f" {_and(apart)} end{'s' if len(apart) == 1 else ''} below, with no overlap."
    return said


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
