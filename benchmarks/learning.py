"""Does it learn what others publish? Ten seeds of each recipe through the command line, beside the published figure.

python benchmarks/learning.py [--only NAME ...]

``--only`` without a name trains nothing and prints the results that are there. Beside them stands what
Stable-Baselines3 itself gives for a recipe, where results/sb3_zoo.json holds seeds of contenders/sb3_zoo.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import table
from training import HERE, ROOT, extremes, interval, keep, train

sys.path.insert(0, str(ROOT))
from qtwin.lab import statistics

# By name: the environment, the preset, the budget, and what is published for it.
CLAIMS = {
    "cartpole-cleanrl": ("CartPole-v1", "cleanrl", 500_000, "488.7 +- 16.1 (torch), 498.4 +- 2.3 (JAX), 3 seeds"),
    "acrobot-cleanrl": ("Acrobot-v1", "cleanrl", 500_000, "-91.5 (torch), -88.9 (JAX), 3 seeds"),
    "cartpole-zoo": ("CartPole-v1", "sb3-zoo", 50_000, "500 (one run)"),
    "mountaincar-zoo": ("MountainCar-v0", "sb3-zoo", 120_000, "-100.8 (one run)"),
    "acrobot-zoo": ("Acrobot-v1", "sb3-zoo", 100_000, "-76.6 (one run)"),
}
PEER = HERE / "results" / "sb3_zoo.json"
RESULTS = HERE / "results" / "learning.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=list(CLAIMS), default=list(CLAIMS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="another budget for every recipe, to try the script out")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (ROOT / "runs").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="learning-", dir=ROOT / "runs"))
    results = json.loads(args.results.read_text(encoding="utf-8")) if args.results.is_file() else {}
    for name in args.only:
        env, preset, steps, published = CLAIMS[name]
        options = [env, "--preset", preset, "--steps", str(args.steps or steps), "--seeds", str(args.seeds)]
        result = train(options, folder / name) | {"published": published}
        results = keep(args.results, name, result)
    rows = []
    for name in CLAIMS:
        if name in results:
            r = results[name]
            told = (f"{r['transitions']:,}", str(len(r["seeds"])), interval(r), extremes(r), r["published"])
            rows.append((f"{CLAIMS[name][0]}, {CLAIMS[name][1]}", *told))
    for env, r in (json.loads(PEER.read_text(encoding="utf-8")) if PEER.is_file() else {}).items():
        returns = np.array(r["eval_return"])
        (low, high), middle = statistics.interval(returns), float(statistics.iqm(returns))
        r = r | {"iqm": middle, "low": low, "high": high}
        told = (f"{r['transitions']:,}", str(len(returns)), interval(r), extremes(r), "")
        rows.append((f"{env}, Stable-Baselines3 itself", *told))
    head = ("recipe", "transitions", "seeds", "greedy return, IQM [95 %]", "worst ... best", "published")
    print("\n" + table(head, rows) + f"\n\nwritten to {args.results}; the runs are in {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
