"""What `metrics.jsonl` holds: one table in the code, the same in the documentation, the schema and a run."""

from pathlib import Path

import qtwin
from qtwin.measure.catalog import MEASURES
from qtwin.storage.metrics import FORMS, METRICS, RUNS, table
from qtwin.storage.schemas import log_point

DOCS = Path(__file__).resolve().parents[1] / "docs"
IS = {
    "count": lambda value: type(value) is int,
    "number": lambda value: value is None or isinstance(value, int | float),
    "per seed": lambda value: len(value) == 1 and all(each is None or isinstance(each, int | float) for each in value),
    "count, or per seed": lambda value: type(value) is int or len(value) == 1,
    "text by name": lambda value: all(isinstance(text, str) for text in value.values()),
}


def test_the_documented_table_is_that_of_the_code():
    assert table() in (DOCS / "metrics.md").read_text(encoding="utf-8")


def test_records_are_whole_and_agree_with_the_schema_and_the_diagnostics():
    schema = log_point()
    for name, info in METRICS.items():
        assert info.about, name
        assert info.form in FORMS, name
        assert info.runs in RUNS, name
        assert name in {**schema.fields, **schema.optional}
    assert {**schema.fields, **schema.optional}.keys() == METRICS.keys()
    assert {info.log_name for info in MEASURES.values()} <= METRICS.keys()


def test_a_run_logs_the_fields_of_the_table_in_their_forms(tmp_path):
    points = qtwin.train(
        "probe:endless", out=tmp_path / "run", net="mlp:8", steps=300, warmup=60, batch=8, collect=1, envs=1,
        target="hard:20", diagnose=2, log_points=2, eval_episodes=1, quiet=True,
    ).points  # fmt: skip
    for point in points:
        for name, value in point.items():
            info = METRICS["distance/LAYER" if name.startswith("distance/") else name]
            assert IS[info.form](value), (name, value)
            assert info.runs in ("all", "train")
    first, last = points[0].keys(), points[-1].keys()
    always = {name for name, info in METRICS.items() if info.runs in ("all", "train") and not info.when}
    assert always <= first
    diagnosed = {name for name, info in METRICS.items() if info.when.startswith("diagnostics")} - {"distance/LAYER"}
    assert diagnosed <= last
    assert not (diagnosed & first)
