"""MinAtar with every value-based agent: four games, 1,000,000 frames, three seeds.

    python benchmarks/values/minatar.py [--only NAME ...] [--seeds K]

The games are MinAtar's own: all six actions, one in ten of them sticky. The row dqn is its own DQN (the preset
minatar), a gradient step per frame. The published curves have, game by game, the best of some step sizes: so has the
row "dqn, best step size". What they show is the return while training, so that of the last 50,000 frames is told
beside the greedy one. All others, "dqn, one in four" among them, take a gradient step per four frames, as Dopamine
does (a quarter of the time), a target update per 1,000 frames as before, and Adam as DQN has it on these games in
Obando-Ceron & Castro (2021): MinAtar's RMSProp, with its epsilon of 0.01, was chosen for DQN's loss. They differ from
each other in what their names say alone; pqn and stream_q run their presets. Distributions range over -20 to 20,
which covers the discounted returns seen here, as averages; IQN draws 8 fractions. ``--show`` prints the results
that are there; a row that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rows import rows_of
from script import RESULTS, where_from
from tables import table
from training import every_seed, extremes, interval, interval_of

GAMES = ("Breakout", "Asterix", "Freeway", "SpaceInvaders")
ATOMS = ("--loss", "cross-entropy", "--atoms", "51", "--support=-20:20")
MINATAR = (  # the preset minatar, said aloud, so that an agent of another name can take it
    "--init", "torch", "--warmup", "5000", "--replay", "100000", "--batch", "32", "--envs", "1", "--regress", "1",
)  # fmt: skip
STEP_SIZE = ("--lr", "2.5e-4")
EVERY_FRAME = (*MINATAR, "--optimiser", "rmsprop:0.01:outside", "--collect", "1", "--target", "hard:1000")
DQN = (*MINATAR, "--optimiser", "adam:3.125e-4", *STEP_SIZE, "--collect", "4", "--target", "hard:250")
# Where the return of the last 100 of 5,000,000 frames' episodes is greatest in the figure of Young & Tian (2019).
BEST = {"Breakout": 2**-9, "Asterix": 2**-13, "Freeway": 2**-11, "SpaceInvaders": 2**-12}
PLAIN, EPSILON = ("--net", "minatar", "--loss", "huber"), ("--explore", "1:0.1:100000")
AGENTS = {
    "dqn": (*PLAIN, *EPSILON, *EVERY_FRAME, *STEP_SIZE),
    "dqn, best step size": (*PLAIN, *EPSILON, *EVERY_FRAME),
    "dqn, one in four": (*PLAIN, *EPSILON, *DQN),
    "double_dqn": (*PLAIN, *EPSILON, *DQN),
    "dqn, duelling": ("--net", "minatar+duelling", "--loss", "huber", *EPSILON, *DQN),
    "dqn, noisy": ("--net", "minatar+noisy", "--loss", "huber", "--explore", "1", *DQN),
    "dqn, 3 steps": (*PLAIN, "--n-step", "3", *EPSILON, *DQN),
    "dqn, prioritised": (*PLAIN, "--prioritise", "0.6:0.4", *EPSILON, *DQN),
    "munchausen_dqn": (*PLAIN, *EPSILON, *DQN),
    "c51": ("--net", "minatar", *ATOMS, *EPSILON, *DQN),
    "hl_gauss": ("--net", "minatar", *ATOMS, *EPSILON, *DQN),
    "qr_dqn": ("--net", "minatar", "--quantiles", "51", *EPSILON, *DQN),
    "iqn": ("--net", "minatar", "--quantiles", "8", *EPSILON, *DQN),
    "rainbow": ("--net", "minatar+duelling+noisy", *ATOMS, "--explore", "1", *DQN),
    "pqn": ("--preset", "pqn-minatar"),
    "stream_q": ("--preset", "stream-q-minatar"),
}  # fmt: skip
STEPS, SEEDS = 1_000_000, 3
# DQN's own curve at 1M frames (30 runs, training return, best step size), read off the figure of Young & Tian (2019).
PUBLISHED = {"Breakout": "9.3", "Asterix": "7.2", "Freeway": "47.8", "SpaceInvaders": "33.3"}


def options(game: str, name: str) -> list[str]:
    """Of ``qtwin train``, for one row."""
    agent = name.partition(",")[0]
    best = ["--lr", str(BEST[game])] if name == "dqn, best step size" else []
    return [f"minatar:{game}-v0", "--agent", agent, *AGENTS[name], *best]


def while_training(result: dict) -> list[float]:
    """The return of the episodes that ended in the last of the log's intervals, of each seed."""
    return result["curve"][-1]["train_return"]


def main() -> None:
    cells = {f"{game} {name}": (game, name) for game in GAMES for name in AGENTS}
    results, path = rows_of(
        __doc__,
        {cell: options(*which) for cell, which in cells.items()},
        dict.fromkeys(cells, STEPS),
        SEEDS,
        RESULTS / "minatar.json",
        curves=True,
    )
    head = (
        "game, agent", "seeds", "greedy return, IQM [95 %]", "worst ... best", "every seed", "while training",
        "every seed while training", "published",
    )  # fmt: skip
    rows = []
    for cell, (game, name) in cells.items():
        if cell in results:
            r, last = results[cell], while_training(results[cell])
            returns = (interval(r), extremes(r), every_seed(r["eval_return"], 1))
            published = PUBLISHED[game] if name == "dqn, best step size" else ""
            on_the_way = (interval_of(last), every_seed(last, 1), published)
            rows.append((f"{game}, {name}", str(len(r["seeds"])), *returns, *on_the_way))
    if rows:
        print("\n" + table(head, rows))
    across = [
        (name, *(interval(results[cell]) if (cell := f"{game} {name}") in results else "" for game in GAMES))
        for name in AGENTS
        if any(f"{game} {name}" in results for game in GAMES)
    ]
    if across:
        print("\n" + table(("greedy return, IQM [95 %]", *GAMES), across))
    print(f"\n{where_from(path)}")


if __name__ == "__main__":
    main()
