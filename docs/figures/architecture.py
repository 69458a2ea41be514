"""Draws docs/architecture.png: the two networks and the three processes, and the rooms of the package by floor.

python docs/figures/architecture.py [OUT]
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "architecture.png"
ONE, TWO, THREE, PLAIN = "#2a7f9e", "#c0562f", "#4f7f3a", "#555555"
# name: (x, y, colour, what it is, where it lives)
BOXES = {
    "environments": (0.6, 7.6, ONE, "N environments", "envs/"),
    "acting": (0.6, 4.6, ONE, "acting\nepsilon-greedy, noise", "acting/, processes/collect.py"),
    "replay": (4.3, 7.6, ONE, "replay buffer", "replay/"),
    "online": (0.6, 1.6, PLAIN, "online network\nit learns", "twin.py"),
    "target": (8.0, 1.6, TWO, "target network\nit only follows", "twin.py"),
    "y": (8.0, 4.6, THREE, "TD target\ny = r + gamma max Q_target", "td/, agents/NAME.py"),
    "loss": (4.3, 4.6, THREE, "loss of Q_online(s, a) - y", "td/, agents/NAME.py"),
    "optimiser": (4.3, 1.6, THREE, "gradient step", "processes/regress.py"),
}
WIDTH, HEIGHT = 2.7, 1.5
# from, to, colour, words
ARROWS = (
    ("acting", "environments", ONE, "1  act"),
    ("environments", "replay", ONE, "1  store"),
    ("online", "acting", ONE, "1  Q_online(s)"),
    ("replay", "loss", THREE, "3  draw a batch"),
    ("replay", "y", THREE, "      3  s', r"),
    ("target", "y", THREE, "3  Q_target(s')"),
    ("y", "loss", THREE, ""),
    ("loss", "optimiser", THREE, "3  gradient"),
    ("optimiser", "online", THREE, "3  moves"),
)


def floors() -> list[list[str]]:
    """The rooms from the top to the bottom, as the contract in pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[room.strip() for room in layer.replace(":", "|").split("|")] for layer in layers]


def draw_processes(axes: Axes) -> None:
    for x, y, colour, what, where in BOXES.values():
        axes.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle="round,pad=0.05", fc="white", ec=colour, lw=1.8))
        axes.text(x + WIDTH / 2, y + HEIGHT * 0.6, what, ha="center", va="center", fontsize=8.5)
        axes.text(x + WIDTH / 2, y + 0.13, where, ha="center", va="center", fontsize=6.5, color=colour, style="italic")
    for start, end, colour, words in ARROWS:
        (x0, y0), (x1, y1) = _ends(BOXES[start][:2], BOXES[end][:2])
        axes.annotate("", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.4})
        side = 0.12 if abs(x1 - x0) < 0.5 else 0.0
        axes.text((x0 + x1) / 2 + side, (y0 + y1) / 2 + 0.14, words, fontsize=7, color=colour,
                  ha="left" if side else "center")  # fmt: skip
    axes.annotate(
        "", (9.35, 1.5), (1.95, 1.5),
        arrowprops={"arrowstyle": "-|>", "color": TWO, "lw": 1.8, "connectionstyle": "arc3,rad=0.22"},
    )  # fmt: skip
    axes.text(5.65, 0.12, "2  the target follows: hard:C copies, soft:TAU moves a part   processes/update_target.py",
              ha="center", fontsize=7, color=TWO)  # fmt: skip
    axes.set(xlim=(0.2, 11.2), ylim=(-0.3, 9.4))
    axes.set_title("two networks, three processes (engine/cycle.py weaves them by their rates)", fontsize=9)
    axes.axis("off")


def _ends(a: tuple[float, float], b: tuple[float, float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves the box at ``a`` and where it meets that at ``b``."""
    (ax, ay), (bx, by) = a, b
    if ax == bx:
        middle = ax + WIDTH / 2
        return ((middle, ay + HEIGHT + 0.06), (middle, by - 0.06)) if by > ay else (
            (middle, ay - 0.06), (middle, by + HEIGHT + 0.06)
        )  # fmt: skip
    if ay == by:
        return ((ax + WIDTH + 0.06, ay + 0.75), (bx - 0.06, by + 0.75)) if bx > ax else (
            (ax - 0.06, ay + 0.75), (bx + WIDTH + 0.06, by + 0.75)
        )  # fmt: skip
    return (ax + WIDTH, ay), (bx + 0.3, by + HEIGHT + 0.06)


def draw_floors(axes: Axes) -> None:
    rooms = floors()
    for level, names in enumerate(rooms):
        y = len(rooms) - level
        axes.add_patch(FancyBboxPatch((0, y - 0.4), 6, 0.72, boxstyle="round,pad=0.02", fc="#f3f3f3", ec="#bbbbbb"))
        axes.text(3, y - 0.05, "   ".join(names), ha="center", va="center", fontsize=7.5)
    axes.annotate("", (6.5, 0.6), (6.5, len(rooms) + 0.3), arrowprops={"arrowstyle": "-|>", "color": PLAIN})
    axes.text(6.65, len(rooms) / 2, "imports", rotation=-90, va="center", fontsize=8, color=PLAIN)
    axes.set(xlim=(-0.2, 7.2), ylim=(0.3, len(rooms) + 0.6))
    axes.set_title("the rooms of qtwin/, by floor", fontsize=9)
    axes.axis("off")


def main(out: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 6), width_ratios=(2.2, 1))
    draw_processes(left)
    draw_floors(right)
    figure.tight_layout()
    figure.savefig(out, dpi=130, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
