"""A comparison as one HTML file that needs no network. Read without importing JAX."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from qtwin.lab.markup import escaped as _e
from qtwin.lab.page_parts import footer as _footer
from qtwin.lab.page_parts import table as _table
from qtwin.lab.svg import COLOURS, Series, dots, heat, lines
from qtwin.lab.table import missing
from qtwin.measure.catalog import MEASURES, from_outside
from qtwin.measure.statistics import ENOUGH, LEAST, profile, profile_band

MANY = 8  # settings


def page(found: dict) -> str:
    """The report of what ``compare.json`` holds.

    Args:
      found: as `qtwin.lab.results.collect` gives it.
    """
    home = files("qtwin.lab")
    style, script = ((home / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    shown = [(i, cell) for i, cell in enumerate(found["cells"]) if cell["status"] != "missing"]
    ended = [(i, cell) for i, cell in shown if cell["status"] == "done"]
    title = f"{found['env']}: {_what(found)}"
    body = [_header(found, title), _missing(found), _legend(found)]
    if shown:
        body += [_results(shown, ended, found), _twin(shown), _values(shown), _representation(shown), _outside(shown)]
    body.append(_footer(found))
    many = ' class="many"' if len(shown) > MANY else ""  # their bands would hide the lines
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{_e(title)}</title><style>{style}</style></head>'
        f'<body><main{many}>{"".join(body)}</main><div id="tip" hidden></div><script>{script}</script></body></html>\n'
    )


def _what(found: dict) -> str:
    names = {"target": "how the target follows", "bootstrap": "how it is used", "agent": "which agent"}
    said = [names.get(name, name.replace("_", " ")) for name in found["varied"]]
    return " and ".join(said) if len(said) < 3 else ", ".join(said)


def _header(found: dict, title: str) -> str:
    env, _, what = title.partition(": ")
    seeds, cells = len(found["seeds"]), len(found["cells"])
    sentences = "".join(f"<li>{_e(sentence)}</li>" for sentence in found["findings"] if not _is_alarm(sentence, found))
    return (
        f'<header><p class="kicker">qtwin compare</p><h1>{_e(env)}<span>{_e(what)}</span></h1>'
        f'<p class="lead">{cells} settings, {seeds} seed{"s" * (seeds > 1)} each, everything else held fixed. Middles'
        f" are interquartile means over seeds. {_e(found['interval']['note'])}</p>"
        f'<ul class="findings">{sentences}</ul></header>'
    )


def _is_alarm(sentence: str, found: dict) -> bool:
    return (
        any(sentence.startswith(f"{cell['label']}: ") for cell in found["cells"] if cell.get("alarms"))
        and "log point" in sentence
    )


def _missing(found: dict) -> str:
    lines_ = missing(found)
    if not lines_:
        return ""
    unfinished = any(cell["status"] != "done" for cell in found["cells"])
    items = "".join(f"<li>{_e(line)}</li>" for line in (lines_[:-1] if unfinished else lines_))
    command = f"<pre>{_e(found['command'])}</pre>" if unfinished else ""
    heading = "Not finished" if unfinished else "Left out"
    return f'<section class="missing"><h2>{heading}</h2><ul>{items}</ul>{command}</section>'


def _legend(found: dict) -> str:
    chips = "".join(
        f'<button type="button" data-i="{i}" class="chip s{i % COLOURS}"><i></i>{_e(cell["label"])}</button>'
        for i, cell in enumerate(found["cells"])
    )
    return f'<nav aria-label="settings">{chips}</nav>'


def _results(shown: list, ended: list, found: dict) -> str:
    curves = [_series(i, c, c["at"], c["returns"]["iqm"], c["returns"]["low"], c["returns"]["high"]) for i, c in shown]
    seeds, name = len(found["seeds"]), found["interval"]["method"]
    points = ""
    if seeds < ENOUGH:
        curves = [one._replace(seeds=c["returns"]["seeds"]) for one, (_, c) in zip(curves, shown, strict=True)]
        points = " Each small point is one seed."
    band = (
        f", the band its 95 % {name}: where two bands overlap, these seeds cannot tell the settings apart"
        if name
        else ""
    )
    bar = f", the bar its 95 % {name}" if name else ""
    figures = [
        _figure(
            "Learning curves", lines(curves, _axis(shown), "greedy return"),
            "Higher is better, and further left is sooner. Each line is the interquartile mean over seeds"
            f"{band}.{points}",
        ),
    ]  # fmt: skip
    if ended:
        ranked = sorted(ended, key=lambda pair: -pair[1]["final"]["iqm"])
        rows = [
            (i, c["label"], c["final"]["iqm"], c["final"]["low"], c["final"]["high"], c["final"]["seeds"])
            for i, c in ranked
        ]
        areas = [
            (i, c["label"], c["area_iqm"], c["area_low"], c["area_high"], c["area"])
            for i, c in sorted(ended, key=lambda pair: -(pair[1]["area_iqm"] or 0.0))
            if c["area_iqm"] is not None
        ]
        figures += [
            _figure(
                "Where they end", dots(rows, "final greedy return"),
                f"The large point is the interquartile mean of the final greedy returns{bar}, each small point one"
                " seed. A long row of small points means that luck decides.",
            ),
            _figure(
                "Over the whole run", dots(areas, "area under the learning curve, as a mean return"),
                "The mean height of the learning curve: what was earned on the way, not only at the end. A setting that"
                " learns late stands lower here than above.",
            ),
            _profile(ended, seeds),
        ]  # fmt: skip
        if len(ended) > 1:
            figures.append(_improvement(ended, found))
    return _section("Result", figures) + _table(ended)


def _profile(ended: list, seeds: int) -> str:
    every = np.concatenate([c["final"]["seeds"] for _, c in ended])
    at = np.linspace(every.min(), every.max(), 60)
    series = []
    for i, cell in ended:
        scores = np.array(cell["final"]["seeds"])
        band = [side.tolist() for side in profile_band(scores, at)] if seeds >= LEAST else ((), ())
        series.append(_series(i, cell, at.tolist(), profile(scores, at).tolist(), *band))
    return _figure(
        "How many seeds get that far", lines(series, "final greedy return", "share of seeds", percent=True, floor=0.0),
        "Read upwards from a return: the height is the share of seeds that end above it. A curve that lies above"
        " another everywhere belongs to the better setting; a long slope to one whose seeds differ."
        + (f" Bands are bootstrap intervals, too narrow below {ENOUGH} seeds." if LEAST <= seeds < ENOUGH else ""),
    )  # fmt: skip


def _improvement(ended: list, found: dict) -> str:
    ranked = [c["label"] for _, c in sorted(ended, key=lambda pair: -pair[1]["final"]["iqm"])]
    by_pair = {(pair["of"], pair["over"]): pair["p"] for pair in found["improvement"]}
    values = [[by_pair.get((row, column)) for column in ranked] for row in ranked]
    return _figure(
        "Which beats which",
        heat(ranked, values),
        "How often, in percent, a run of the row's setting ends above a run of the column's, ties counted half. 50 is a"
        " toss of a coin.",
    )


def _twin(shown: list) -> str:
    figures = [
        _over(shown, "probe_distance", "How far the twin is behind", "relative distance of the parameters",
              "The L2 distance between online and target network, over the size of the online one, read at another part"
              " of each interval. A soft target keeps a steady distance; a hard one is anywhere between nothing and a"
              " whole period's way.", log=True),
    ]  # fmt: skip
    looked = [(i, c) for i, c in shown if c["looks"] and c["period"]]
    if looked:
        ages, gaps = [], []
        for i, cell in looked:
            period, first = cell["period"], cell["looks"][0]["gradient_steps"]
            at = [(look["gradient_steps"] - first) / period for look in cell["looks"]]
            old = [None if look["age"] is None else look["age"] / period for look in cell["looks"]]
            ages.append(_series(i, cell, at, old))
            gaps.append(_series(i, cell, at, [look["distance"] for look in cell["looks"]]))
        own = "time since the middle of the run, in the rule's own periods"
        figures += [
            _figure(
                "Saw-tooth and plateau", lines(ages, own, "age of what the target knows, in periods", floor=0.0),
                "A period is C gradient steps for a hard copy and 1 / tau for a soft target. A hard copy ages until it"
                " is renewed, a soft target stays about one period old. Tied and frozen targets have no period.",
            ),
            _figure(
                "Its distance meanwhile", lines(gaps, own, "relative distance", log=True),
                "The same moments: the distance grows with the age, and falls to nothing at a copy.",
            ),
        ]  # fmt: skip
    figures += [
        _over(shown, "value_gap", "How far apart their values are", "mean |Q - Qbar|",
              "On the same probe states throughout, over all actions. Distance in parameters that does not show in"
              " values does no harm, and no good.", log=True),
        _over(shown, "greedy_gap", "How often they would act differently", "share of states",
              "The share of probe states in which the online and the target network prefer different actions.",
              percent=True, floor=0.0),
    ]  # fmt: skip
    return _section("The twin", figures)


def _values(shown: list) -> str:
    said = []
    for i, cell in shown:
        predicted, true = cell["measures"].get("predicted_return"), cell["measures"].get("true_return")
        if predicted and true and any(v is not None for v in true["iqm"]):
            said.append(_series(i, cell, cell["at"], predicted["iqm"]))
            said.append(_series(i, cell, cell["at"], true["iqm"])._replace(dashed=True))
    figures = []
    if said:
        figures.append(
            _figure(
                "What was promised and what came",
                lines(said, _axis(shown), "discounted return"),
                "Solid: what the network said of the states of its greedy episodes. Dashed: the discounted return"
                " that really followed, nothing bootstrapped. Where an episode is cut by its time limit, only states"
                " count after which 99 % of the weight was seen. Solid above dashed is over-estimation.",
            )
        )
    figures += [
        _over(shown, "over_estimation", "Over-estimation", "said minus came",
              "The difference of the two. 0 is right; above it the values promise too much."),
        _over(shown, "divergence", "Soft divergence", "largest |Q| over r_max/(1 - gamma)",
              "No true value exceeds r_max / (1 - gamma), which is 1 here. What goes above has run away, if only for a"
              " while.", log=True, bound=(1.0, "the largest value that can be true")),
        _over(shown, "churn", "Churn", "share of states per gradient step",
              "How many probe states change their greedy action with a single gradient step (mean of four). The policy"
              " that collects moves that much under the regression.", percent=True, floor=0.0),
        _over(shown, "target_change", "How much the TD target moves", "mean |change of y| per gradient step",
              "What the regression aims at, on the probe batch, from one gradient step to the next. Between two copies"
              " of a hard target it stands still.", log=True),
    ]  # fmt: skip
    return _section("The values", figures)


def _representation(shown: list) -> str:
    limit = next((cell["rank_limit"] for _, cell in shown if cell.get("rank_limit")), None)
    figures = [
        _over(shown, "effective_rank", "Effective rank", "singular values that hold 99 %",
              "How many directions the last hidden layer really uses on the probe states"
              + (f", of {limit} there could be." if limit else ".") + " A fall to a few is a collapse.", floor=0.0),
        _over(shown, "dormant", "Dormant units", "share of hidden units",
              "Units that answer less than a tenth of their layer's mean. What sleeps no longer learns.", percent=True,
              floor=0.0),
        _over(shown, "spread", "Spread of the features", "deviation over 1/sqrt(d)",
              "The deviation of the l2-normalised features. 0 means that all states look alike.", floor=0.0),
    ]  # fmt: skip
    return _section("The representation", figures)


def _outside(shown: list) -> str:
    """Diagnostics from outside this package; what one is about is known where it is registered."""
    figures = []
    for name in from_outside({name for _, cell in shown for name in cell["measures"]}):
        info = MEASURES.get(name)
        unit, about = (info.unit, f"{info.about.capitalize().rstrip('.')}.") if info else (name, "")
        figures.append(_over(shown, name, name, unit, about))
    return _section("Your own diagnostics", figures)


def _over(shown: list, name: str, heading: str, y_label: str, how: str, **style) -> str:
    series = [
        _series(i, c, c["at"], c["measures"][name]["iqm"], c["measures"][name]["low"], c["measures"][name]["high"])
        for i, c in shown
        if name in c["measures"]
    ]
    if not series:
        return ""
    how = f"{how} Band: from the least to the greatest seed.".strip()
    return _figure(heading, lines(series, _axis(shown), y_label, **style), how)


def _section(heading: str, figures: list[str]) -> str:
    there = [figure for figure in figures if figure]
    return f'<section><h2>{heading}</h2><div class="figures">{"".join(there)}</div></section>' if there else ""


def _figure(heading: str, picture: str, how: str) -> str:
    return f"<figure><h3>{_e(heading)}</h3>{picture}<figcaption>{_e(how)}</figcaption></figure>"


def _series(i: int, cell: dict, x: list, y: list, low: list = (), high: list = ()) -> Series:
    return Series(i, cell["label"], x, y, low, high, i >= COLOURS)


def _axis(shown: list) -> str:
    return "gradient steps" if shown[0][1]["offline"] else "transitions"
