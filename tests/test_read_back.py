"""Files that are read back: whatever they hold, a sentence or a gap that is told of, never a traceback or a script."""

import ast
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import compared
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from qtwin.cli import main
from qtwin.errors import Refusal, Unusable
from qtwin.lab.compare import _outliving, known_prices
from qtwin.lab.page import page
from qtwin.lab.results import collect
from qtwin.request.run_config import read_config
from qtwin.run import checkpoint
from qtwin.run.policy import read_description
from qtwin.run.siamese.encoder import load_encoder
from qtwin.storage import block_store
from qtwin.storage.files import open_regular, read_bytes, read_json, sha256_of
from qtwin.storage.reading import Either, ListOf, MapOf, Maybe, Number, Record, Text, Whole, plain, problem
from qtwin.storage.rotating_log import read_log
from qtwin.storage.schemas import log_point
from qtwin.storage.tensor_files import read_tensors

ROOT = Path(__file__).parents[1]
SCRIPT = "</script>'\"><script>alert(1)</script><img src=x onerror=alert(1)>"
EXAMPLES = int(os.environ.get("QTWIN_MUTATIONS", "20"))  # of each property; docs/reliability.md tells of more
QUICK = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES < 1000,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip

# Kinds


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (
            {"a": [{"b": 0}]},
            Record({"a": ListOf(Record({"b": Whole(1)}))}),
            "'a[0].b' is expected to be a whole number",
        ),
        ({}, Record({"a": Whole()}), "'a' is missing"),
        ({"c": 1}, Record({}, {}, None), "a field 'c', which is not known"),
        (True, Whole(), "the file is expected to be a whole number of at least 0, and true came"),
        (float("nan"), Number(), "a finite number, and nan came"),
        (1e308, Number(), "a finite number"),
        (10**400, Number(), "a whole number of many digits came"),
        ("\x1b[2J", Text(), "text of at most"),
        ("\ud800", Text(), "text of at most"),
        ("x" * 9, Text(8), "'xxxxxxxxx' came"),
        ([1, 2], ListOf(Whole(), 3, 3), "a list of 3 values, and a list of 2 values came"),
        ("a", Either((Whole(), Maybe(Number()))), "a whole number of at least 0 or a finite number, or null"),
        ({"\x1b": 1}, MapOf(Whole()), "holds a field"),
    ],
)
def test_what_does_not_fit_is_told_by_its_name(value, kind, says):
    assert says in problem(value, kind)


def test_what_fits_is_no_problem():
    kind = Record({"a": Whole(1, 3)}, {"b": Maybe(Text())}, ListOf(Number()))
    assert problem({"a": 3, "b": None, "later": [1, 2.5]}, kind) is None
    assert plain("größer\n") == "größer?"


# Files that are no regular ones, or too large


def odd_files(folder):
    """What may stand where a file is expected, by name."""
    os.mkfifo(folder / "fifo")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "link to a fifo").symlink_to(folder / "fifo")
    (folder / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(folder / "socket"))
    with open(folder / "holes", "wb") as file:
        file.truncate(60 * 10**9)
    return sorted(folder.iterdir())


@pytest.fixture(name="odd")
def odd_files_in_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd").mkdir()
    return odd_files(tmp_path / "odd")


def quickly(action, kind=(Refusal, Unusable)):
    """``action`` is refused at once, with little memory; returns what is said."""
    began = time.monotonic()
    with pytest.raises(kind) as refused:
        action()
    assert time.monotonic() - began < 5
    return str(refused.value)


def test_only_regular_files_of_some_size_are_opened(odd, tmp_path):
    (tmp_path / "good.json").write_bytes(b"[1]")
    (tmp_path / "link").symlink_to(tmp_path / "good.json")
    assert read_json(tmp_path / "link") == [1]
    for file in odd:
        assert file.name in quickly(lambda file=file: open_regular(file, 2**20))
        assert file.name in quickly(lambda file=file: sha256_of(file, 3))
    assert "3 bytes, and at most 2" in quickly(lambda: read_bytes(tmp_path / "link", 2))


def test_no_reader_waits_or_reads_without_end(odd, tmp_path):
    """Every reader on every odd file: a run's config and policy, an encoder, a data set, a request, a plan, a log."""
    from qtwin.replay.dataset import load_dataset
    from qtwin.request.train import build

    run = tmp_path / "run"
    (run / "policy").mkdir(parents=True)
    (run / "encoder").mkdir()
    readers = {
        run / "config.json": lambda: read_config(run),
        run / "policy" / "policy.json": lambda: read_description(run),
        run / "encoder" / "encoder.json": lambda: load_encoder(run),
        run / "grid.json": lambda: collect(run),
        run / "request.toml": lambda: build_from(run / "request.toml"),
        run / "request.json": lambda: build_from(run / "request.json"),
        run / "data.safetensors": lambda: load_dataset(run / "data.safetensors"),
        run / "weights.safetensors": lambda: read_tensors(run / "weights.safetensors", lambda held: None),
    }
    for file in odd:
        for place, read in readers.items():
            place.symlink_to(file)
            if not (file.is_dir() and "request" in place.name):  # a directory is a run there
                quickly(read)
            place.unlink()
        (run / "metrics.jsonl").symlink_to(file)
        assert read_log(run / "metrics.jsonl", log_point()).gaps == 1
        (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    (run / "config.json").write_text("{}", encoding="utf-8")
    assert "FIFO" in quickly(lambda: build("CartPole-v1", resume=True, out=str(run)))


def build_from(file):
    code = main(["train", "--config", str(file)])
    assert code == 2
    raise Refusal("exit code 2")


def test_a_safetensors_file_is_held_against_its_header_and_its_header_against_what_is_expected(tmp_path):
    file = tmp_path / "a.safetensors"
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones((), np.int32), "c": np.zeros((0, 4))}
    save_file(arrays, file)
    found = read_tensors(file, lambda held: None)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert list(read_tensors(file, lambda held: None, names=("b",))) == ["b"]
    assert "SHA-256" in quickly(lambda: read_tensors(file, lambda held: None, digest="0" * 64))
    data = save(arrays)
    for wrong in (data[:-1], data + b"\0", data[:20], b"", b"\0" * 100):
        file.write_bytes(wrong)
        assert "a.safetensors" in quickly(lambda: read_tensors(file, lambda held: None))
    # A header that fits a file of 60 GB with holes: refused by what is expected, and by the memory there is.
    header = json.dumps({"a": {"dtype": "F32", "shape": [15 * 10**9], "data_offsets": [0, 60 * 10**9]}}).encode()
    with open(file, "wb") as opened:
        opened.write(len(header).to_bytes(8, "little") + header)
        opened.truncate(8 + len(header) + 60 * 10**9)
    assert "of memory are free" in quickly(lambda: read_tensors(file, lambda held: None))

    def expects_little(held):
        raise Refusal(f"{held['a'].shape} is too large")

    assert "(15000000000,) is too large" in quickly(lambda: read_tensors(file, expects_little))


# Damaged comparisons


@pytest.fixture(scope="module", name="good")
def a_good_comparison(tmp_path_factory):
    return compared.write(tmp_path_factory.mktemp("read-back") / "good")


def spoilt(good, name, data):
    """A copy of the comparison with other bytes in one file."""
    copy = good.parent / "spoilt"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(good, copy)
    (copy / name).write_bytes(data)
    return copy


class Structure(HTMLParser):
    """A page's tags and the names of their attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(name for name, _ in attributes)))


def report_of(folder, capsys):
    """Exit code and what was said; the page holds no more scripts than its own."""
    code = main(["report", str(folder)])
    said = capsys.readouterr()
    assert code in (0, 2)
    if code == 2:
        assert said.err.startswith("qtwin: ")
        assert said.err.count("\n") == 1
        return code, said.err
    tags = Structure((folder / "report.html").read_text(encoding="utf-8")).found
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not any(tag == "img" or name.startswith("on") for tag, names in tags for name in names)
    assert "nan" not in (folder / "compare.json").read_text(encoding="utf-8").lower().replace("nance", "")
    return code, said.out


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.just(SCRIPT),
    st.sampled_from([1e308, -1e308, 10**400, "", "..", "../..", "\x1b[2J", "x" * 10_000, [], {}, [[]], [None], 0, -1]),
    st.lists(st.floats(), max_size=4), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)  # fmt: skip


def paths_of(value, at=()):
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, each in inner for path in paths_of(each, (*at, key)))]


@st.composite
def mutated(draw, text):
    """A JSON file, or a file of lines, with one or two things changed in it."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 2))):
        i = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["value", "value", "value", "gone", "cut", "byte", "twice", "deep"]))
        if how in ("value", "gone"):
            try:
                value = json.loads(lines[i])
            except (ValueError, RecursionError):
                continue
            path = draw(st.sampled_from(paths_of(value)))
            lines[i] = json.dumps(changed(value, path, draw(VALUES), gone=how == "gone"))
        elif how == "cut":
            lines[i] = lines[i][: draw(st.integers(0, len(lines[i])))]
        elif how == "byte" and lines[i]:
            k = draw(st.integers(0, len(lines[i]) - 1))
            lines[i] = lines[i][:k] + draw(st.characters(codec="utf-8")) + lines[i][k + 1 :]
        elif how == "twice":
            lines.insert(i, lines[i])
        elif how == "deep":
            lines[i] = "[" * 100_000
    return "\n".join(lines).encode("utf-8", "surrogatepass") + draw(st.sampled_from([b"\n", b"", b"\xff", b"\0" * 9]))


def changed(value, path, new, gone):
    if not path:
        return new
    key, *rest = path
    if gone and not rest:
        return [v for k, v in enumerate(value) if k != key] if isinstance(value, list) else without(value, key)
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[key] = changed(value[key], rest, new, gone)
    return copy


def without(value, key):
    return {k: v for k, v in value.items() if k != key}


@pytest.mark.parametrize("name", ["grid.json", *(f"cells/cell-0/{n}" for n in ("summary.json", "config.json"))])
@QUICK
@given(data=st.data())
def test_a_report_of_mutated_json_is_a_sentence_or_a_gap(good, capsys, name, data):
    text = (good / name).read_text(encoding="utf-8")
    report_of(spoilt(good, name, data.draw(mutated(text))), capsys)


@pytest.mark.parametrize("name", ["metrics.jsonl", "twin.jsonl"])
@QUICK
@given(data=st.data())
def test_a_report_of_mutated_logs_is_a_sentence_or_a_gap(good, capsys, name, data):
    text = (good / "cells" / "cell-0" / name).read_text(encoding="utf-8")
    code, _ = report_of(spoilt(good, f"cells/cell-0/{name}", data.draw(mutated(text))), capsys)
    assert code == 0


@QUICK
@given(data=st.data())
def test_mutated_prices_are_measured_again(good, data):
    text = (good / "prices.json").read_text(encoding="utf-8")
    known = known_prices(spoilt(good, "prices.json", data.draw(mutated(text))) / "prices.json")
    for price in known.values():
        assert 0 <= price["per_step"] <= 1e9


POLICY = {
    "format": 2, "env": "gym:CartPole-v1", "obs_shape": [4], "obs_dtype": "float32", "num_actions": 2,
    "num_states": None, "action_low": [], "action_high": [], "net": "mlp:16", "preprocessing": "", "stack": 1,
    "normalise": "none", "least_of": 1, "gives": ["", 1, ""], "output": "values", "seeds": [0], "act": "", "how": [],
}  # fmt: skip
ENCODER = {"format": 1, "method": "byol", "encoder": "conv:4", "image_shape": [8, 8, 1], "seeds": [0], "features": 4}


@pytest.mark.parametrize("kind", ["policy", "encoder"])
@QUICK
@given(data=st.data())
def test_a_mutated_description_of_weights_is_refused_in_words(good, kind, data):
    folder = good.parent / "described"
    (folder / kind).mkdir(parents=True, exist_ok=True)
    described = POLICY if kind == "policy" else ENCODER
    (folder / kind / f"{kind}.json").write_bytes(data.draw(mutated(json.dumps(described))))
    read = read_description if kind == "policy" else load_encoder
    with contextlib.suppress(Refusal):
        read(folder)


def test_good_descriptions_are_read(tmp_path):
    (tmp_path / "policy").mkdir()
    compared.as_json(tmp_path / "policy" / "policy.json", without(without(POLICY, "least_of"), "gives"))
    assert read_description(tmp_path)["seeds"] == [0]


@pytest.mark.parametrize(
    ("name", "change", "code", "says"),
    [
        ("grid.json", lambda v: v | {"seeds": [SCRIPT]}, 2, "grid.json is damaged: 'seeds[0]' is expected to be"),
        ("grid.json", lambda v: v | {"seeds": []}, 2, "'seeds' is expected to be a list"),
        ("grid.json", lambda v: changed(v, ("cells", 0, "steps"), 0, False), 2, "'cells[0].steps'"),
        ("grid.json", lambda v: changed(v, ("cells", 0, "folder"), "..", False), 2, "no plain name"),
        ("cells/cell-0/summary.json", lambda v: v | {"eval_return": [None] * 3}, 0, "'eval_return[0]' is expected"),
        ("cells/cell-0/summary.json", lambda v: v | {"eval_return": [1.0]}, 0, "a list of 3 values"),
        ("cells/cell-0/config.json", lambda v: v | {"config": []}, 0, "config.json is damaged"),
    ],
)
def test_a_damaged_file_is_named_with_its_field(good, capsys, name, change, code, says):
    value = change(json.loads((good / name).read_text(encoding="utf-8")))
    came, said = report_of(spoilt(good, name, json.dumps(value).encode()), capsys)
    assert came == code
    assert says in said


def test_a_damaged_summary_is_no_end_and_its_cell_is_run_again(good, capsys):
    """It is told, the other cell stands in the table, and the comparison does not take the cell for done."""
    folder = spoilt(good, "cells/cell-0/summary.json", b'{"eval_return": [1')
    _, said = report_of(folder, capsys)
    assert "hard:10 is at 100% of its steps, not judged" in said
    assert "summary.json is damaged: it is not JSON" in said
    assert [cell["status"] for cell in collect(folder)["cells"]] == ["unfinished", "done"]


def test_a_damaged_line_is_a_gap_that_is_told_of(good, capsys):
    """In the middle of a log: what comes after it still counts, and both table and page say what is left out."""
    lines = (good / "cells/cell-0/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    values = [json.loads(line) for line in lines]
    bad = values[1] | {"eval_return": [1e308, 0.0, 0.0]}
    rows = [lines[0], json.dumps(bad), lines[2], lines[2], lines[3], '{"cycles": 90']
    folder = spoilt(good, "cells/cell-0/metrics.jsonl", "\n".join(rows).encode())
    _, said = report_of(folder, capsys)
    assert "2 damaged lines of the log left out (metrics.jsonl, line 2: 'eval_return[0]' is expected to be" in said
    cell = collect(folder)["cells"][0]
    assert (cell["at"], cell["status"]) == ([100, 300, 400], "done")
    assert "damaged lines of the log" in (folder / "report.html").read_text(encoding="utf-8")


def strings_in(value):
    return [path for path in paths_of(value) if isinstance(at(value, path), str)]


def at(value, path):
    for key in path:
        value = value[key]
    return value


def test_no_string_of_a_page_becomes_a_tag_or_an_attribute(good):
    """Every text that a page shows, one after another: the page has the tags and attributes that it has with a word."""
    found, kept = collect(good), {"status", "kind", "method"}
    places = [path for path in strings_in(found) if path[-1] not in kept and path[0] != "improvement"]
    assert len(places) > 25
    for path in places:
        told = page(changed(found, path, SCRIPT, gone=False))
        before = Structure(page(changed(found, path, "word", gone=False))).found
        assert Structure(told).found == before, path
        assert "<script>alert" not in told


def test_a_report_where_the_system_says_ascii(tmp_path):
    """LC_ALL=C without Python's UTF-8 mode, and a label that is not ASCII."""
    folder = compared.write(tmp_path / "größe 比較", label="hard:10 größer")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, "-m", "qtwin", "report", str(folder)], env=environment, capture_output=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert "hard:10 größer" in (folder / "report.html").read_text(encoding="utf-8")


def test_every_text_file_of_the_package_names_its_encoding():
    """Also where the linter's PLW1514 does not see that something is a path."""
    for file in (ROOT / "qtwin").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner, said = getattr(getattr(node.func, "value", None), "id", ""), {word.arg for word in node.keywords}
            constants = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            modes = [mode for mode in constants if isinstance(mode, str) and set(mode) <= set("rwabx+t")]
            text = name in ("read_text", "write_text") or (owner == "subprocess" and "text" in said)
            text |= name in ("open", "fdopen") and bool(modes) and "b" not in modes[0]
            assert not text or "encoding" in said, f"{file.name}:{node.lineno}"


def test_a_letter_that_the_terminal_lacks_ends_nothing(good, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    plan = json.loads((good / "grid.json").read_text(encoding="utf-8"))
    folder = spoilt(good, "grid.json", json.dumps(changed(plan, ("cells", 0, "label"), "größer", False)).encode())
    assert main(["report", str(folder)]) == 0
    assert b"gr\\xf6\\xdfer" in raw.getvalue()


def test_a_comparison_goes_on_when_nobody_reads_what_it_says(monkeypatch, tmp_path):
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w", encoding="utf-8") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        say = _outliving(quiet=False)
        for _ in range(3):
            say("x" * 100_000)
        monkeypatch.undo()


# Checkpoints


@pytest.fixture(name="saved")
def two_checkpoints(tmp_path, monkeypatch):
    """A large array in blocks and a small one, saved twice; the blocks of the two differ."""
    monkeypatch.setattr(block_store, "BLOCK_BYTES", 256)
    folder = tmp_path / "checkpoints"
    for cycles in (1, 2):
        state = {"large": np.full((100, 4), cycles, np.float32), "small": np.arange(5)}
        checkpoint.write(folder, cycles, cycles, (0,), [state])
    return folder, state


def holes(file):
    file.unlink()
    with open(file, "wb") as opened:
        opened.truncate(60 * 10**9)


def fifo(file):
    file.unlink()
    os.mkfifo(file)


def zero(file):
    file.unlink()
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize("odd", [holes, fifo, zero])
@pytest.mark.parametrize("what", ["manifest.json", "seed-0.safetensors", "block"])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_checkpoint_of_odd_files_is_passed_over_at_once(saved, what, odd, earlier):
    """The one before it is taken, and what is wrong is told by its file; also where no sizes were noted yet."""
    folder, state = saved
    path = folder / "cycle-000000000002"
    if earlier:
        manifest = without(json.loads((path / "manifest.json").read_text(encoding="utf-8")), "bytes")
        compared.as_json(path / "manifest.json", manifest | {"closing": checkpoint.closing(manifest)})
        assert checkpoint.newest(folder)[1]["cycles"] == 2
    file = path / what
    if what == "block":
        older = block_store._names([checkpoint.read_manifest(folder / "cycle-000000000001")])
        file = next(each for each in sorted((folder / "blocks").iterdir()) if each.name not in older)
    odd(file)
    told, began = [], time.monotonic()
    found, manifest = checkpoint.newest(folder, told)
    assert time.monotonic() - began < 5
    assert manifest["cycles"] == 1
    assert file.name in told[0]
    (read,) = checkpoint.read(found, manifest, [state])
    assert np.array_equal(read["large"], np.ones((100, 4)))


def test_a_checkpoint_is_held_against_the_run_before_anything_is_allocated(saved):
    """A file of 60 GB with holes, a header and hashes that are right: refused for what this run has."""
    folder, state = saved
    path, manifest = checkpoint.newest(folder)
    header = json.dumps({"small": {"dtype": "I64", "shape": [7 * 10**9], "data_offsets": [0, 56 * 10**9]}}).encode()
    with open(path / "seed-0.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 56 * 10**9)
    said = quickly(lambda: checkpoint.read(path, manifest, [state]))
    assert "'small' is int64[7000000000] and this run has int64[5]" in said


def test_a_block_that_has_grown_is_not_read(saved):
    folder, state = saved
    path, manifest = checkpoint.newest(folder)
    for name in block_store._names([manifest]):
        with open(folder / "blocks" / name, "r+b") as file:
            file.truncate(60 * 10**9)
    said = quickly(lambda: checkpoint.read(path, manifest, [state]))
    assert "at most 256 are expected" in said
