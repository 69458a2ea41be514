"""The learning curve as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qtwin.measure.statistics import iqm


def draw(points: list[dict], title: str, file: Path, judged: str = "greedy") -> None:
    """Draws evaluation returns against transitions: the interquartile mean over seeds, each seed thin behind it.

    Args:
      points: the log points of a run.
      title: stands above.
      file: a PNG.
      judged: how the episodes were played, "greedy" or "protocol NAME".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = [p for p in points if all(v is not None for v in p["eval_return"])]
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if points:
        offline = points[-1]["transitions"] == 0
        at = np.array([p["gradient_steps" if offline else "transitions"] for p in points])
        returns = np.array([p["eval_return"] for p in points], float)  # [points, seeds]
        if returns.shape[1] > 1:
            axes.plot(at, returns, color="#4477aa", alpha=0.25, linewidth=0.8)
        middle = iqm(returns, axis=1)
        label = "one seed" if returns.shape[1] == 1 else f"interquartile mean of {returns.shape[1]} seeds"
        axes.plot(at, middle, color="#4477aa", linewidth=2.2, label=label)
        axes.annotate(f"{middle[-1]:.1f}", (at[-1], middle[-1]), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set_xlabel("gradient steps" if offline else "transitions")
        axes.legend(loc="best", frameon=False)
    axes.set_ylabel("undiscounted return, " + ("greedy episodes" if judged == "greedy" else judged))
    axes.set_title(title, loc="left", parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)
