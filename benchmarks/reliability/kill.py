"""Row 1 of docs/reliability.md: kill -9 at random moments, a third of them inside a save; resume; compare every bit.

    python benchmarks/reliability/kill.py [--trials 200] [--kills 3]

Each trial takes one kind of agent, kills its run once or several times, resumes it, and holds the last checkpoint (both
networks, optimiser, replay, random state, counters) against that of the run that was never killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from script import RESULTS, ROOT, options, parse, scratch, show, write_result
from training import run_here

PICTURES = "pictures.npz"  # stands for the file of images that is made for the Siamese runs
COMMON = [
    "--steps", "1300", "--log-points", "4", "--checkpoints", "6", "--eval-episodes", "1", "--quiet", "--batch", "8",
    "--replay", "500", "--warmup", "100",
]  # fmt: skip
SIAMESE = [
    "--data", PICTURES, "--encoder", "conv:4,8", "--projector", "16,16", "--batch", "16", "--epochs", "40",
    "--log-points", "4", "--checkpoints", "6", "--quiet",
]  # fmt: skip
KINDS = {
    "replay, fused, two seeds": ["train", "CartPole-v1", *COMMON, "--net", "mlp:16", "--seeds", "2"],
    "online": [
        "train",
        "CartPole-v1",
        *COMMON,
        "--agent",
        "online_q",
        "--net",
        "linear",
        "--replay",
        "0",
        "--batch",
        "1",
    ],
    "prioritised, fused": ["train", "CartPole-v1", *COMMON, "--net", "mlp:16", "--prioritise", "0.6:0.4"],
    "actor-critic, fused": ["train", "Pendulum-v1", *COMMON, "--agent", "sac", "--net", "mlp:16"],
    "self-predictive, fused": ["train", "CartPole-v1", *COMMON, "--net", "mlp:16", "--self-predict", "simsiam"],
    "replay, hosted": ["train", "gym:CartPole-v1", *COMMON, "--net", "mlp:16"],
    "replay, hosted, overlapped": ["train", "gym:CartPole-v1", *COMMON, "--net", "mlp:16", "--overlap"],
    "actor-critic, hosted": ["train", "gym:Pendulum-v1", *COMMON, "--agent", "td3", "--net", "mlp:16"],
    "Siamese, with a queue": ["siamese", "moco", *SIAMESE, "--target", "cosine:0.1", "--queue", "32"],
    "Siamese, tied": ["siamese", "simsiam", *SIAMESE],
}

PLACES = ("save", "rename", "engine", "engine", "time", "time")
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

# The child ends itself with SIGKILL: in the middle of a file of a save (half of it written), at a save's rename, or
# between two calls of the engine; or the parent does, after a time. One that is never killed tells how often it
# came by.
CHILD = """
import collections, json, os, signal, sys
from qtwin.engine.fleet import FusedFleet
from qtwin.engine.hosted_fleet import HostedFleet
from qtwin.run import checkpoint
where, count, request = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
came_by = collections.Counter()
def counting(function, place, half=False, counts=lambda *args: True):
    def called(*args, **kwargs):
        came_by[place] += counts(*args)
        if place == where and came_by[place] == count:
            if half: args[0].write_bytes(bytes(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return called
checkpoint.write_flushed = counting(checkpoint.write_flushed, "save", half=True)
os.replace = counting(os.replace, "rename", counts=lambda old, new: "checkpoints" in str(new))
for fleet in (FusedFleet, HostedFleet): fleet.advance = counting(fleet.advance, "engine")
from qtwin.cli import main
code = main(request)
print(json.dumps(came_by))
sys.exit(code)
"""


def run(where: str, count: int, request: list[str], seconds: float | None = None) -> dict | None:
    """How often the run came by each place; None where it was killed."""
    command = [sys.executable, "-c", CHILD, where, str(count), *request]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    try:
        came_by, told = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        return None
    if child.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"exit code {child.returncode}: {told.decode()[-1000:]}")
    return None if child.returncode else json.loads(came_by)


def last(out: Path) -> tuple:
    from qtwin.run import checkpoint

    path, manifest = checkpoint.newest(out / "checkpoints")
    return path.name, manifest["sha256"], manifest["columns"]


def main() -> None:
    parser = options(__doc__, RESULTS / "reliability_kill.json")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--kills", type=int, default=3, help="in a trial at most; one process more than that ends it")
    parser.add_argument("--seed", type=int, default=0)
    args = parse(parser)
    if args.smoke:
        write_result(args.out, table_of([killed_once("online")], 1))
    elif not args.show:
        write_result(args.out, table_of(killed(args.trials, args.kills, args.seed), args.kills))
    show(args.out)


def killed_once(kind: str) -> dict:
    """One run that is killed in its first save and resumed in this process, beside one that is not killed."""
    out = scratch() / "killed"
    if run("save", 1, [*KINDS[kind], "--out", str(out)]) is not None:
        raise SystemExit("the run that was to be killed in a save came to its end")
    run_here([*KINDS[kind], *(["--resume"] if (out / "config.json").exists() else [])], out)
    return {"kind": kind, "kills": ["save"], "same": last(out) == last(run_here(KINDS[kind]))}


def killed(trials: int, kills: int, seed: int) -> list[dict]:
    """Kills runs of each kind in turn, resumes them, and says of each whether it ended as the one that was not."""
    rng, whole, rows = random.Random(seed), {}, []
    with tempfile.TemporaryDirectory() as folder:
        ENVIRONMENT.setdefault("QTWIN_CACHE", str(Path(folder) / "cache"))
        trial, pictures = 0, Path(folder) / PICTURES
        np.savez(pictures, images=np.random.default_rng(0).random((80, 16, 16, 1), np.float32))
        while len(rows) < trials:
            kind, trial = list(KINDS)[len(rows) % len(KINDS)], trial + 1
            request = [str(pictures) if word == PICTURES else word for word in KINDS[kind]]
            if kind not in whole:
                began, out = time.monotonic(), Path(folder) / f"whole-{len(whole)}"
                came_by = run("never", 0, [*request, "--out", str(out)])
                whole[kind] = last(out), came_by, time.monotonic() - began
            state, came_by, seconds = whole[kind]
            out, struck, done = Path(folder) / f"trial-{trial}", [], None
            wanted = rng.randint(1, kills)
            while done is None:
                resumed = ["--resume"] if (out / "config.json").exists() else []
                words = [*request, "--out", str(out), *resumed]
                where = rng.choice(PLACES)
                if len(struck) == wanted:
                    done = run("never", 0, words)
                elif where == "time":
                    done = run("never", 0, words, rng.uniform(0.3, 1.0) * seconds)
                else:  # so early that all the kills that are wanted find room in one run
                    done = run(where, rng.randint(1, max(1, came_by[where] // wanted)), words)
                if done is None:
                    struck.append(where)
            if not struck:
                continue  # it came to its end before it could be killed: no trial
            rows.append({"kind": kind, "kills": struck, "same": last(out) == state})
            print(f"{len(rows)}: {kind}, killed at {', '.join(struck)}: {rows[-1]['same']}", flush=True)
    return rows


def table_of(rows: list[dict], most: int) -> dict:
    """What the trials came to, in all and by kind."""
    return {
        "trials": len(rows),
        "most_kills_in_a_trial": most,
        "asked_for_by_default": 200,
        "kills": sum(len(row["kills"]) for row in rows),
        "kills_inside_a_save": sum(where in ("save", "rename") for row in rows for where in row["kills"]),
        "identical": sum(row["same"] for row in rows),
        "by_kind": {kind: [sum(r["same"] for r in rows if r["kind"] == kind), sum(r["kind"] == kind for r in rows)]
                    for kind in KINDS},
    }  # fmt: skip


if __name__ == "__main__":
    main()
