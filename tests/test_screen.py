"""Progress outlives what it is shown on: a pipe that is closed, a terminal that changes its size."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWS = """
import sys, time
from qtwin.run.logs import Screen
screen = Screen(100, 0, False)
screen.say("a line that is kept")
for cycles in range(0, 101, 5):
    screen.update(cycles, 1000 * cycles, 100 * cycles, 10 * cycles, 1.5, 20_000.0)
    time.sleep(float(sys.argv[1]))
screen.close()
print("done", flush=True)
"""


def shown(stderr, pause=0.0):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": ""}
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.Popen(
        [sys.executable, "-c", SHOWS, str(pause)], stdout=subprocess.PIPE, stderr=stderr, env=environment
    )


def test_into_a_pipe_it_is_a_line_for_each_tenth():
    told = shown(subprocess.PIPE).communicate(timeout=60)[1].decode()
    assert "\x1b" not in told
    assert [line.split("%")[0].strip() for line in told.splitlines()[1:]] == [str(10 * k) for k in range(1, 11)]


def test_a_pipe_that_is_closed_does_not_end_the_run():
    run = shown(subprocess.PIPE, 0.01)
    run.stderr.close()
    assert run.stdout.read() == b"done\n"
    assert run.wait(60) == 0


def test_a_terminal_that_changes_its_size_keeps_one_line():
    ours, theirs = pty.openpty()

    def sized(columns):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    sized(150)
    run, told = shown(theirs, 0.05), b""
    while b"kept" not in told:
        told += os.read(ours, 65536)
    time.sleep(0.3)
    sized(60)
    os.set_blocking(ours, False)
    assert run.stdout.read() == b"done\n"
    assert run.wait(60) == 0
    late = os.read(ours, 1 << 20).decode()
    os.close(ours)
    os.close(theirs)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", late).replace("\r", "\n").strip().splitlines()[-1]
    assert "100%" in last
    assert len(last) <= 60
