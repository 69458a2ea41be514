"""Law 11: a refactoring changes no bit. The same small runs at two commits on one machine, compared by their digests.

    python benchmarks/same_bits.py --against COMMIT [--only NAME ...] [--jobs 2]

Every agent on the fused and on the hosted engine, every kind of replay, target update and exploration that has code of
its own, runs that are resumed from an earlier checkpoint, a Siamese loss beside the Q loss, learning from a recording,
and each Siamese method: some fifty runs, each through the command line, several in one process. Of each run the digest
covers every array of its last checkpoint (both networks, optimiser, replay, random state, counters), the exported
policy and every log point but its times. Arrays are compared whatever they are called, so a field may be renamed.

Exit code 0 if all runs agree, 1 if one differs. The list of what differs is the text for the commit that means to
change bits.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "same_bits.json"
VALUE_BASED = (
    "dqn", "online_q", "fqi", "double_dqn", "munchausen_dqn", "c51", "qr_dqn", "iqn", "hl_gauss", "rainbow", "pqn",
    "stream_q",
)  # fmt: skip
ACTOR_CRITICS = ("ddpg", "td3", "sac", "redq", "droq", "tqc", "crossq")
METHODS = ("simsiam", "byol", "moco", "simclr")
BATCH = 12  # runs in one process: what they compile alike is compiled once
TIMED = ("seconds", "per_second", "time", "eta")  # parts of the names of what is measured by a clock


class Trial(NamedTuple):
    """One run.

    Attributes:
      words: of the command line, without the run directory; ``{data}`` and ``{pictures}`` are files made beforehand.
      resumed: the run goes on from an earlier checkpoint after it has ended.
    """

    words: tuple[str, ...]
    resumed: bool = False


def trials() -> dict[str, Trial]:
    """Every run by name."""
    end = ("--eval-episodes", "2", "--log-points", "2", "--checkpoints", "2", "--quiet")
    small = ("--warmup", "200", "--replay", "600", "--batch", "16", "--steps", "1000", *end)
    found: dict[str, Trial] = {}

    def add(name: str, *words: str, budget: tuple[str, ...] = small, resumed: bool = False) -> None:
        found[name] = Trial(("train", *words, *budget), resumed)

    for agent in VALUE_BASED:
        net = () if agent == "stream_q" else ("--net", "mlp:16,16" + {"rainbow": "+duelling+noisy"}.get(agent, ""))
        budget = small
        if agent in ("online_q", "stream_q"):
            budget = ("--steps", "400", *end)
        if agent == "pqn":
            budget = ("--collect", "256", "--regress", "8", "--batch", "32", "--envs", "8", "--steps", "1024", *end)
        if agent == "fqi":
            budget = (*small, "--collect", "200", "--regress", "50", "--target", "hard:25")
        add(agent, "CartPole-v1", "--agent", agent, *net, budget=budget)
        if agent != "pqn":
            add(f"{agent}, hosted", "gym:CartPole-v1", "--agent", agent, *net, budget=budget)
    for agent in ACTOR_CRITICS:
        net = ("--net", {"crossq": "mlp:16+batchrenorm", "droq": "mlp:16+layernorm+dropout=0.01"}.get(agent, "mlp:16"))
        often = ("--regress", "2", "--actor-every", "2") if agent in ("redq", "droq") else ()
        add(agent, "Pendulum-v1", "--agent", agent, *net, *often)
        add(f"{agent}, hosted", "gym:Pendulum-v1", "--agent", agent, *net, *often)
    tiny = ("CartPole-v1", "--net", "mlp:16")
    add("discrete sac", *tiny, "--agent", "sac")
    add("two seeds", *tiny, "--seeds", "2")
    add("prioritised", *tiny, "--prioritise", "0.6:0.4", "--n-step", "3")
    add("random actions that last", *tiny, "--zeta", "2")
    add("normalised observations", *tiny, "--normalise", "running")
    add("functional regulariser", *tiny, "--regularise", "functional:0.1")
    for rule in ("soft:0.01", "tied", "frozen", "cosine:0.05", "until:0.5/20", "averaged:3:5", "chain:3:5"):
        add(f"target {rule}", *tiny, "--target", rule)
    for use in ("minto", "maxmin:2", "munchausen"):
        add(f"bootstrap {use}", *tiny, "--bootstrap", use)
    add("images", "minatar:Breakout", "--net", "minatar")
    add("a Siamese loss beside the Q loss", "minatar:Breakout", "--net", "minatar", "--self-predict", "simsiam")
    add("from a recording", "CartPole-v1", "--net", "mlp:16", "--agent", "fqi", "--data", "{data}",
        budget=("--regress", "50", "--target", "hard:25", "--batch", "16", "--steps", "200", *end))  # fmt: skip
    add("resumed", *tiny, resumed=True)
    add("resumed, hosted", "gym:CartPole-v1", "--net", "mlp:16", resumed=True)
    add("resumed, two seeds, prioritised", *tiny, "--seeds", "2", "--prioritise", "0.6:0.4", resumed=True)
    images = ("--encoder", "conv:8", "--projector", "16,16", "--batch", "16", "--epochs", "4")
    for method in METHODS:
        words = ("siamese", method, "--data", "{pictures}", *images, "--log-points", "2", "--checkpoints", "2")
        found[f"siamese {method}"] = Trial((*words, "--quiet"))
    found["siamese simsiam, resumed"] = found["siamese simsiam"]._replace(resumed=True)
    return found


def digest(run: Path) -> str:
    """SHA-256 of all that a run has learned and logged, the times left out."""
    from safetensors.numpy import load_file

    whole = hashlib.sha256()
    newest = sorted((run / "checkpoints").glob("cycle-*"))[-1]
    for folder in (newest, run / "policy", run / "encoder"):
        for file in sorted(folder.glob("*.safetensors")):
            leaves = [f"{x.dtype} {x.shape} ".encode() + x.tobytes() for x in load_file(file).values()]
            for leaf in sorted(hashlib.sha256(leaf).digest() for leaf in leaves):
                whole.update(leaf)
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        point = {k: v for k, v in json.loads(line).items() if not any(part in k for part in TIMED)}
        whole.update(json.dumps(point, sort_keys=True).encode())
    return whole.hexdigest()


def play(jobs: list[dict]) -> None:
    """Runs trials in this process, with the package that comes first on the path; prints a line of JSON for each.

    Args:
      jobs: each with ``name``, ``words``, ``resumed`` and ``out``.
    """
    from qtwin.cli import main as qtwin

    def run(words: list[str]) -> None:
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            code = qtwin(words)
        if code:
            raise RuntimeError(f"qtwin {' '.join(words)} ended with exit code {code}: {told.getvalue().strip()[-400:]}")

    for job in jobs:
        words, out = [*job["words"], "--out", job["out"]], Path(job["out"])
        try:
            run(words)
            if job["resumed"]:
                shutil.rmtree(sorted((out / "checkpoints").glob("cycle-*"))[-1])
                (out / "summary.json").unlink()
                run([*words, "--resume"])
            came = digest(out)
        except Exception as error:
            came = f"no digest: {type(error).__name__}: {error}"
        shutil.rmtree(out, ignore_errors=True)
        print(json.dumps({"name": job["name"], "came": came}), flush=True)


def outcomes(tree: Path, jobs: list[dict], cache: Path) -> dict[str, str]:
    """By name, the digest of each run with the package in ``tree``, or why there is none; one process for all."""
    env = {**os.environ, "PYTHONPATH": str(tree), "QTWIN_CACHE": str(cache)}
    env |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    env["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    command = [sys.executable, str(Path(__file__).resolve()), "--play"]
    done = subprocess.run(
        command, cwd=tree, env=env, input=json.dumps(jobs), capture_output=True, text=True, encoding="utf-8"
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    missing = f"no digest: the process ended with exit code {done.returncode}: {done.stderr.strip()[-400:]}"
    return {job["name"]: missing for job in jobs} | {line["name"]: line["came"] for line in lines}


def unpack(commit: str, folder: Path) -> None:
    """The tree of a commit."""
    packed = subprocess.run(["git", "archive", commit, "qtwin"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def name_of(revision: str) -> str:
    """A commit's short hash."""
    words = ["git", "rev-parse", "--short=12", revision]
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def compare(against: str, only: list[str] | None, processes: int) -> dict[str, list[str]]:
    """By name, the digest at ``against`` and the digest here, each told as it comes."""
    import numpy as np

    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="qtwin-same-bits-") as temporary:
        folder = Path(temporary)
        old, cache, pictures, data = (folder / name for name in ("old", "cache", "pictures.npz", "data.safetensors"))
        unpack(against, old)
        chosen = {name: trial for name, trial in trials().items() if only is None or name in only}
        np.savez(pictures, images=np.random.default_rng(0).random((80, 16, 16, 1), np.float32))
        if any("{data}" in trial.words for trial in chosen.values()):
            words = ["record", "CartPole-v1", "--out", str(data), "--steps", "500"]
            subprocess.run([sys.executable, "-m", "qtwin", *words], check=True, cwd=old, stdout=subprocess.DEVNULL)

        def both(names: list[str]) -> dict[str, list[str]]:
            jobs = []
            for name in names:
                words = [word.format(data=data, pictures=pictures) for word in chosen[name].words]
                out = folder / hashlib.sha256(name.encode()).hexdigest()[:8]
                jobs.append({"name": name, "words": words, "resumed": chosen[name].resumed, "out": str(out)})
            before, now = (outcomes(tree, jobs, cache) for tree in (old, ROOT))
            return {name: [before[name], now[name]] for name in names}

        # JAX has as many devices in a process as the first run in it has seeds.
        alone = [name for name in chosen if "--seeds" not in chosen[name].words]
        rest = [name for name in chosen if "--seeds" in chosen[name].words]
        size = max(1, min(BATCH, -(-len(alone) // processes)))
        batches = [*(alone[i : i + size] for i in range(0, len(alone), size)), *([rest] if rest else [])]
        with concurrent.futures.ThreadPoolExecutor(processes) as pool:
            for part in pool.map(both, batches):
                for name, (before, now) in part.items():
                    found[name] = [before, now]
                    print(f"{name}: {'DIFFERENT' if differing({name: [before, now]}) else 'the same'}", flush=True)
                    for which, came in (("before", before), ("now", now)):
                        if came.startswith("no digest"):
                            print(f"  {which}: {' '.join(came.split())}", flush=True)
    return found


def differing(found: dict[str, list[str]]) -> list[str]:
    """Names of the runs whose digests differ, or that ended without one."""
    return [name for name, (before, now) in found.items() if before != now or now.startswith("no digest")]


def tell(result: dict) -> None:
    """Prints a result."""
    odd = result["different"]
    print(f"{result['commit']} against {result['against']}, {result['date']}: {result['runs'] - len(odd)} of")
    print(f"{result['runs']} runs have the same bits" + (f"; different: {', '.join(odd)}" if odd else ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", help="the commit to compare the working tree with")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(trials()), help="some of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (2)")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULT.relative_to(ROOT)}")
    parser.add_argument("--list", action="store_true", help="print the names of the runs")
    parser.add_argument("--show", action="store_true", help="print the committed result")
    parser.add_argument(
        "--smoke", action="store_true", help="one run, this tree against its own commit; writes nothing"
    )
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)  # the runs on standard input, in here
    asked = parser.parse_args()
    if asked.play:
        play(json.load(sys.stdin))
        return 0
    if asked.list:
        print("\n".join(trials()))
        return 0
    if asked.show:
        if RESULT.is_file():
            tell(json.loads(RESULT.read_text(encoding="utf-8")))
        else:
            print("no result is committed")
        return 0
    if asked.smoke:
        if not (ROOT / ".git").exists():
            print("skipped: this is no git checkout")
            return 0
        return int(bool(differing(compare("HEAD", ["online_q"], 1))))
    if asked.against is None:
        parser.error("--against COMMIT is needed, for example --against HEAD~1")
    found = compare(asked.against, asked.only, asked.jobs)
    odd = differing(found)
    dirty = subprocess.run(["git", "status", "--porcelain", "qtwin"], cwd=ROOT, capture_output=True, text=True).stdout
    result = {
        "commit": name_of("HEAD") + ("-dirty" if dirty.strip() else ""),
        "against": name_of(asked.against),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "runs": len(found),
        "different": odd,
    }
    tell(result)
    if asked.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(bool(odd))


if __name__ == "__main__":
    sys.exit(main())
