"""Figures as SVG text, drawn by hand: small, sharp, and coloured by the page's own style sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from qtwin.lab.markup import escaped as _e

WIDTH, HEIGHT = 560, 330
TINY = 1e-100  # less has no place on a logarithmic scale, as what is not positive
NOTHING = '<p class="none">Nothing was measured here.</p>'
DECADES = 6  # that a logarithmic scale reaches down; what is less lies at its foot
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 44


COLOURS = 10  # in report.css; more cells begin anew with dashes


class Series(NamedTuple):
    """One line.

    Attributes:
      index: which cell, for its colour and its name.
      label: its name.
      x: where.
      y: how high; None leaves a gap.
      low, high: of a band around it; empty is none.
      dashed: drawn with dashes.
      seeds: each seed's own heights, drawn as points; empty is none.
    """

    index: int
    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    dashed: bool = False
    seeds: Sequence[Sequence[float | None]] = ()


class Scale(NamedTuple):
    """From numbers to places: ``low`` lies at ``begin`` and ``high`` at ``end``."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log10(max(value, self.low)), math.log10(low), math.log10(high)
        return self.begin + (self.end - self.begin) * (value - low) / ((high - low) or 1.0)


def lines(
    series: Sequence[Series], x_label: str, y_label: str, log: bool = False, bound: tuple[float, str] | None = None,
    height: int = HEIGHT, floor: float | None = None, percent: bool = False,
) -> str:  # fmt: skip
    """A chart of lines, with bands where they have some.

    Args:
      series: at least one.
      x_label, y_label: what the axes count.
      log: the height is on a logarithmic scale; what is not positive is left out.
      bound: a level to mark, and its name.
      height: of the figure.
      floor: the lowest level shown; found from the numbers if None.
      percent: heights are shares.
    """
    xs = [x for one in series for x in one.x]
    ys = [y for one in series for part in (one.y, one.low, one.high, *one.seeds) for y in part if y is not None]
    ys += [bound[0]] if bound else []
    ys = [y for y in ys if y > TINY] if log else ys
    if not xs or not ys:
        return NOTHING
    low, high = (min(ys), max(ys)) if floor is None else (min(floor, min(ys)), max(ys))
    if log:
        low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) or 0)
        high = high if high > low else 10 * low
        low = max(low, high / 10**DECADES)
        y_ticks = _decades(low, high)
    else:
        y_ticks = ticks(low, high if high > low else low + (abs(low) or 1.0))
        low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    x_scale = Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_scale = Scale(low, high, height - BOTTOM, TOP, log)
    parts = [_axes(x_scale, y_scale, ticks(min(xs), max(xs)), y_ticks, x_label, y_label, height, percent)]
    if bound:
        y = y_scale(bound[0])
        parts.append(f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="note" x="{WIDTH - RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end">{_e(bound[1])}</text>'
        )
    for one in series:
        if one.low:
            parts.append(f'<path {_mark("band", one.index)} d="{_area(one, x_scale, y_scale, log)}"/>')
    for one in series:
        kind = "line dashed" if one.dashed else "line"
        parts.append(f'<path {_mark(kind, one.index)} d="{_path(one.x, one.y, x_scale, y_scale, log)}"/>')
        parts += _points(one, x_scale, y_scale)
    parts.append(f'<line class="cross" x1="0" x2="0" y1="{TOP}" y2="{height - BOTTOM}"/>')
    return _svg(parts, height, f"{y_label} against {x_label}", series, x_scale)


def _mark(kind: str, index: int) -> str:
    """Attributes of a mark: its class with the cell's colour, and the cell itself, for the script to pick it by."""
    return f'class="{kind} s{index % COLOURS}" data-i="{index}"'


def _points(one: Series, x_scale: Scale, y_scale: Scale) -> list[str]:
    """A point for each seed at each place."""
    return [
        f'<circle {_mark("seed", one.index)} cx="{x_scale(x):.1f}" cy="{y_scale(y):.1f}" r="1.7"/>'
        for seed in one.seeds
        for x, y in zip(one.x, seed, strict=True)
        if y is not None
    ]


def dots(rows: Sequence[tuple[int, str, float, float | None, float | None, Sequence]], x_label: str) -> str:
    """A chart of points with intervals, one row each.

    Args:
      rows: (index, label, middle, low, high, the seeds' own values); low and high are None where there is no interval.
      x_label: what the axis counts.
    """
    every = [v for row in rows for v in (*row[2:5], *row[5]) if v is not None]
    if not every:
        return NOTHING
    low, high = min(every), max(every)
    at = ticks(low, high if high > low else low + 1.0)
    label_width = min(200, 14 + 7.2 * max(len(row[1]) for row in rows))
    height = TOP + 30 * len(rows) + BOTTOM
    scale = Scale(min(low, at[0]), max(high, at[-1]), label_width, WIDTH - RIGHT)
    parts = []
    for tick in at:
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - BOTTOM + 17}" text-anchor="middle">{number(tick)}</text>')
    parts.append(_named(x_label, f'x="{(label_width + WIDTH) / 2:.0f}" y="{height - 8}"'))
    for i, (index, label, middle, lo, hi, seeds) in enumerate(rows):
        y, colour = TOP + 30 * i + 15, f"s{index % COLOURS}"
        parts.append(
            f"<g {_mark('row', index)}>"
            f'<text x="{label_width - 10:.0f}" y="{y + 4}" text-anchor="end">{_e(label)}</text>'
        )
        parts += [
            f'<circle class="seed {colour}" cx="{scale(v):.1f}" cy="{y}" r="2.6"/>' for v in seeds if v is not None
        ]
        if lo is not None and hi is not None:
            parts.append(
                f'<line class="interval {colour}" x1="{scale(lo):.1f}" x2="{scale(hi):.1f}" y1="{y}" y2="{y}"/>'
            )
        parts.append(f'<circle class="middle {colour}" cx="{scale(middle):.1f}" cy="{y}" r="5.5"/></g>')
    return _svg(parts, height, x_label)


def heat(labels: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """A square of shares: how often the row ends above the column."""
    size = len(labels)
    left = min(190, 16 + 7.2 * max(map(len, labels)))
    cell = min(64.0, (WIDTH - RIGHT - left) / size)
    height = int(TOP + cell * size + 16 + min(120, 7.2 * max(map(len, labels))))
    parts = []
    for i, row in enumerate(values):
        y = TOP + cell * i
        parts.append(f'<text x="{left - 8:.0f}" y="{y + cell / 2 + 4:.1f}" text-anchor="end">{_e(labels[i])}</text>')
        for j, value in enumerate(row):
            if value is None:
                continue
            x, side = left + cell * j, "up" if value >= 0.5 else "down"
            parts.append(
                f'<rect class="{side}" style="fill-opacity:{abs(1.6 * value - 0.8):.2f}" x="{x + 1:.1f}"'
                f' y="{y + 1:.1f}"'
                f' width="{cell - 2:.1f}" height="{cell - 2:.1f}" rx="4"/>'
                + _named(f"{100 * value:.0f}", f'x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}"')
            )
    for j, label in enumerate(labels):
        x, y = left + cell * (j + 0.5), TOP + cell * size + 14
        parts.append(
            f'<text transform="translate({x + 4:.1f},{y:.1f}) rotate(-50)" text-anchor="end">{_e(label)}</text>'
        )
    return _svg(parts, height, "how often the row ends above the column, in percent")


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``."""
    if not high - low > TINY:
        return [low]
    raw = (high - low) / about
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def number(value: float) -> str:
    """A number as it stands at an axis: ``500k``, ``0.02``."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.3g}" if size < 1000 else f"{value:,.0f}"


def _decades(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**k for k in range(first, last + 1, max(1, (last - first) // 5))]


def _axes(x_scale, y_scale, x_ticks, y_ticks, x_label, y_label, height, percent) -> str:
    parts = []
    for tick in y_ticks:
        y, name = y_scale(tick), f"{100 * tick:g} %" if percent else number(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{name}</text>')
    for tick in x_ticks:
        if x_scale.low <= tick <= x_scale.high:
            x = x_scale(tick)
            parts.append(f'<text x="{x:.1f}" y="{height - BOTTOM + 17}" text-anchor="middle">{number(tick)}</text>')
    middle = (TOP + height - BOTTOM) / 2
    parts.append(_named(x_label, f'x="{(LEFT + WIDTH) / 2:.0f}" y="{height - 8}"'))
    parts.append(_named(y_label, f'transform="translate(13,{middle:.0f}) rotate(-90)"'))
    return "".join(parts)


def _named(words: str, place: str) -> str:
    """The name of an axis."""
    return f'<text class="axis" {place} text-anchor="middle">{_e(words)}</text>'


def _path(xs, ys, x_scale, y_scale, log) -> str:
    words, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if x is None or y is None or (log and y <= TINY):
            pen = "M"
            continue
        words.append(f"{pen}{x_scale(x):.1f} {y_scale(y):.1f}")
        pen = "L"
    return "".join(words)


def _area(one: Series, x_scale, y_scale, log) -> str:
    kept = [
        (x, lo, hi)
        for x, lo, hi in zip(one.x, one.low, one.high, strict=True)
        if lo is not None and hi is not None and (not log or lo > TINY)
    ]
    if len(kept) < 2:
        return ""
    there = [f"{x_scale(x):.1f} {y_scale(hi):.1f}" for x, _, hi in kept]
    back = [f"{x_scale(x):.1f} {y_scale(lo):.1f}" for x, lo, _ in reversed(kept)]
    return f"M{'L'.join(there)}L{'L'.join(back)}Z"


def _svg(parts, height: int, title: str, series: Sequence[Series] = (), x_scale: Scale | None = None) -> str:
    data = ""
    if x_scale is not None:
        told = [
            {"i": s.index % COLOURS, "n": s.label, "x": [float(f"{x:.6g}") for x in s.x], "y": [_short(y) for y in s.y]}
            for s in series
        ]
        box = [x_scale.low, x_scale.high, x_scale.begin, x_scale.end]
        data = f" data-box='{_e(json.dumps(box))}' data-series='{_e(json.dumps(told))}'"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_e(title)}"{data}>{"".join(parts)}</svg>'


def _short(y: float | None) -> float | None:
    return None if y is None else float(f"{y:.4g}")
