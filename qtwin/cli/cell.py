"""The process of a cell: its run, or the measurement of what it costs. It ends when the comparison does.

python -m qtwin.cli.cell train|price OPTIONS...        started by `qtwin.lab.schedule` alone
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time

GRACE_SECONDS = 120.0  # from the wish to stop to the end of the process, if it has not stopped by itself


def end_with_parent(grace: float = GRACE_SECONDS) -> None:
    """Stops this process when the one that started it is gone, however it ended.

    The parent holds the other end of this process's standard input and writes nothing to it, so that it ends when the
    parent does, also by ``kill -9``. Then this process is asked to stop as by SIGTERM, which writes a checkpoint, and
    after ``grace`` seconds it is ended. (Linux could send a signal by itself, but when the parent's thread ends, and no
    other system can.)
    """
    held = os.dup(0)  # a descriptor of its own, in case what runs here closes or reads its standard input
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    parent = os.getppid()

    def wait() -> None:
        try:
            while os.read(held, 1):
                pass
        except OSError:  # closed by what runs here
            while os.getppid() == parent:
                time.sleep(1.0)
        with contextlib.suppress(OSError):
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def main(words: list[str]) -> int:
    """Does what ``words`` say; returns the exit code."""
    end_with_parent()
    if words[0] == "price":
        from qtwin.lab.price import price

        print(json.dumps(price(words[1:])))
        return 0
    from qtwin.cli import main as command_line

    return command_line(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
