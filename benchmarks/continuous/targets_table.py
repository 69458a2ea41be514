"""SAC and TD3 on Pendulum-v1 with four targets: does a hard copy do as well, and what does having no target cost?

python benchmarks/continuous/targets_table.py [--only NAME ...] [--seeds K]

Everything but the target is the agent's own settings with the small network of ``pendulum.py``. ``--only`` without a
name prints the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pendulum import SMALL
from shared import report, rows_of
from training import HERE, extremes, interval

AGENTS = ("sac", "td3")
TARGETS = ("soft:0.005", "soft:0.05", "hard:1000", "tied")
STEPS, SEEDS = 20_000, 5


def main() -> None:
    cells = {f"{agent} {target}": (agent, target) for agent in AGENTS for target in TARGETS}
    results, path = rows_of(
        __doc__.splitlines()[0],
        {
            name: ["Pendulum-v1", "--agent", agent, *SMALL, "--target", target]
            for name, (agent, target) in cells.items()
        },
        dict.fromkeys(cells, STEPS),
        SEEDS,
        HERE / "results" / "targets_continuous.json",
    )
    head = ("agent, target", "gradient steps", "target updates", "greedy return, IQM [95 %]", "worst ... best")
    rows = []
    for name in cells:
        if name in results:
            r = results[name]
            counts = (f"{r['gradient_steps']:,}", f"{r['target_updates']:,}")
            rows.append((name.replace(" ", ", "), *counts, interval(r), extremes(r)))
    report(head, rows, path)


if __name__ == "__main__":
    main()
