"""The contrast: online Q-learning, DQN and fitted Q-iteration as three settings of the rates; then DQN's targets.

python benchmarks/contrast.py

Every run has the same network, the same environment and, within a table, the same number of transitions.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tables import table
from training import HERE, ROOT, extremes, interval, keep, train

ENV, NET = "CartPole-v1", "mlp:120,84"
AGENTS = ("online_q", "dqn", "fqi")
TARGETS = ("hard:50", "soft:0.02", "soft:0.005", "tied", "frozen")
RESULTS = HERE / "results" / "contrast.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*AGENTS, *TARGETS], default=[*AGENTS, *TARGETS])
    parser.add_argument("--agent-steps", type=int, default=50_000, help="transitions for the three algorithms")
    parser.add_argument("--target-steps", type=int, default=500_000, help="transitions for DQN's targets")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    (ROOT / "runs").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="contrast-", dir=ROOT / "runs"))
    results = {}
    for name in args.only:
        common = [ENV, "--net", NET, "--seeds", str(args.seeds)]
        if name in AGENTS:
            options = [*common, "--agent", name, "--steps", str(args.agent_steps)]
        else:
            options = [*common, "--agent", "dqn", "--target", name, "--steps", str(args.target_steps)]
        results = keep(args.results, name, train(options, folder / name.replace(":", "-")))
    for what, names in (("algorithm", AGENTS), ("DQN's target", TARGETS)):
        rows = []
        for name in names:
            if name in results:
                r = results[name]
                counts = (f"{r[k]:,}" for k in ("transitions", "gradient_steps", "target_updates"))
                rows.append((name, *counts, interval(r), extremes(r)))
        if rows:
            head = (
                "transitions",
                "gradient steps",
                "target updates",
                "greedy return, IQM [95 %]",
                "worst ... best",
            )
            print("\n" + table((what, *head), rows))
    print(f"\nwritten to {args.results}; the runs are in {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
