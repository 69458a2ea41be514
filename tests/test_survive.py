"""Runs that survive: what `docs/reliability.md` promises of checkpoints, in its quick form."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fork_server
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import little_dqn, walk

from qtwin.cli import main
from qtwin.engine.fleet import fleet_of
from qtwin.engine.hosted_fleet import _placed
from qtwin.errors import Refusal
from qtwin.request.retention import Keep, Saved, parse_checkpoints, parse_keep
from qtwin.request.run_directory import LOCK
from qtwin.run import checkpoint
from qtwin.run.checkpoint_manager import Saver
from qtwin.run.lock import Lock
from qtwin.run.logs import Logs, Screen, read_points
from qtwin.storage import block_store, rotating_log

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", name="fleet")
def two_seeds():
    fleet = fleet_of(little_dqn(replay=4096), walk(), 4, (0, 1))
    fleet.warm_up(fleet.turn.warmup_vector_steps)
    fleet.advance(20)
    return fleet


@pytest.fixture(name="small_blocks")
def blocks_of_a_kilobyte(monkeypatch):
    monkeypatch.setattr(block_store, "BLOCK_BYTES", 1024)


def states_of(fleet):
    return [fleet.snapshot(i) for i in range(len(fleet.seeds))]


def same(one, two):
    one, two = checkpoint.named_leaves(one), checkpoint.named_leaves(two)
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k], equal_nan=True) for k in one)


def test_a_large_replay_is_not_written_again(fleet, small_blocks, tmp_path):
    """Between two checkpoints only the blocks with new rows are written; pruned are those that nobody needs."""
    states, known = states_of(fleet), set()
    checkpoint.write(tmp_path, 1, 0, fleet.seeds, states, known=known)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "blocks").iterdir()}
    later = [s._replace(replay=changed(s.replay, row=7)) for s in states]
    checkpoint.write(tmp_path, 2, 1, fleet.seeds, later, known=known)
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "blocks").iterdir()}
    assert all(after[name] == written for name, written in before.items())
    assert 1 <= len(after) - len(before) <= 2
    path, manifest = checkpoint.newest(tmp_path)
    assert all(same(*pair) for pair in zip(checkpoint.read(path, manifest, states), later, strict=True))
    checkpoint.write(tmp_path, 3, 2, fleet.seeds, later, Keep(last=1), known=known)
    assert {file.name for file in (tmp_path / "blocks").iterdir()} == block_store._names(
        [checkpoint.newest(tmp_path)[1]]
    )


def test_a_large_replay_is_read_into_the_array_that_there_is(small_blocks, tmp_path):
    """Block by block, so that it never stands in memory twice."""
    array = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    _, described = block_store.split(tmp_path, {"column": array}, set())
    column = block_store.column_of(tmp_path, described["column"], array, "here")
    old = jnp.zeros((1000, 3))
    place = old.unsafe_buffer_pointer()
    new = _placed(old, column)
    assert new.unsafe_buffer_pointer() == place
    assert old.is_deleted()
    np.testing.assert_array_equal(new, array)
    np.testing.assert_array_equal(column, array)
    (tmp_path / "blocks" / described["column"]["blocks"][1]).write_bytes(b"other")
    with pytest.raises(Refusal, match=r"the checkpoint cannot be read: .* its SHA-256 "):
        np.asarray(column)


def changed(ring, row):
    obs = np.array(ring.data.obs)
    obs[row] += 1.0
    return ring.__class__(ring.data._replace(obs=obs), ring.head, ring.size, ring.envs)


def damage(rng, file):
    """One fault of a disk; returns what it did, or None where the bytes came out the same."""
    data, kind = bytearray(file.read_bytes()), rng.choice(["bit", "cut", "zeros", "gone", "foreign"])
    if kind == "bit":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[rng.randrange(len(data)) :]
    elif kind == "zeros":
        start = rng.randrange(len(data))
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    elif kind == "foreign":
        data = bytearray(rng.randbytes(len(data)))
    if kind == "gone":
        file.unlink()
    elif bytes(data) == file.read_bytes():
        return None
    else:
        file.write_bytes(bytes(data))
    return kind


def test_every_damage_is_found_before_an_array_is_used(fleet, small_blocks, tmp_path):
    """50 of 50; `benchmarks/reliability/damage.py` does 500."""
    rng, found, known = random.Random(0), 0, set()
    states = states_of(fleet)
    good = checkpoint.write(tmp_path / "good", 1, 0, fleet.seeds, states[:1] * 2, known=known)
    checkpoint.write(tmp_path / "good", 2, 1, fleet.seeds, states, known=known)
    older = block_store._names([checkpoint.read_manifest(good)])
    while found < 50:
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        newest = tmp_path / "bad" / "cycle-000000000002"
        only = [file for file in (tmp_path / "bad" / "blocks").iterdir() if file.name not in older]
        file = rng.choice([*newest.iterdir(), *newest.iterdir(), rng.choice(only)])
        if damage(rng, file) is None:
            continue
        told = []
        path, _ = checkpoint.newest(tmp_path / "bad", told)
        assert path.name == "cycle-000000000001"
        assert len(told) == 1
        assert file.name in told[0]
        found += 1


def rewritten(folder, **changes):
    """A manifest that says something else, and closes with the right hash."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) | changes
    manifest["closing"] = checkpoint.closing(manifest)
    file.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": checkpoint.FORMAT + 1}, "later version"),
        ({"format": "x" * 10_000}, "format"),
        ({"seeds": ["../../etc/passwd"]}, "whole number"),
        ({"sha256": {"../../outside.safetensors": "0" * 64}}, "not those of its seeds"),
        ({"cycles": 10**30}, "lies in"),
        ({"columns": {"0": {"replay.x": {"dtype": "float32", "shape": [2**60], "rows": 1, "blocks": []}}}}, "blocks"),
        (
            {"columns": {"0": {"x": {"dtype": "f", "shape": [1], "rows": 1, "blocks": ["../../../etc/passwd"]}}}},
            "blocks",
        ),
        ({"columns": {"0": {"x": {"dtype": "f", "shape": [-1], "rows": 0, "blocks": []}}}}, "no shape"),
        ({"columns": []}, "damaged"),
    ],
)
def test_a_hostile_manifest_is_refused_by_name(fleet, tmp_path, changes, says):
    path = checkpoint.write(tmp_path, 1, 0, fleet.seeds, states_of(fleet))
    rewritten(path, **changes)
    told = []
    assert checkpoint.newest(tmp_path, told) is None
    assert "manifest.json" in told[0]
    assert says in told[0]


@pytest.mark.parametrize("text", ["", "[" * 200_000, "9" * 10_000, '{"format": 2}', "\x00" * 64, '{"a":' * 5_000])
def test_what_is_no_manifest_is_refused_by_name(fleet, tmp_path, text):
    path = checkpoint.write(tmp_path, 1, 0, fleet.seeds, states_of(fleet))
    (path / "manifest.json").write_text(text, encoding="utf-8")
    told = []
    assert checkpoint.newest(tmp_path, told) is None
    assert "manifest.json" in told[0]


def test_a_header_of_absurd_size_is_refused(fleet, tmp_path):
    path = checkpoint.write(tmp_path, 1, 0, fleet.seeds, states_of(fleet))
    manifest = checkpoint.read_manifest(path)
    for data in (b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{}", b"\x02" + b"\x00" * 7 + b"{]"):
        (path / "seed-0.safetensors").write_bytes(data)
        manifest["sha256"]["seed-0.safetensors"] = __import__("hashlib").sha256(data).hexdigest()
        with pytest.raises(Refusal, match=r"seed-0\.safetensors|cannot be read"):
            checkpoint.read(path, manifest, states_of(fleet))


def test_a_checkpoint_of_format_1_is_still_read(fleet, tmp_path):
    path = checkpoint.write(tmp_path, 1, 0, fleet.seeds, states_of(fleet))
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    (path / "manifest.json").write_text(
        json.dumps({k: manifest[k] for k in ("cycles", "boundary", "seeds", "sha256")} | {"format": 1}),
        encoding="utf-8",
    )
    assert checkpoint.newest(tmp_path)[1]["cycles"] == 1


def test_a_full_disk_leaves_the_previous_checkpoint_and_is_tried_again(fleet, small_blocks, tmp_path, monkeypatch):
    said = []
    screen = Screen(1, 0, True)
    screen.say = said.append
    saver = Saver(tmp_path, fleet, screen)
    assert saver.save(1)
    before = sorted((str(f), f.read_bytes()) for f in tmp_path.rglob("*") if f.is_file())
    for limit in range(3):  # files that still go through
        left = [limit]

        def full(path, data, left=left):
            left[0] -= 1
            if left[0] < 0:
                path.write_bytes(data[: len(data) // 2])
                raise OSError(28, "No space left on device")
            path.write_bytes(data)

        monkeypatch.setattr(checkpoint, "write_flushed", full)
        assert not saver.save(2)
    assert sorted((str(f), f.read_bytes()) for f in tmp_path.rglob("*") if f.is_file()) == before
    assert "No space left" in said[-1]
    assert "try again" in said[-1]
    monkeypatch.undo()
    assert saver.save(2)
    assert checkpoint.newest(tmp_path)[1]["cycles"] == 2


def test_which_checkpoints_stay():
    saved = [Saved(100 * k, k, score) for k, score in enumerate([None, 5.0, 9.0, 1.0, 9.0, 2.0, 0.0])]
    assert parse_keep("last:2").choose(saved) == {500, 600}
    assert parse_keep("1").choose(saved) == {600}
    assert parse_keep("last:1,every:3").choose(saved) == {0, 300, 600}
    assert parse_keep("last:1,best:2").choose(saved) == {200, 400, 600}
    assert parse_checkpoints("every:1e5") == (None, 100_000)
    for wrong in ("", "last", "last:0", "bets:1", "last:1,last:2", "every:x"):
        with pytest.raises(Refusal):
            parse_keep(wrong)


def test_no_log_point_twice_and_none_lost(tmp_path):
    """Stopped between two checkpoints: the points after the last come again, here and in TensorBoard."""
    from tensorboardX.proto.event_pb2 import Event

    def point(cycles):
        return {"cycles": cycles, "transitions": 10 * cycles, "gradient_steps": cycles, "loss": [float(cycles)]}

    logs = Logs(tmp_path, (3,), None)
    for cycles in (1, 2, 3):
        logs.write(point(cycles))
    with open(tmp_path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"cycles": 4, "tra')  # killed in the middle of a line; the events file is left open
    logs = Logs(tmp_path, (3,), 2)
    for cycles in (3, 4):
        logs.write(point(cycles))
    logs.close()
    assert [p["cycles"] for p in read_points(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, steps = file.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        event, data = Event.FromString(data[12 : 12 + size]), data[16 + size :]
        steps += [event.step for value in event.summary.value if value.tag == "loss/seed-3"]
    assert steps == [10, 20, 30, 40]


def test_logs_rotate_and_nothing_of_them_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(rotating_log, "LARGEST", 400)

    def point(cycles):
        return {"cycles": cycles, "transitions": 10 * cycles, "gradient_steps": cycles, "loss": [float(cycles)]}

    file = tmp_path / "metrics.jsonl"
    logs = Logs(tmp_path, (3,), None)
    for cycles in range(1, 41):
        logs.write(point(cycles))
    logs.close()
    assert [p["cycles"] for p in read_points(file)] == list(range(1, 41))
    parts = rotating_log.parts(file)
    assert len(parts) > 5
    assert parts[-1] == file
    assert all(0 < part.stat().st_size <= 400 for part in parts)
    assert len(list((tmp_path / "tensorboard").iterdir())) > 2
    logs = Logs(tmp_path, (3,), 17)  # goes on from a checkpoint
    assert [p["cycles"] for p in read_points(file)] == list(range(1, 18))
    for cycles in range(18, 21):
        logs.write(point(cycles))
    logs.close()
    assert [p["cycles"] for p in read_points(file)] == list(range(1, 21))
    assert len(rotating_log.parts(file)) < len(parts)


def test_a_full_disk_costs_no_log_point(tmp_path, monkeypatch):
    logs = Logs(tmp_path, (0,), None)
    point = {"cycles": 1, "transitions": 1, "gradient_steps": 1, "loss": [0.5]}
    logs.write(point)
    shutil.rmtree(tmp_path)
    logs.write(point | {"cycles": 2})
    tmp_path.mkdir()
    logs.write(point | {"cycles": 3})
    logs.close()
    assert [p["cycles"] for p in read_points(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_two_processes_and_one_directory(tmp_path):
    out = tmp_path / "deep" / "run"
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom qtwin.run.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(out)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        began = time.monotonic()
        with pytest.raises(Refusal, match=f"under way in process {other.pid} on"):
            Lock(out)
        assert time.monotonic() - began < 1
    finally:
        other.kill()
        other.wait()
    assert (out / LOCK).exists()  # stale: it binds nobody
    with Lock(out):
        pass
    with Lock(tmp_path / "new" / "run"):
        pass
    assert not (tmp_path / "new").exists()


LITTLE = [
    "CartPole-v1", "--net", "linear", "--warmup", "100", "--replay", "500", "--batch", "8", "--steps", "3100",
    "--log-points", "6", "--checkpoints", "6", "--eval-episodes", "1", "--quiet",
]  # fmt: skip

# A child that is killed by its own hand, at a moment drawn beforehand: inside a save, or after some cycles.
KILLED = """
import os, signal, sys
from qtwin.run import checkpoint
where, count, request = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
def die(): os.kill(os.getpid(), signal.SIGKILL)
def counting(function, half):
    def called(*args, **kwargs):
        global count
        count -= 1
        if count == 0:
            if half: args[0].write_bytes(bytes(args[1])[: len(args[1]) // 2])
            die()
        return function(*args, **kwargs)
    return called
if where == "write": checkpoint.write_flushed = counting(checkpoint.write_flushed, True)
elif where == "rename": os.replace = counting(os.replace, False)
else:
    from qtwin.engine.fleet import FusedFleet
    from qtwin.engine.hosted_fleet import HostedFleet
    for fleet in (FusedFleet, HostedFleet): fleet.advance = counting(fleet.advance, False)
from qtwin.cli import main
sys.exit(main(["train", *request]))
"""


def kill(where, count, request):
    done = fork_server.run(["-c", KILLED, where, str(count), *request], ROOT)
    assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr[-2000:])


def last_state(out):
    newest = sorted((out / "checkpoints").glob("cycle-*"))[-1]
    manifest = checkpoint.read_manifest(newest)
    return manifest["cycles"], manifest["sha256"], manifest["columns"]


MOMENTS = {"write": (2, 3), "rename": (2, 3), "advance": (3, 4, 5)}  # so early that a run always comes to them


@pytest.mark.parametrize(
    ("env", "more"),
    [
        ("probe:action-observation", ("--seeds", "2")),
        ("probe:action-observation", ("--prioritise", "0.6:0.4")),
        ("gym:CartPole-v1", ()),
        ("gym:CartPole-v1", ("--overlap",)),
    ],
)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(tmp_path, env, more):
    """Row 1 in little, 20 kills in all: `benchmarks/reliability/kill.py` does it for every kind of agent."""
    request = [env, *LITTLE[1:], "--explore", "0.3", *more]
    assert main(["train", *request, "--out", str(tmp_path / "whole")]) == 0
    out, chance = str(tmp_path / "parts"), random.Random(f"{env} {more}")
    for i in range(5):
        where = chance.choice(list(MOMENTS))
        kill(where, chance.choice(MOMENTS[where]), [*request, "--out", out, *(["--resume"] if i else [])])
    assert main(["train", *request, "--out", out, "--resume"]) == 0
    assert last_state(tmp_path / "parts") == last_state(tmp_path / "whole")
    told = ("cycles", "loss", "eval_return")
    runs = [read_points(tmp_path / run / "metrics.jsonl") for run in ("whole", "parts")]
    points = [[{name: point[name] for name in told} for point in run] for run in runs]
    assert points[0] == points[1]


def test_resuming_with_other_settings_is_refused_with_all_of_them(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", *LITTLE, *out]) == 0
    capsys.readouterr()
    other = ["--lr", "0.5", "--target", "soft:0.1", "--checkpoints", "2", "--seeds", "2"]
    assert main(["train", *LITTLE, *out, "--resume", *other]) == 2
    told = capsys.readouterr().err
    for name in ("learning_rate", "target", "checkpoints", "seeds [0], not [0, 1]"):
        assert name in told
    fewer = [word if word != "3100" else "1000" for word in LITTLE]
    assert main(["train", *fewer, *out, "--resume"]) == 2
    assert "--steps with more" in capsys.readouterr().err
    more = [word if word != "3100" else "3600" for word in LITTLE]
    assert main(["train", *more, *out, "--resume", "--keep", "1", "--log-points", "3"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))["transitions"] == 3600


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, monkeypatch):
    """The machine's own clock is set back again and again: what lasts is told by one that only goes on."""
    request = [*LITTLE, "--steps", "600"]
    assert main(["train", *request, "--out", str(tmp_path / "straight")]) == 0
    now = iter(range(2_000_000_000, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    assert main(["train", *request, "--out", str(tmp_path / "back")]) == 0
    assert last_state(tmp_path / "back") == last_state(tmp_path / "straight")
    seconds = [point["seconds"] for point in read_points(tmp_path / "back" / "metrics.jsonl")]
    assert seconds == sorted(seconds)
    assert json.loads((tmp_path / "back" / "summary.json").read_text(encoding="utf-8"))["wall_seconds"] > 0
