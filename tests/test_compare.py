"""The laboratory: grids, their cells by content, what is refused, going on where it stopped, tables and the page."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qtwin.cli import main
from qtwin.cli.compare import compare_options
from qtwin.config.options import SETTINGS
from qtwin.errors import Refusal
from qtwin.lab import compare
from qtwin.lab.findings import findings
from qtwin.lab.grid import Protocol, cells_of, label_of, price_group
from qtwin.lab.page import page
from qtwin.lab.results import collect
from qtwin.lab.svg import number, ticks
from qtwin.lab.table import missing, table
from qtwin.request.parser import Parser
from qtwin.run.logs import read_points

TARGETS = {"target": ["hard:10", "soft:0.1", "tied"]}


def test_a_grid_is_every_combination_named_by_its_content():
    cells = cells_of(Protocol("CartPole-v1", 3), TARGETS | {"bootstrap": ["max", "double"], "steps": ["20000"]})
    assert [cell.label for cell in cells][:3] == ["hard:10, max", "hard:10, double", "soft:0.1, max"]
    assert len({cell.folder for cell in cells}) == 6
    again = cells_of(Protocol("CartPole-v1", 3), TARGETS | {"bootstrap": ["max"], "steps": ["20000"]})
    digests = {cell.folder[-8:] for cell in cells}
    assert all(cell.folder[-8:] in digests for cell in again), "the same run has the same name in every grid"
    other = cells_of(Protocol("CartPole-v1", 4), TARGETS | {"bootstrap": ["max"], "steps": ["20000"]})
    assert not {cell.folder[-8:] for cell in other} & digests
    assert cells[0].request.config.target == "hard:10"
    assert label_of({"target": "tied", "learning_rate": "0.001"}) == "tied, lr 0.001"
    assert len({price_group(cell.request.config) for cell in cells}) == 2, "how it bootstraps costs, how it follows not"


def test_what_is_nothing_to_one_of_the_agents_is_left_to_the_others():
    shared = {"steps": ["20000"], "support": ["-20:20"]}
    dqn, c51 = cells_of(Protocol("CartPole-v1", 2), {"agent": ["dqn", "c51"], **shared})
    assert not hasattr(dqn.request.config, "support")
    assert c51.request.config.support == "-20:20"
    with pytest.raises(Refusal, match="the agent dqn does not use --support"):
        cells_of(Protocol("CartPole-v1", 2), {"agent": ["dqn"], "target": ["tied", "hard:100"], **shared})
    with pytest.raises(Refusal, match=r"not use --support.*in the cell dqn"):
        cells_of(Protocol("CartPole-v1", 2), {"agent": ["dqn", "c51"], "support": ["-20:20", "-10:20"]})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": ["hard:10"]}, "several values"),
        ({"target": ["hard:10", "hard:10"]}, "several values"),
        ({"target": ["hard:10", "herd:10"]}, "'hard'"),
        ({"target": ["hard:10", "tied"], "bootstrap": ["minto"]}, "in the cell tied"),
        ({"target": ["hard:10", "tied"], "steps": ["5"]}, "warm-up"),
    ],
)
def test_grids_that_make_no_sense_are_refused(options, says):
    with pytest.raises(Refusal, match=says):
        cells_of(Protocol("CartPole-v1", 2), options)


def test_every_study_is_a_comparison_that_can_be_run():
    """Each row of benchmarks/lab, put together as the command line does."""
    studies = Path(__file__).parents[1] / "benchmarks" / "lab"
    sys.path.insert(0, str(studies))
    counted = {}
    for file in ("nature_table", "how_far_behind", "which_value", "without"):
        for row in importlib.import_module(file).STUDY.rows:
            parser = Parser(prog="qtwin compare")
            compare_options(parser)
            asked = parser.parse_args(row.words)
            said = {name: getattr(asked, name) for name in ("agent", "preset", *SETTINGS)}
            cells = cells_of(Protocol(asked.env, int(asked.seeds)), {k: v for k, v in said.items() if v})
            counted[f"{file}/{row.name}"] = len(cells)
    assert counted["nature_table/Breakout-no-replay"] == 2
    assert counted["how_far_behind/CartPole"] == 15
    assert counted["without/functional"] == 6


def test_a_budget_is_kept(tmp_path, monkeypatch):
    """An estimate of 3 cells x 2 seeds x 20,000 steps of a millisecond, on two cores, is over a minute."""
    cells = cells_of(Protocol("CartPole-v1", 2), TARGETS | {"steps": ["20000"]})
    price = {"compile": 2.0, "per_step": 1e-3, "platform": "cpu"}
    known = {price_group(cells[0].request.config): price}
    monkeypatch.setattr(compare, "cores", lambda: [0, 1])
    assert compare.estimate(tmp_path, cells, known) == pytest.approx(3 * (5 + 2 * 2 + 40 * 1.15) / 2)
    monkeypatch.setattr(compare, "prices", lambda *given: known)
    with pytest.raises(Refusal, match=r"about 82 seconds and the budget is 0\.5 minutes.*--budget 2"):
        compare.run(tmp_path / "c", Protocol("CartPole-v1", 2), cells, "qtwin compare", 0.5, True)
    assert not (tmp_path / "c" / "cells").exists()
    assert main(["report", str(tmp_path)]) == 2


WORDS = [
    "compare", "probe:observation", "--target", "tied", "hard:1", "--net", "linear", "--warmup", "50", "--replay",
    "200",
    "--batch", "8", "--steps", "650", "--log-points", "3", "--eval-episodes", "2", "--seeds", "2",
]  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two cells, each in a process of its own, after one that measures what they cost."""
    folder = tmp_path_factory.mktemp("compared") / "lab"
    code, told = run_again(folder)
    assert code == 0, told
    return folder, told


def run_again(folder):
    done = subprocess.run(
        [sys.executable, "-m", "qtwin", *WORDS, "--out", str(folder)], capture_output=True, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


def test_a_comparison_ends_in_a_table_numbers_and_a_page(compared):
    folder, told = compared
    assert "measuring what a cell costs (1 of 1 kinds" in told
    assert "estimate: about" in told
    assert "final greedy return" in told
    assert "tied and hard:1 give the same curves" in told
    found = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    tied, hard = found["cells"]
    assert tied["returns"] == hard["returns"]
    assert (tied["measures"]["value_gap"]["iqm"], hard["summary"]["target_updates"]) == ([0.0, 0.0, 0.0], 60)
    assert len(found["improvement"]) == 2
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|url\(|@import|https?://", text), "the page needs no network"
    assert text.count("<figure>") >= 12
    assert not re.search(r"\bnan\b", text)
    assert "qtwin compare probe:observation --net linear" in text


def test_a_comparison_whose_parent_was_killed_goes_on_to_the_same_numbers(compared, tmp_path):
    """SIGKILL while cells are under way; the same command at once: it waits for them and ends as if never killed."""
    whole, _ = compared
    parts = tmp_path / "parts"
    parts.mkdir()
    shutil.copy(whole / "prices.json", parts)
    command = [sys.executable, "-m", "qtwin", *WORDS, "--out", str(parts)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as killed:
        end = time.monotonic() + 120
        while not list(parts.glob("cells/*/config.json")) and time.monotonic() < end:
            time.sleep(0.02)
        killed.kill()
    code, told = run_again(parts)
    assert code == 0, told
    for run in sorted(file.parent for file in whole.glob("cells/*/summary.json")):
        logs = [read_points(each / "metrics.jsonl") for each in (run, parts / "cells" / run.name)]
        points = [[(p["cycles"], p["loss"], p["eval_return"]) for p in log] for log in logs]
        assert points[0] == points[1]
        assert len(points[0]) == 3


def test_nothing_is_run_twice_and_what_is_missing_is_told(compared):
    folder, _ = compared
    stamps = {file: file.stat().st_mtime_ns for file in folder.glob("cells/*/*.json*")}
    code, told = run_again(folder)
    assert (code, "2 of them done" in told, "estimate" in told) == (0, True, False)
    assert {file: file.stat().st_mtime_ns for file in folder.glob("cells/*/*.json*")} == stamps
    next(file for file in stamps if file.name == "summary.json" and "hard" in str(file)).unlink()
    unfinished = collect(folder)
    assert missing(unfinished)[0] == "hard:1 is at 100% of its steps, not judged"
    assert "tied" in table(unfinished)
    assert "hard:1" not in table(unfinished)
    assert "Not finished" in page(unfinished)
    shutil.rmtree(next(folder.glob("cells/hard*/")))
    assert missing(collect(folder))[0] == "hard:1 has not begun"


def test_findings_follow_from_the_numbers():
    def cell(label, middle, low, high, seeds):
        final = {"iqm": middle, "low": low, "high": high, "seeds": seeds}
        return {"label": label, "status": "done", "final": final, "returns": {"seeds": seeds}, "alarms": []}

    cells = [cell("a", 9, 8, 10, [9]), cell("b", 8.5, 7, 9, [8]), cell("c", 1, 0, 2, [1]), cell("d", 1, 0, 2, [1])]
    said = findings({"cells": cells})
    assert said[0] == (
        "a ends highest, at 9.0 [8.0, 10.0]. b cannot be told from it, for its interval reaches into its own."
        " c and d end below a, with no overlap."
    )
    assert said[1] == "c and d end below all others, with no overlap."
    assert said[2] == "c and d give the same curves, seed by seed and point by point."


def test_ticks_are_round_and_hold_the_numbers():
    chance = np.random.default_rng(0)
    for low, high in chance.normal(size=(50, 2)) * 10.0 ** chance.integers(-4, 6, (50, 1)):
        if low < high:
            at = ticks(low, high)
            assert at[0] <= low + 1e-9 * abs(low)
            assert at[-1] >= high - 1e-9 * abs(high)
            assert 3 <= len(at) <= 9
    assert (number(500_000), number(0.02), number(1234), number(2e6)) == ("500k", "0.02", "1,234", "2M")
