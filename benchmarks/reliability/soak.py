"""Row 17 of docs/reliability.md: does a long run grow? Memory, descriptors and threads of a run, watched from outside.

    python benchmarks/reliability/soak.py [--minutes 60] [-- qtwin train's own words]

Starts a run that would go on for ever, looks at it once a second, ends it with SIGTERM, and compares the second half of
the time with what came before. Programs that were compiled after the first fifth are counted as well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, ROOT, options, parse, show, write_result

RUN = ["CartPole-v1", "--preset", "cleanrl", "--steps", "2000000000", "--log-points", "20000", "--quiet"]
RUN += ["--checkpoints", "every:500000", "--diagnose", "1"]
CHILD = """
import sys, time
import jax
def heard(event, seconds, **_):
    if event.endswith("backend_compile_duration"): print(time.time(), flush=True)
jax.monitoring.register_event_duration_secs_listener(heard)
from qtwin.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""
TINY = ["CartPole-v1", "--net", "mlp:8", "--warmup", "80", "--batch", "8", "--replay", "200", "--envs", "1"]
TINY += ["--eval-episodes", "1", "--quiet"]


def look(pid: int) -> tuple[float, int, int]:
    """Resident memory [MiB], descriptors, threads."""
    home = Path("/proc") / str(pid)
    pages = int((home / "statm").read_text(encoding="utf-8").split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(list((home / "fd").iterdir())),
        len(list((home / "task").iterdir())),
    )


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_soak.json")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("words", nargs="*", metavar="-- WORDS", help="qtwin train's own, behind two dashes")
    args = parse(parser)
    if args.smoke:
        words = [*TINY, "--steps", "2000000000", "--log-points", "1000000", "--checkpoints", "1"]
        write_result(args.out, watched(words, 0.01, 0.05))
    elif not args.show:
        write_result(args.out, watched(args.words or RUN, args.minutes, 1.0))
    show(args.out)


def watched(words: list[str], minutes: float, every: float) -> dict:
    """Looks at a run every so many seconds, for so many minutes and ten looks at least; what has grown."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "compiled", "w+", encoding="utf-8") as told:
        run = Path(folder) / "run"
        command = [sys.executable, "-c", CHILD, *words, "--out", str(run)]
        child = subprocess.Popen(command, cwd=ROOT, stdout=told)
        began, seen = time.time(), []
        while (time.time() - began < 60 * minutes or len(seen) < 10) and child.poll() is None:
            time.sleep(every)
            log = run / "metrics.jsonl"
            if log.exists() and log.stat().st_size and child.poll() is None:
                seen.append((time.time(), *look(child.pid)))
        child.send_signal(signal.SIGTERM)
        code = child.wait()
        compiled = [float(line) for line in (Path(folder) / "compiled").read_text().split()]
        points = (run / "metrics.jsonl").read_text().splitlines()
        transitions, points = json.loads(points[-1])["transitions"], len(points)
    table = np.array(seen)
    fifth, middle = table[len(table) // 5, 0], table[len(table) // 2, 0]
    early, late = table[(table[:, 0] >= fifth) & (table[:, 0] < middle)], table[table[:, 0] >= middle]
    hours = (late[:, 0] - late[0, 0]) / 3600
    return {
        "command": "qtwin train " + " ".join(words),
        "minutes": round((table[-1, 0] - table[0, 0]) / 60, 1),
        "asked_for_by_default": 60,
        "exit_code": code,
        "transitions": transitions,
        "log_points": points,
        "memory_mib": [round(float(np.median(half[:, 1])), 1) for half in (early, late)],
        "memory_growth_mib_per_hour_second_half": round(float(np.polyfit(hours, late[:, 1], 1)[0]), 2),
        "descriptors": [[int(n) for n in np.unique(half[:, 2])] for half in (early, late)],
        "threads": [[int(n) for n in np.unique(half[:, 3])] for half in (early, late)],
        "compiled_after_the_first_fifth": sum(when > float(fifth) for when in compiled),
        "compiled": len(compiled),
    }


if __name__ == "__main__":
    main()
