"""Row 9 of docs/reliability.md: requests with one thing wrong, on the command line and in files, at random.

Each is refused with exit code 2 and one line before JAX is imported; a misspelt name is answered with the right one.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from qtwin.cli import main
from qtwin.request.run_config import bound, description_of
from qtwin.request.train import build

ROOT = Path(__file__).parents[1]
REQUEST = {
    "agent": "dqn", "preset": "dopamine", "target": "soft:0.005", "loss": "huber", "optimiser": "rmsprop:0.01:outside",
    "net": "mlp:64,64", "bootstrap": "double", "init": "torch", "normalise": "running", "engine": "hosted",
    "steps": "5000", "n_step": "3", "learning_rate": "1e-3", "explore": "1:0.1:50%", "seeds": "2", "log_points": "3",
    "checkpoints": "every:1000", "keep": "last:1,best:1", "discount": "0.9", "env_timeout": "30", "batch": "16",
    "warmup": "100",
}  # fmt: skip
NAMES = ("agent", "preset", "target", "loss", "optimiser", "net", "bootstrap", "init", "normalise", "engine")
NUMBERS = ("steps", "n_step", "learning_rate", "seeds", "log_points", "discount", "env_timeout", "batch")
NO_NUMBERS = ["ten", "-1", "nan", "inf", "1e999", "0x10", "1,5", "", "--", "None", "[]", "1 2"]


def misspelt(rng, word):
    """The word with one letter left out, doubled, changed or exchanged with the next."""
    while True:
        at, how = rng.randrange(1, len(word) - 1), rng.randrange(4)
        letter = rng.choice("qxzjk")
        wrong = [
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + letter + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        ][how]
        if wrong != word:
            return wrong


def mutated(rng):
    """A request with one thing wrong, as fields, and the name that should be offered (None where a value is wrong)."""
    fields, kind = dict(REQUEST), rng.choice(["field", "name", "name", "number"])
    if kind == "field":
        right = rng.choice([name for name in REQUEST if len(name) > 4])
        wrong = misspelt(rng, right)
        fields = {wrong if name == right else name: value for name, value in fields.items()}
        return fields, right
    if kind == "name":
        field = rng.choice(NAMES)
        word, colon, rest = fields[field].partition(":")
        fields[field] = misspelt(rng, word) + colon + rest
        return fields, word
    fields[rng.choice(NUMBERS)] = rng.choice(NO_NUMBERS)
    return fields, None


def as_words(fields):
    def spelt(name):
        return {"learning_rate": "--lr"}.get(name, "--" + name.replace("_", "-"))

    return ["train", "gym:CartPole-v1", *(f"{spelt(name)}={value}" for name, value in fields.items())]


def as_file(rng, fields, folder, count):
    fields = {"env": "gym:CartPole-v1", **fields}
    if rng.random() < 0.5:
        file = folder / f"{count}.json"
        file.write_text(json.dumps(fields), encoding="utf-8")
    else:
        file = folder / f"{count}.toml"
        file.write_text(
            "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in fields.items()), encoding="utf-8"
        )
    return ["train", "--config", str(file)]


SPOILT = {  # files that are no request at all
    "empty.json": b"", "cut.json": b'{"env": "CartPole-v1", "steps', "list.json": b"[1, 2]", "number.json": b"7",
    "deep.json": b"[" * 100_000, "bytes.json": bytes(range(256)), "digits.json": b'{"steps": ' + b"9" * 10_000 + b"}",
    "deep.toml": b"a = " + b"[" * 100_000, "bytes.toml": bytes(range(256)), "cut.toml": b"env = 'Cart",
    "twice.toml": b"env = 'CartPole-v1'\nenv = 'Acrobot-v1'\n",
    "both.toml": b"env = 'CartPole-v1'\nn-step = 1\nn_step = 2\n",
    "list.toml": b"env = ['CartPole-v1']\n", "table.toml": b"[env]\nname = 'CartPole-v1'\n",
    "date.toml": b"env = 1979-05-27\n", "flag.toml": b"env = 'CartPole-v1'\nquiet = 'perhaps'\n",
    "true.toml": b"env = 'CartPole-v1'\nsteps = true\n", "zero.json": b'{"env": "CartPole-v1", "out": "a\\u0000b"}',
    "lines.json": b'{"env": "CartPole-v1", "out": "a\\nb"}', "long.json": b'{"env": "' + b"a" * 100_000 + b'"}',
    "pickle.json": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.", "plain.yaml": b"!!python/object/apply:os.system [true]",
    "seeds.json": b'{"config": {"env": "CartPole-v1"}, "seeds": [5, 7]}',
    "seed.json": b'{"config": {"env": "CartPole-v1"}, "seeds": ["0"]}', "shape.json": b'{"config": [1]}',
    "part.json": b'{"config": {"env": "CartPole-v1"}, "sedes": [0]}', "no-env.toml": b"steps = 5\n",
    "siamese.json": b'{"config": {"method": "byol"}}',
}  # fmt: skip


def test_two_hundred_wrong_requests_are_refused_with_help_before_jax(tmp_path):
    rng, cases = random.Random(0), []
    for count in range(170):
        fields, right = mutated(rng)
        words = as_words(fields) if count % 2 else as_file(rng, fields, tmp_path, count)
        cases.append((words, right))
    for name, data in SPOILT.items():
        (tmp_path / name).write_bytes(data)
        cases.append((["train", "--config", name], None))
    cases += [(["train", "--config", "cut.tml"], None), (["train", "--config", "cutt.toml"], "cut.toml")]
    code = """
import contextlib, io, json, os, sys
from qtwin.cli import main
before, answers = sorted(os.listdir()), []
for words in json.load(sys.stdin):
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        answers.append([main(words), told.getvalue()])
assert sorted(os.listdir()) == before
assert not [name for name in ("jax", "flax", "optax", "gymnax") if name in sys.modules]
print(json.dumps(answers))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps([words for words, _ in cases]), cwd=tmp_path, encoding="utf-8",
        capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    offered = 0
    for (words, right), (code, told) in zip(cases, json.loads(done.stdout), strict=True):
        assert code == 2, (words, told)
        assert told.startswith("qtwin: ")
        assert told.count("\n") == 1
        assert len(told) < 1000, (words, told)
        if right is not None:
            spellings = right, right.replace("_", "-"), {"learning_rate": "lr"}.get(right, right)
            assert any(spelling in told for spelling in spellings), (words, told)
            offered += 1
    assert len(cases) >= 200
    assert offered > 100


@pytest.fixture(name="asked")
def request_of_some_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {name: value for name, value in REQUEST.items() if name in ("target", "n_step", "batch")}
    return build("gym:CartPole-v1", agent="dqn", seeds=2, seed=4, overlap=True, checkpoints=7, settings=settings)


def ran(monkeypatch, words):
    """The request that a command line makes."""
    got = []
    monkeypatch.setattr("qtwin.run.train.run", lambda request: got.append(request) or 0)
    assert main(["train", *words]) == 0
    return got[0]


def test_the_request_that_is_spoilt_is_a_good_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_option = ran(monkeypatch, as_words(REQUEST)[1:])
    for seed in (0, 3):  # JSON and TOML
        assert ran(monkeypatch, as_file(random.Random(seed), REQUEST, tmp_path, seed)[1:]) == by_option
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".toml"}


def test_a_runs_config_is_a_request_and_what_is_said_aloud_goes_before_it(asked, tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    described = description_of(asked.config, asked.seeds, env="gym:CartPole-v1", run=bound(asked))
    (tmp_path / "old" / "config.json").write_text(json.dumps(described), encoding="utf-8")
    for file in ("old", "old/config.json"):
        again = ran(monkeypatch, ["--config", file])
        assert (again.config, again.seeds, bound(again)) == (asked.config, asked.seeds, bound(asked))
    other = ran(monkeypatch, ["gym:Acrobot-v1", "--config", "old", "--batch", "32", "--seeds", "1"])
    assert (other.config.env, other.config.batch, other.config.n_step, other.seeds) == ("gym:Acrobot-v1", 32, 3, (4,))


def test_json_and_toml_say_the_same_as_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = {"env": "CartPole-v1", "lr": 0.001, "n-step": 3, "explore": 0.1, "quiet": True, "overlap": False}
    (tmp_path / "a.json").write_text(json.dumps(fields), encoding="utf-8")
    (tmp_path / "a.toml").write_text(
        "env = 'CartPole-v1'\nlr = 1e-3\nn-step = 3\nexplore = 0.1\nquiet = true\noverlap = false\n", encoding="utf-8"
    )
    aloud = ran(monkeypatch, ["CartPole-v1", "--lr", "1e-3", "--n-step", "3", "--explore", "0.1", "--quiet"])
    assert ran(monkeypatch, ["--config", "a.json"]) == ran(monkeypatch, ["--config", "a.toml"]) == aloud
    assert aloud.env_timeout == 60.0
