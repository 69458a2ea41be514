"""SAC and TD3 on Pendulum-v1 with four targets: does a hard copy do as well, and what does having no target cost?

python benchmarks/continuous/targets_table.py [--only NAME ...] [--seeds K]

Everything but the target is the agent's own settings with the small network of ``pendulum.py``. ``--show`` prints the
table.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pendulum import SMALL
from rows import report, rows_of
from script import RESULTS
from training import every_seed, extremes, interval

AGENTS = ("sac", "td3")
# The targets, and how each moves in the 19,000 gradient steps.
TARGETS = {
    "soft:0.005": "0.5 % of the way",
    "soft:0.05": "5 % of the way",
    "hard:1000": "copies",
    "tied": "no target network: it is the online one at every gradient step",
}
STEPS, SEEDS = 20_000, 10


def main() -> None:
    cells = {f"{agent} {target}": (agent, target) for agent in AGENTS for target in TARGETS}
    results, path = rows_of(
        __doc__,
        {
            name: ["Pendulum-v1", "--agent", agent, *SMALL, "--target", target]
            for name, (agent, target) in cells.items()
        },
        dict.fromkeys(cells, STEPS),
        SEEDS,
        RESULTS / "targets_continuous.json",
    )
    head = (
        "agent, target", "how it moves", "gradient steps", "target updates", "seeds", "greedy return, IQM [95 %]",
        "worst ... best", "every seed",
    )  # fmt: skip
    rows = []
    for name, (agent, target) in cells.items():
        if name in results:
            r = results[name]
            counts = (f"{r['gradient_steps']:,}", f"{r['target_updates']:,}", str(len(r["seeds"])))
            told = (interval(r), extremes(r), every_seed(r["eval_return"]))
            rows.append((f"{agent.upper()}, {target}", TARGETS[target], *counts, *told))
    report(head, rows, path)


if __name__ == "__main__":
    main()
