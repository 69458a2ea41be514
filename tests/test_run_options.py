"""What every kind of run is asked in the same way: its options, and what a resumed run makes of them."""

import dataclasses
import json

import pytest

from qtwin.cli.siamese import siamese_options
from qtwin.config.siamese import SiameseConfig
from qtwin.errors import Refusal
from qtwin.request.command_line import train_options
from qtwin.request.parser import Parser
from qtwin.request.retention import KEEP
from qtwin.request.run_config import BOUND, description_of, saved_run
from qtwin.request.run_options import RUN_OPTIONS, Given, go_on, placed, read_options
from qtwin.request.train import build

CONFIG = SiameseConfig("byol", target="hard:3", epochs=4)


@pytest.fixture(name="saved")
def a_saved_run(tmp_path):
    described = description_of(CONFIG, (3, 4), run={"checkpoints": "every:4"})
    (tmp_path / "config.json").write_text(json.dumps(described), encoding="utf-8")
    return saved_run(str(tmp_path), SiameseConfig)


@pytest.mark.parametrize("options", [train_options, siamese_options])
def test_every_command_that_begins_a_run_has_the_same_options(options):
    parser = Parser(prog="qtwin")
    options(parser)
    assert set(parser.options()) >= {"--config", *("--" + name.replace("_", "-") for name in RUN_OPTIONS)}
    words = ["it", "--seeds", "2", "--seed", "5", "--out", "a", "--resume", "--log-points", "3", "--checkpoints", "4"]
    said = vars(parser.parse_args([*words, "--keep", "3", "--quiet"]))
    given = read_options({name: said[name] for name in RUN_OPTIONS}, log_points=9)
    assert given == Given(3, "2", "5", "a", True, True, "4", "3")


def test_what_is_left_out_and_what_makes_no_sense():
    assert read_options({}, 9) == Given(log_points=9, keep=KEEP)
    for name, value in {"log_points": 0, "checkpoints": 0, "keep": "lats:2"}.items():
        with pytest.raises(Refusal, match="--" + name.replace("_", "-")):
            read_options({name: value}, 9)
    for name, value in {"seeds": 0, "seed": -1}.items():
        with pytest.raises(Refusal, match=f"--{name}"):
            go_on(Given(9, **{name: value}), CONFIG, {}, None)


def test_a_new_run_is_carried_out_as_asked_and_by_default_where_nothing_is(tmp_path):
    assert go_on(Given(9), CONFIG, {}, None) == ((0,), BOUND)
    seeds, run = go_on(Given(9, seeds="2", seed="5", checkpoints="3"), CONFIG, {"engine": "hosted"}, None)
    assert (seeds, run) == ((5, 6), BOUND | {"checkpoints": "3", "engine": "hosted"})
    fields = placed(Given(9, out=str(tmp_path / "new"), keep="last:3"), seeds, "3", "stem")
    assert fields == {
        "seeds": (5, 6), "out": str(tmp_path / "new"), "resume": False, "log_points": 9, "quiet": False,
        "checkpoints": "3", "keep": "last:3",
    }  # fmt: skip


def test_a_resumed_run_is_as_before_or_refused_with_all_that_differs(saved):
    assert (saved.config, saved.seeds, saved.file["run"]) == (CONFIG, (3, 4), BOUND | {"checkpoints": "every:4"})
    run = BOUND | {"checkpoints": "every:4"}
    assert go_on(Given(9), CONFIG, {}, saved) == ((3, 4), run)
    assert go_on(Given(9, seeds=2, seed=3, checkpoints="every:4"), CONFIG, {}, saved) == ((3, 4), run)
    other = dataclasses.replace(CONFIG, target="hard:4", epochs=9)
    with pytest.raises(Refusal) as refused:
        go_on(Given(9, seeds=1, checkpoints="2"), other, {}, saved)
    for said in ("target 'hard:3', not 'hard:4'", "epochs 4, not 9", "seeds [3, 4], not [0]", "'every:4', not '2'"):
        assert said in str(refused.value)
    with pytest.raises(Refusal, match="target"):
        go_on(Given(9), other, {}, saved, may_change=("epochs",))
    go_on(Given(9), other, {}, saved, may_change=("epochs", "target"))
    with pytest.raises(Refusal, match="seeds"):  # an agent or a preset was named: what is not said is its default
        go_on(Given(9), CONFIG, {}, saved, seeds_as_before=False)


def test_checkpoints_may_be_a_number_in_python_of_a_resumed_run_too(tmp_path):
    """As of a Siamese run: the number was held against the text that ``config.json`` has, and refused."""
    asked = build("CartPole-v1", out=str(tmp_path), checkpoints=10)
    described = description_of(asked.config, asked.seeds, run=BOUND | {"checkpoints": asked.checkpoints})
    (tmp_path / "config.json").write_text(json.dumps(described), encoding="utf-8")
    for checkpoints in (10, "10", None, 5):  # 5 is what a run has by default, so that nothing was said
        assert build("CartPole-v1", out=str(tmp_path), resume=True, checkpoints=checkpoints).checkpoints == "10"
    with pytest.raises(Refusal, match="checkpoints '10', not '7'"):
        build("CartPole-v1", out=str(tmp_path), resume=True, checkpoints=7)
