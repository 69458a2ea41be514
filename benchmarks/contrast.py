"""The contrast: online Q-learning, DQN and fitted Q-iteration as three settings of the rates; then DQN's targets.

    python benchmarks/contrast.py [--only NAME ...] [--seeds K]

Every run has the same network, the same environment and, within a table, the same number of transitions; the three
algorithms otherwise have their own defaults. ``--show`` prints the results that are there.
"""

from __future__ import annotations

from rows import rows_of
from script import RESULTS, where_from
from tables import table
from training import every_seed, extremes, interval

ENV, NET = "CartPole-v1", "mlp:120,84"
AGENTS = ("online_q", "dqn", "fqi")
# DQN's targets, and how each follows.
TARGETS = {
    "hard:50": "copies every 50 gradient steps",
    "soft:0.02": "moves 2 % of the way every gradient step (mean age 49)",
    "soft:0.005": "moves 0.5 % of the way (mean age 199)",
    "tied": "is the online network behind a stop-gradient",
    "frozen": "never moves",
}
AGENT_STEPS, TARGET_STEPS, SEEDS = 50_000, 500_000, 10
COUNTS = ("transitions", "gradient steps", "target updates")


def request(name: str) -> list[str]:
    """The options of ``qtwin train`` for an algorithm, or for DQN with a target."""
    chosen = ["--agent", name] if name in AGENTS else ["--agent", "dqn", "--target", name]
    return [ENV, "--net", NET, *chosen]


def main() -> None:
    names = (*AGENTS, *TARGETS)
    results, path = rows_of(
        __doc__,
        {name: request(name) for name in names},
        {name: AGENT_STEPS if name in AGENTS else TARGET_STEPS for name in names},
        SEEDS,
        RESULTS / "contrast.json",
    )
    agents = [(name, *setting(name), *told(results[name])) for name in AGENTS if name in results]
    targets = [(name, about, *told(results[name])) for name, about in TARGETS.items() if name in results]
    last = (*COUNTS, "greedy return, IQM [95 %]", "worst ... best", "every seed")
    if agents:
        print("\n" + table(("algorithm", "collect : regress", "target", "memory", "batch", *last), agents))
    if targets:
        print("\n" + table(("DQN's target", "follows", *last), targets))
    print(f"\n{where_from(path)}")


def setting(agent: str) -> tuple[str, ...]:
    """Its rates, its target, its memory and its batch, as the command line settles them."""
    from qtwin.request.train import build

    c = build(ENV, agent=agent, settings={"net": NET, "steps": str(AGENT_STEPS)}).config
    memory = "the latest transition" if c.replay == 0 else f"ring of {c.replay:,}"
    memory = "everything" if c.replay >= c.steps else memory
    return f"{c.collect:,} : {c.regress:,}", c.target, memory, str(c.batch)


def told(result: dict) -> tuple[str, ...]:
    """The counters and the returns of a row."""
    counts = (f"{result[name.replace(' ', '_')]:,}" for name in COUNTS)
    return *counts, interval(result), extremes(result), every_seed(result["eval_return"])


if __name__ == "__main__":
    main()
