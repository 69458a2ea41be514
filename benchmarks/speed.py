"""qtwin beside Stable-Baselines3, rejax and the matrix products alone: the same network, batch and rates.

    python benchmarks/speed.py

makes an environment of its own for each peer (under .venv-bench/, once), runs the contenders one after another for
several rounds, and prints the medians and their ratios. What is held equal and what differs: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from tables import table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


@dataclasses.dataclass(frozen=True)
class Contender:
    """One script with its options, in one interpreter.

    Attributes:
      name: a row of the table.
      group: rows of one group are the same contender set differently; ratios take the fastest of them.
      home: whose interpreter, "qtwin" or one of `PEERS`.
      script: under contenders/.
      options: handed to it.
      transitions: timed transitions per seed at --scale 1, a few seconds on two cores. [transitions]
    """

    name: str
    group: str
    home: str
    script: str
    options: tuple[str, ...]
    transitions: int


PEERS = {"sb3": "Stable-Baselines3", "rejax": "rejax and its gymnax", "purejaxql": "purejaxql and its gymnax"}
BREAKOUT = ("--env", "minatar:Breakout")
CONTENDERS = (
    Contender("qtwin fused, 1 seed", "one", "qtwin", "qtwin_fused.py", (), 200_000),
    Contender("qtwin fused, 2 seeds", "two", "qtwin", "qtwin_fused.py", ("--seeds", "2"), 200_000),
    Contender("rejax, single-threaded Eigen", "rejax", "rejax", "rejax_dqn.py", ("--flags", "single"), 120_000),
    Contender("rejax, XLA's default flags", "rejax", "rejax", "rejax_dqn.py", ("--flags", "default"), 120_000),
    Contender("the matrix products alone", "floor", "qtwin", "floor.py", (), 300_000),
    Contender("qtwin hosted", "hosted", "qtwin", "qtwin_hosted.py", (), 50_000),
    Contender("qtwin hosted, overlapped", "hosted", "qtwin", "qtwin_hosted.py", ("--overlap",), 50_000),
    Contender("Stable-Baselines3, 10 envs, torch's threads", "sb3-10", "sb3", "sb3.py", ("--envs", "10"), 20_000),
    Contender(
        "Stable-Baselines3, 10 envs, 1 thread", "sb3-10", "sb3", "sb3.py", ("--envs", "10", "--threads", "1"), 20_000
    ),
    Contender("Stable-Baselines3, 1 env, torch's threads", "sb3-1", "sb3", "sb3.py", ("--envs", "1"), 10_000),
    Contender(
        "Stable-Baselines3, 1 env, 1 thread", "sb3-1", "sb3", "sb3.py", ("--envs", "1", "--threads", "1"), 10_000
    ),
    Contender("qtwin fused, MinAtar Breakout", "breakout", "qtwin", "qtwin_fused.py", BREAKOUT, 6_000),
    Contender("its matrix products alone", "breakout-floor", "qtwin", "floor.py", BREAKOUT, 8_000),
)
# What, the group above, the group below (None: by itself, in transitions a second), the least that is wanted.
Ratio = tuple[str, str, str | None, float | None]
RATIOS: tuple[Ratio, ...] = (
    ("qtwin, 1 seed / Stable-Baselines3, 10 envs", "one", "sb3-10", 9.0),
    ("qtwin, 1 seed / Stable-Baselines3, 1 env", "one", "sb3-1", None),
    ("qtwin, 1 seed / rejax", "one", "rejax", 1.3),
    ("qtwin, 2 seeds / 1 seed", "two", "one", 1.8),
    ("qtwin, 1 seed / the matrix products alone", "one", "floor", 0.65),
    ("qtwin hosted / Stable-Baselines3, 10 envs", "hosted", "sb3-10", 2.5),
    ("qtwin hosted / Stable-Baselines3, 1 env", "hosted", "sb3-1", None),
    ("qtwin, MinAtar Breakout, frames a second", "breakout", None, 1300.0),
    ("qtwin, MinAtar Breakout / its matrix products alone", "breakout", "breakout-floor", None),
)


def interpreter(home: str, given: str | None) -> str:
    """The interpreter of a peer: the one that was given, else one of an environment made from pinned requirements."""
    if given:
        return given
    folder, requirements = ROOT / ".venv-bench" / home, HERE / f"requirements-{home}.txt"
    python, done = folder / "bin" / "python", folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        print(f"making {folder.relative_to(ROOT)} from {requirements.name} (once) ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
        done.write_text(wanted, encoding="utf-8")
    return str(python)


def run(contender: Contender, python: str, scale: float) -> dict:
    """Runs a contender in a process of its own and returns its line of JSON."""
    # Settings of this shell that would favour or hold back one contender stay outside.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_", "OMP_", "MKL_", "PYTHON"))}
    transitions = max(1_000, int(contender.transitions * scale))
    command = [python, str(HERE / "contenders" / contender.script), "--transitions", str(transitions)]
    done = subprocess.run([*command, *contender.options], env=kept, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{contender.name} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def machine() -> dict:
    """What the numbers were measured on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ]
        model = models[0] if models else model
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def short(number: float) -> str:
    """Thousands with a comma, small numbers with two digits behind the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"


def ratios(speeds: dict[str, list[float]], contenders: list[Contender], wanted: tuple[Ratio, ...]) -> list[dict]:
    """The ratios of medians, with the least and the greatest ratio of one round beside them.

    Args:
      speeds: transitions per second by contender's name, one number for each round.
      contenders: those that ran.
      wanted: which ratios.
    """
    fastest: dict[str, Contender] = {}
    for c in contenders:
        best = fastest.get(c.group)
        if best is None or statistics.median(speeds[c.name]) > statistics.median(speeds[best.name]):
            fastest[c.group] = c
    found = []
    for what, above, below, least in wanted:
        if above not in fastest or (below is not None and below not in fastest):
            continue
        top = speeds[fastest[above].name]
        bottom = speeds[fastest[below].name] if below else [1.0] * len(top)
        by_round = [t / b for t, b in zip(top, bottom, strict=True)]
        found.append(
            {
                "ratio": what,
                "median": statistics.median(top) / statistics.median(bottom),
                "min": min(by_round),
                "max": max(by_round),
                "wanted": least,
                "of": [fastest[above].name, fastest[below].name if below else None],
            }
        )
    return found


def contest(
    contestants: tuple[Contender, ...],
    wanted: tuple[Ratio, ...],
    description: str,
    out: Path,
    measured: str = "transitions a second, all seeds",
) -> None:
    """Reads the options, runs the contenders in rounds, prints the tables and writes the results.

    Args:
      contestants: all that there are; ``--only`` picks groups of them.
      wanted: the ratios to print.
      description: what ``--help`` says first.
      out: where the results go, unless ``--out`` says otherwise.
      measured: what the numbers are.
    """
    peers = sorted({c.home for c in contestants} - {"qtwin"})
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every contender's timed transitions")
    parser.add_argument(
        "--only", nargs="+", metavar="GROUP", choices=sorted({c.group for c in contestants}), default=None
    )
    for home in peers:
        parser.add_argument(f"--{home}-python", help=f"an interpreter with {PEERS[home]}, instead of making one")
    parser.add_argument("--out", type=Path, default=out)
    args = parser.parse_args()
    contenders = [c for c in contestants if args.only is None or c.group in args.only]
    homes = {c.home for c in contenders}
    pythons = {"qtwin": sys.executable}
    pythons |= {home: interpreter(home, getattr(args, f"{home}_python")) for home in peers if home in homes}

    about = machine()
    lines: dict[str, list[dict]] = {c.name: [] for c in contenders}
    for i in range(args.rounds):
        for c in contenders:
            line = run(c, pythons[c.home], args.scale)
            lines[c.name].append(line)
            speed = short(line["transitions_per_second"])
            print(f"round {i + 1}/{args.rounds}  {c.name}: {speed} a second", file=sys.stderr, flush=True)

    speeds = {name: [line["transitions_per_second"] for line in ran] for name, ran in lines.items()}
    print(
        f"\n{about['cpu']}, {about['cores']} cores, {args.rounds} rounds, load {about['load_average_before']} before\n"
    )
    rows = [(n, short(statistics.median(s)), short(min(s)), short(max(s))) for n, s in speeds.items()]
    print(table((measured, "median", "min", "max"), rows))
    found = ratios(speeds, contenders, wanted)
    rows = [
        (r["ratio"], *(short(r[k]) for k in ("median", "min", "max")), short(r["wanted"]) if r["wanted"] else "")
        for r in found
    ]
    if rows:
        print("\n" + table(("ratio (of a round: min, max)", "of medians", "min", "max", "wanted"), rows))

    args.out.parent.mkdir(parents=True, exist_ok=True)
    results = {"machine": about, "rounds": args.rounds, "scale": args.scale, "ratios": found, "contenders": lines}
    args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {args.out}")


if __name__ == "__main__":
    contest(CONTENDERS, RATIOS, __doc__.splitlines()[0], HERE / "results" / "speed.json")
