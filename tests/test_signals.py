"""Row 10 of docs/reliability.md: what a signal does, in time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from qtwin.run import checkpoint

ROOT = Path(__file__).parents[1]
ENDLESS = (
    "train CartPole-v1 --net linear --warmup 100 --replay 500 --batch 8 --steps 40000000 --log-points 2000"
    " --checkpoints every:20000 --diagnose 0 --eval-episodes 1 --quiet"
)
# The fourth save takes for ever, in the middle of a file.
SLOW = """
import sys, time
from qtwin.run import checkpoint
saves, write = [], checkpoint.write_flushed
def slow(path, data):
    saves.append(path.name == "manifest.json")
    if sum(saves) == 4:
        path.write_bytes(b"half")
        print("saving", flush=True)
        time.sleep(1000)
    write(path, data)
checkpoint.write_flushed = slow
from qtwin.cli import main
sys.exit(main(sys.argv[1:]))
"""


def started(code, out):
    words = [*ENDLESS.split(), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *code, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def ended(run, within):
    """The exit code and what was said, within so many seconds."""
    try:
        began = time.monotonic()
        _, told = run.communicate(timeout=60)
        assert time.monotonic() - began < within
        return run.returncode, told
    finally:
        run.kill()


def test_a_signal_ends_a_run_within_five_seconds_after_a_checkpoint(tmp_path):
    out = tmp_path / "run"
    run = started(["-m", "qtwin"], out)
    log = out / "metrics.jsonl"  # from the first log point on, all is compiled
    while run.poll() is None and not (log.exists() and log.stat().st_size and any(out.glob("checkpoints/cycle-*"))):
        time.sleep(0.05)
    saved = max((out / "checkpoints").glob("cycle-*"))
    time.sleep(0.3)
    run.send_signal(signal.SIGTERM)
    found, told = ended(run, 5.0)
    assert found == 143
    assert "Traceback" not in told
    assert f"go on with --resume --out {out}" in told
    path, _ = checkpoint.newest(out / "checkpoints")
    assert path > saved


def test_a_second_signal_ends_it_at_once_and_the_last_checkpoint_is_good(tmp_path):
    out = tmp_path / "run"
    run = started(["-c", SLOW], out)
    assert run.stdout.readline() == "saving\n"
    good = max((out / "checkpoints").glob("cycle-*"))
    run.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert run.poll() is None  # the save is being finished
    run.send_signal(signal.SIGINT)
    found, _ = ended(run, 1.0)
    assert found == -signal.SIGINT  # which a shell tells as 130
    told = []
    assert checkpoint.newest(out / "checkpoints", told)[0] == good
    assert told == []  # what was half written stands aside
