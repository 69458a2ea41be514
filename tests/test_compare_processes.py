"""One comparison, one process: what two commands in one directory, a killed parent and signals come to."""

import ast
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import compared
import pytest

import qtwin
from qtwin.cli import main
from qtwin.errors import Refusal
from qtwin.lab import compare, schedule
from qtwin.lab.grid import Protocol, cells_of
from qtwin.request.run_directory import LOCK
from qtwin.run.lock import Lock, holder

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

# In place of a run: notes its number, waits, and notes when it was asked to stop. "deaf" does not stop when asked.
CELL = """
import os, signal, sys, time
from pathlib import Path
from qtwin.cli.cell import end_with_parent
how, run = sys.argv[1], Path(sys.argv[sys.argv.index("--out") + 1])
def stop(*_):
    (run / "stopped").write_text("")
    if how != "deaf": os._exit(143)
signal.signal(signal.SIGTERM, stop)
end_with_parent(grace=1.0)
run.mkdir(parents=True, exist_ok=True)
(run / "aside").write_text(str(os.getpid()))
os.replace(run / "aside", run / "pid")
if how == "quick": sys.exit(0)
time.sleep(60)
"""
PARENT = f"""
import sys
from pathlib import Path
from qtwin.lab import schedule
home, how = Path(sys.argv[1]), sys.argv[2]
schedule.CELL = (sys.executable, "-c", {CELL!r})
jobs = [schedule.Job(n, home / n, lambda n=n: [how, "--out", str(home / n)], home / (n + ".log")) for n in "ab"]
with schedule.stops() as asked:
    schedule.run_all(jobs, 2, asked, print, print)
"""


def wait_for(what, seconds=20.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.02)


def alive(pid):
    """The process is there and no zombie that its new parent has not looked at yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return True


def begun(home, how="listens"):
    home.mkdir()
    return subprocess.Popen([sys.executable, "-c", PARENT, str(home), how], env=ENVIRONMENT)


def pids(home):
    wait_for(lambda: len(list(home.glob("*/pid"))) == 2)
    return [int(file.read_text(encoding="utf-8")) for file in home.glob("*/pid")]


def test_cells_end_with_their_parent_however_it_ends(tmp_path):
    """20 of 20 killed by SIGKILL: every cell is asked to stop, as by SIGTERM, and is gone."""
    for rounds in range(4):
        homes = [tmp_path / f"{rounds}-{i}" for i in range(5)]
        parents = [begun(home) for home in homes]
        cells = [pids(home) for home in homes]
        for parent in parents:
            parent.kill()
        for parent in parents:
            parent.wait()
        wait_for(lambda cells=cells: not any(alive(pid) for pair in cells for pid in pair), 10)
        assert all((home / name / "stopped").exists() for home in homes for name in "ab")


def test_a_cell_that_does_not_stop_is_ended(tmp_path):
    parent = begun(tmp_path / "deaf", "deaf")
    cells = pids(tmp_path / "deaf")
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(alive, cells)), 10)
    assert (tmp_path / "deaf" / "a" / "stopped").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_the_cells_and_waits_for_them(tmp_path, number):
    parent = begun(tmp_path / "home")
    cells = pids(tmp_path / "home")
    parent.send_signal(number)
    assert parent.wait(20) == 0
    assert not any(map(alive, cells))
    assert (tmp_path / "home" / "b" / "stopped").exists()


def test_a_second_signal_ends_cells_that_do_not_stop(tmp_path):
    parent = begun(tmp_path / "home", "deaf")
    cells = pids(tmp_path / "home")
    parent.terminate()
    wait_for(lambda: (tmp_path / "home" / "a" / "stopped").exists())
    assert all(map(alive, cells))
    parent.terminate()
    assert parent.wait(20) == 0
    assert not any(map(alive, cells))


def test_signals_that_are_ignored_stay_so():
    """As nohup has it for SIGHUP; outside the comparison the signals are whose they were."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with schedule.stops() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert asked == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


CELLS = cells_of(Protocol("CartPole-v1", 2), {"target": ["hard:10", "tied"], "steps": ["20000"]})


def test_a_second_comparison_in_one_directory_is_refused_and_touches_nothing(tmp_path):
    folder = tmp_path / "lab"
    run = folder / "cells" / CELLS[0].folder
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    with Lock(folder, "comparison"):
        before = sorted((str(file), file.stat().st_mtime_ns) for file in folder.rglob("*"))
        with pytest.raises(Refusal, match=f"the comparison in .* is under way in process {os.getpid()} on"):
            compare.run(folder, Protocol("CartPole-v1", 2), CELLS, "qtwin compare", None, True)
        assert sorted((str(file), file.stat().st_mtime_ns) for file in folder.rglob("*")) == before


def test_a_comparison_is_not_written_into_a_run(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Refusal, match="holds a run"):
        compare.run(tmp_path, Protocol("CartPole-v1", 2), CELLS, "qtwin compare", None, True)


def test_a_cell_that_was_begun_goes_on_where_it_is(tmp_path):
    """Nothing of it is deleted, whether it has a checkpoint or not."""
    job = compare._job(tmp_path, CELLS[0])
    assert "--resume" not in job.words()
    job.run.mkdir(parents=True)
    (job.run / LOCK).write_text("", encoding="utf-8")
    assert "--resume" not in job.words(), "stopped before it had written anything"
    (job.run / "config.json").write_text("{}", encoding="utf-8")
    assert "--resume" in job.words()


def job_of(home, name="a"):
    return schedule.Job(name, home / name, lambda: ["quick", "--out", str(home / name)], home / f"{name}.log")


def test_a_cell_that_another_process_holds_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "CELL", (sys.executable, "-c", CELL))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    job, ended, said = job_of(tmp_path), [], []
    lock = Lock(job.run)
    assert holder(job.run).startswith(f"process {os.getpid()} on")
    timer = threading.Timer(1.0, lock.__exit__)
    timer.start()
    schedule.run_all([job], 1, [], ended.append, said.append)
    timer.join()
    assert "waiting for that to end" in said[0]
    assert [each.code for each in ended] == [0]
    assert holder(job.run) is None
    monkeypatch.setattr(schedule, "HELD_SECONDS", 0.3)
    with Lock(job.run):
        schedule.run_all([job], 1, [], ended.append, said.append)
    assert (ended[1].code, ended[1].who[:7]) == (None, "process")


def test_a_lock_is_held_on_the_file_that_is_there(tmp_path):
    """The lock file is removed and made anew between another's opening and its locking: that one does not hold it."""
    out = tmp_path / "run"
    first = Lock(out)
    (out / LOCK).unlink()
    second = Lock(out)
    with pytest.raises(Refusal):
        Lock(out)
    second.__exit__()
    first.__exit__()
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(Refusal, match="no regular file"):
        Lock(tmp_path)


def test_what_removes_or_moves_is_known():
    """Every call in the package that deletes or renames: under a run's lock, or of a file that the caller has made."""
    known = {
        "storage/files.py": {"replace", "unlink"},  # a file aside, of this process
        "replay/dataset.py": {"unlink"},  # likewise
        "replay/mapped.py": {"unlink"},  # its own, at once
        "run/lock.py": {"unlink", "rmdir"},  # the lock itself, while it is held, and empty folders it made
        "storage/rotating_log.py": {"replace", "unlink"},  # logs of a run whose lock is held
        "run/logs.py": {"unlink"},  # likewise
        "run/directory.py": {"unlink"},  # the summary of a smaller budget, likewise
        "run/checkpoint.py": {"replace", "rmtree"},  # checkpoints, likewise
        "storage/block_store.py": {"replace", "unlink"},  # likewise
    }
    found, home = {}, Path(qtwin.__file__).parent
    for file in home.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner, name = getattr(node.func.value, "id", ""), node.func.attr
                deletes = name in ("rmtree", "unlink", "rmdir", "removedirs") or (name == "remove" and owner == "os")
                if deletes or (name in ("replace", "rename", "renames", "move") and owner in ("os", "shutil")):
                    found.setdefault(file.relative_to(home).as_posix(), set()).add(name)
    assert found == known


def test_a_recording_never_takes_the_place_of_another(tmp_path, monkeypatch):
    """Two processes write the same new file: the first one's stays."""
    import numpy as np

    from qtwin.envs.spec import EnvSpec
    from qtwin.replay import dataset
    from qtwin.types import Timestep

    obs = np.zeros((3, 4), np.float32)
    ones = np.ones(3, np.float32)
    steps = Timestep(obs, np.zeros(3, np.int32), ones, ones, obs, np.ones(3, bool))
    path, check = tmp_path / "data.safetensors", dataset._check
    monkeypatch.setattr(dataset, "_check", lambda *given: (check(*given), path.write_bytes(b"another's")))
    with pytest.raises(Refusal, match="already a file"):
        dataset.save_dataset(path, steps, EnvSpec("gym:CartPole-v1", (4,), "float32", 2), "random", 0)
    assert path.read_bytes() == b"another's"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_prices_are_the_last_line_that_is_one(tmp_path, monkeypatch):
    told = 'noise\n{"compile": 1.0, "per_step": 0.001, "platform": "cpu"}\n{"bye": 1}\n'
    monkeypatch.setattr(compare, "result", lambda *given: (0, told, ""))
    found = compare.prices(tmp_path, CELLS, lambda text: None, [])
    assert [price["per_step"] for price in found.values()] == [0.001]
    assert list(compare.known_prices(tmp_path / "prices.json")) == list(found)
    (tmp_path / "prices.json").unlink()
    monkeypatch.setattr(compare, "result", lambda *given: (-9, "", ""))
    with pytest.raises(Refusal, match="cannot be run: exit code -9"):
        compare.prices(tmp_path, CELLS, lambda text: None, [])


def test_a_report_while_a_comparison_is_under_way(tmp_path, capsys):
    """It writes its two files whole or not at all, and needs no lock."""
    folder = compared.write(tmp_path / "lab")
    with Lock(folder, "comparison"):
        assert main(["report", str(folder)]) == 0
    assert "final greedy return" in capsys.readouterr().out
