"""Pictures of a Siamese run: how it went, and its features in the plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qtwin.types import Array

SHOWN = 1_000  # images in the picture of the features


def draw_curve(points: list[dict], title: str, file: Path, lines: dict[str, float]) -> None:
    """Nearest-neighbour accuracy, spread and loss against gradient steps; each seed thin, their mean thick.

    Args:
      points: the log points of a run.
      title: stands above.
      file: a PNG.
      lines: accuracies to compare with, by name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    shown = (
        ("knn", "nearest-neighbour accuracy"),
        ("spread", "spread of the projections (1 is 1 / sqrt(d), 0 is collapse)"),
        ("loss", "loss"),
    )
    for axes, (name, label) in zip(figure.subplots(1, 3), shown, strict=True):
        there = [p for p in points if all(v is not None for v in p[name])]
        if there:
            at = np.array([p["gradient_steps"] for p in there])
            values = np.array([p[name] for p in there], float)
            if values.shape[1] > 1:
                axes.plot(at, values, color="#4477aa", alpha=0.25, linewidth=0.8)
            axes.plot(at, values.mean(axis=1), color="#4477aa", linewidth=2)
        if name == "knn":
            for words, value in lines.items():
                if np.isfinite(value):
                    axes.axhline(value, color="#888888", linewidth=1, linestyle=":")
                    axes.text(
                        1, value, words, fontsize=7, color="#666666", ha="right", transform=axes.get_yaxis_transform()
                    )
        elif name == "spread":
            axes.set_ylim(bottom=0)
        axes.set_title(label, loc="left", fontsize=8)
        axes.set_xlabel("gradient steps", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=9, parse_math=False)
    figure.savefig(file)


def draw_features(features: Array, labels: Array | None, title: str, file: Path) -> None:
    """The features in the plane, by t-SNE (van der Maaten & Hinton 2008), a colour for each label.

    Args:
      features: [N, D]
      labels: whole numbers from 0; None where there are none. [N]
      title: stands above.
      file: a PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    features, labels = features[:SHOWN], None if labels is None else labels[:SHOWN]
    plane = TSNE(perplexity=min(30, max(1, (len(features) - 1) // 3)), random_state=0).fit_transform(features)
    figure = Figure(figsize=(6, 6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if labels is None:
        axes.scatter(*plane.T, s=8, color="#4477aa")
    else:
        dots = axes.scatter(*plane.T, s=8, c=labels, cmap="tab10" if labels.max() < 10 else "viridis")
        axes.legend(*dots.legend_elements(num=None), loc="upper right", fontsize=7, frameon=False)
    axes.set_title(title, loc="left", fontsize=9, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.savefig(file)
