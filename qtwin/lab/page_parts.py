"""What surrounds the figures of a report: the table and the foot of the page. Read without importing JAX."""

from __future__ import annotations

from qtwin.lab.markup import escaped
from qtwin.lab.svg import COLOURS
from qtwin.lab.table import each_seed, middle, seeds_head, updates
from qtwin.measure.statistics import ENOUGH


def table(ended: list) -> str:
    """The ranking in numbers, with every alarm in its words."""
    if not ended:
        return ""
    few, rows = len(ended[0][1]["final"]["seeds"]) < ENOUGH, []
    for i, c in sorted(ended, key=lambda pair: -pair[1]["final"]["iqm"]):
        final = c["final"]
        words = (
            updates(c),
            middle(final["iqm"], final["low"], final["high"]),
            each_seed(final["seeds"], few, " … "),
            middle(c["area_iqm"], c["area_low"], c["area_high"]),
        )
        cells = "".join(map(_data, words))
        rows.append(f'<tr><th scope="row"><i class="s{i % COLOURS}"></i>{escaped(c["label"])}</th>{cells}</tr>')
    head = ("", "target updates", "final greedy return", seeds_head(few), "area under the curve")
    return (
        '<section><h2>In numbers</h2><div class="scroll"><table><thead><tr>'
        + "".join(f"<th>{escaped(name)}</th>" for name in head)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{_alarms(ended)}</section>"
    )


def _data(word: str) -> str:
    """A cell of the table, its interval in small type."""
    number, bracket, interval = word.partition(" [")
    small = f" <small>[{escaped(interval)}</small>" if bracket else ""
    return f"<td>{escaped(number)}{small}</td>"


def _alarms(ended: list) -> str:
    said = [
        f'<li><i class="s{i % COLOURS}"></i><b>{escaped(c["label"])}</b> {escaped(a["words"])}'
        f" <small>({escaped(a['count'])} of {escaped(a['of'])} log points)</small></li>"
        for i, c in ended
        for a in c["alarms"]
    ]
    return f'<h3>Alarms</h3><ul class="alarms">{"".join(said)}</ul>' if said else "<p>No alarm was raised.</p>"


def footer(found: dict) -> str:
    """How to see it again: commands, seeds, versions, and where the measures come from."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    commands = "\n".join(cell["command"] for cell in found["cells"])
    return (
        f"<footer><h2>To see it again</h2><pre>{escaped(found['command'])}</pre>"
        f"<details><summary>each cell by itself</summary><pre>{escaped(commands)}</pre></details>"
        f"<p>Seeds {escaped(found['seeds'][0])} to {escaped(found['seeds'][-1])}. {escaped(versions)}."
        f" {escaped(found['interval']['note'])} Interquartile mean, bootstrap, performance profile and probability of"
        " improvement after Agarwal et al. (2021); effective rank after Kumar et al. (2021); dormant units after"
        " Sokar et al. (2023); churn after Schaul et al. (2022); soft divergence after van Hasselt et al. (2018).</p>"
        "</footer>"
    )
