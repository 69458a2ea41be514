"""What surrounds the figures of a report: the table and the foot of the page. Read without importing JAX."""

from __future__ import annotations

import html

from qtwin.lab.svg import COLOURS


def escaped(text: str) -> str:
    """``text`` as it may stand in HTML."""
    return html.escape(text)


def table(ended: list) -> str:
    """The ranking in numbers, with every alarm in its words."""
    if not ended:
        return ""
    rows = []
    for i, c in sorted(ended, key=lambda pair: -pair[1]["final"]["iqm"]):
        final, updates = c["final"], c["summary"]["target_updates"]
        told = f"{updates:,}" if isinstance(updates, int) else f"{min(updates):,} to {max(updates):,}"
        rows.append(
            f'<tr><th scope="row"><i class="s{i % COLOURS}"></i>{escaped(c["label"])}</th><td>{told}</td>'
            f"<td>{final['iqm']:.1f} <small>[{final['low']:.1f}, {final['high']:.1f}]</small></td>"
            f"<td>{min(final['seeds']):.1f} … {max(final['seeds']):.1f}</td>"
            f"<td>{c['area_iqm']:.1f} <small>[{c['area_low']:.1f}, {c['area_high']:.1f}]</small></td></tr>"
        )
    head = ("", "target updates", "final greedy return", "worst … best", "area under the curve")
    return (
        '<section><h2>In numbers</h2><div class="scroll"><table><thead><tr>'
        + "".join(f"<th>{name}</th>" for name in head)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{_alarms(ended)}</section>"
    )


def _alarms(ended: list) -> str:
    said = [
        f'<li><i class="s{i % COLOURS}"></i><b>{escaped(c["label"])}</b> {escaped(a["words"])}'
        f" <small>({a['count']} of {a['of']} log points)</small></li>"
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
        f"<p>Seeds {found['seeds'][0]} to {found['seeds'][-1]}. {escaped(versions)}. Interquartile mean, bootstrap,"
        " performance profile and probability of improvement after Agarwal et al. (2021); effective rank after Kumar et"
        " al. (2021); dormant units after Sokar et al. (2023); churn after Schaul et al. (2022); soft divergence after"
        " van Hasselt et al. (2018).</p></footer>"
    )
