"""What the diagnostics cost at the default interval: the same run with them and without, one after the other.

python benchmarks/lab/cost.py [--rounds 3]        about 5 minutes on a machine with nothing beside it

Counted in seconds of the processor, so that what else runs on the machine matters little, over a whole process:
imports, programs that come from the cache of compiled ones, the three processes, evaluations, readings.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "lab-cost.json"
RUNS = {
    "CartPole-v1": ("CartPole-v1",),
    "minatar:Breakout": ("minatar:Breakout", "--preset", "minatar", "--steps", "60000", "--warmup", "2000"),
}


def seconds(words: tuple[str, ...], diagnose: int, out: Path) -> float:
    """Processor seconds of a run; the compiled programs are in the cache after the first."""
    options = ["--diagnose", str(diagnose), "--eval-episodes", "1", "--quiet", "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "qtwin", "train", *words, *options], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            took = {0: [], 1: []}
            for round_ in range(args.rounds + 1):
                for diagnose in (0, 1):
                    spent = seconds(RUNS[name], diagnose, Path(folder) / f"{round_}-{diagnose}")
                    if round_:  # the first only compiles
                        took[diagnose].append(spent)
        plain, measured = (statistics.median(took[diagnose]) for diagnose in (0, 1))
        found[name] = {"plain": took[0], "measured": took[1], "share": measured / plain - 1}
        print(f"{name}: {plain:.1f} s without, {measured:.1f} s with: {measured / plain - 1:+.1%}")
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
