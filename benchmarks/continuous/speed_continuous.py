"""qtwin's SAC and TD3 beside Stable-Baselines3's: the same networks, batch and rates, HalfCheetah-v5 and Pendulum-v1.

    python benchmarks/continuous/speed_continuous.py [--rounds N] [--only GROUP ...] [--sb3-python PATH]

As ``benchmarks/speed.py``: each contender in a process of its own, one after another in rounds; medians, and of each
ratio the least and the greatest of one round. Held equal: batch 256, 256-256, Adam 3e-4, a replay of 1,000,000, one
environment, a gradient step for each transition, TD3's actor and target at every second one. Settled in
Stable-Baselines3's favour: torch's own number of threads and 1 thread, the faster counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from contest import Contender, Ratio, contest
from script import RESULTS

# (--env of Stable-Baselines3, --env of qtwin, timed transitions of either)
PLACES = {
    "HalfCheetah": ("HalfCheetah-v5", "gym:HalfCheetah-v5", 4_000, 10_000),
    "Pendulum": ("Pendulum-v1", "Pendulum-v1", 4_000, 10_000),
}
LEAST = {"HalfCheetah": 2.5, "Pendulum": None}


def contenders() -> tuple[Contender, ...]:
    """Both agents in both environments, on either side."""
    found = []
    for place, (theirs, ours, few, many) in PLACES.items():
        for agent in ("sac", "td3"):
            what, group = f"{agent.upper()}, {place}", f"{agent}-{place}"
            mine, peer = ("--agent", agent, "--env", ours), ("--agent", agent, "--env", theirs)
            engines = {"fused": ()} if place == "Pendulum" else {"hosted": (), "hosted, overlapped": ("--overlap",)}
            for engine, more in engines.items():
                name, script = f"qtwin {engine}: {what}", "qtwin_continuous.py"
                found.append(Contender(name, group, "qtwin", script, mine + more, many))
            for threads, more in {"torch's threads": (), "1 thread": ("--threads", "1")}.items():
                name, script = f"Stable-Baselines3, {threads}: {what}", "sb3_continuous.py"
                found.append(Contender(name, f"sb3-{group}", "sb3", script, peer + more, few))
    return tuple(found)


RATIOS: tuple[Ratio, ...] = tuple(
    (f"qtwin / Stable-Baselines3: {agent.upper()}, {place}", f"{agent}-{place}", f"sb3-{agent}-{place}", LEAST[place])
    for place in PLACES
    for agent in ("sac", "td3")
)

if __name__ == "__main__":
    pendulum = RESULTS / "speed_pendulum.json"  # where `--only ...-Pendulum --out` put it
    contest(contenders(), RATIOS, __doc__, RESULTS / "speed_continuous.json", beside=(pendulum,))
