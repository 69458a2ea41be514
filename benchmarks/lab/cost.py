"""What the diagnostics cost at the default interval: the same run with them and without, one after the other.

python benchmarks/lab/cost.py [--rounds 3]        about 5 minutes on a machine with nothing beside it

Counted in seconds of the processor, so that what else runs on the machine matters little, over a whole process:
imports, programs that come from the cache of compiled ones, the three processes, evaluations, readings.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from script import RESULTS, ROOT, keep_row, options, parse, read_rows, where_from
from training import TINY, run_here

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


def seconds_here(diagnose: int) -> float:
    """Processor seconds of a tiny run in this process."""
    began = time.process_time()
    run_here(["train", *TINY, "--diagnose", str(diagnose)])
    return time.process_time() - began


def main() -> None:
    parser = options(__doc__, RESULTS / "lab-cost.json")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parse(parser)
    if args.smoke:
        keep(args.out, "tiny", {diagnose: [seconds_here(diagnose)] for diagnose in (0, 1)})
    for name in () if args.show or args.smoke else args.only:
        with tempfile.TemporaryDirectory() as folder:
            took = {0: [], 1: []}
            for round_ in range(args.rounds + 1):
                for diagnose in (0, 1):
                    spent = seconds(RUNS[name], diagnose, Path(folder) / f"{round_}-{diagnose}")
                    if round_:  # the first only compiles
                        took[diagnose].append(spent)
        keep(args.out, name, took)
    for name, row in read_rows(args.out).items():
        plain, measured = (statistics.median(row[which]) for which in ("plain", "measured"))
        rounds = f"rounds: {len(row['plain'])}"
        print(f"{name}: {plain:.1f} s without, {measured:.1f} s with: {row['share']:+.1%} ({rounds})")
    print(where_from(args.out))


def keep(out: Path, name: str, took: dict[int, list[float]]) -> None:
    """Keeps the seconds without (0) and with diagnostics (1), and what the latter add."""
    share = statistics.median(took[1]) / statistics.median(took[0]) - 1
    keep_row(out, name, {"plain": took[0], "measured": took[1], "share": share})


if __name__ == "__main__":
    main()
