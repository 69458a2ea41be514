"""A contest of speed: contenders in processes of their own, one after another in rounds; medians and their ratios."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import runpy
import statistics
import subprocess
import sys
from pathlib import Path

from script import HERE, ROOT, machine, options, parse, read, skipped, where_from, write_result
from tables import table


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
# What, the group above, the group below (None: by itself, in transitions a second), the least that is wanted.
Ratio = tuple[str, str, str | None, float | None]


def interpreter(home: str, given: str | None) -> str:
    """The interpreter of a peer: the one that was given, else one of an environment made from pinned requirements."""
    if given:
        return given
    folder, requirements = ROOT / ".venv-bench" / home, HERE / f"requirements-{home}.txt"
    python, done = folder / "bin" / "python", folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not done.is_file() or done.read_text() != wanted:
        print(f"making {folder.relative_to(ROOT)} from {requirements.name} (once) ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
        done.write_text(wanted)
    return str(python)


def run(contender: Contender, python: str, scale: float) -> dict:
    """Runs a contender in a process of its own and returns its line of JSON."""
    # Settings of this shell that would favour or hold back one contender stay outside.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_", "OMP_", "MKL_", "PYTHON"))}
    transitions = max(1_000, int(contender.transitions * scale))
    command = [python, str(HERE / "contenders" / contender.script), "--transitions", str(transitions)]
    done = subprocess.run([*command, *contender.options], env=kept, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{contender.name} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


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
    beside: tuple[Path, ...] = (),
) -> None:
    """Reads the options, runs the contenders in rounds, prints the tables and writes the results.

    Args:
      contestants: all that there are; ``--only`` picks groups of them.
      wanted: the ratios to print.
      description: what ``--help`` says first.
      out: where the results go, unless ``--out`` says otherwise.
      measured: what the numbers are.
      beside: other results that ``--show`` prints as well.
    """
    peers = sorted({c.home for c in contestants} - {"qtwin"})
    parser = options(description, out)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every contender's timed transitions")
    parser.add_argument(
        "--only", nargs="+", metavar="GROUP", choices=sorted({c.group for c in contestants}), default=None
    )
    for home in peers:
        parser.add_argument(f"--{home}-python", help=f"an interpreter with {PEERS[home]}, instead of making one")
    args = parse(parser)
    if args.show:
        for path in (args.out, *beside):
            tell(path, measured)
        return
    contenders = [c for c in contestants if args.only is None or c.group in args.only]
    about = machine() | {"load_average_before": round(os.getloadavg()[0], 2)}
    if args.smoke:
        rounds, lines = 1, tried_out(contenders)
    else:
        rounds, lines = args.rounds, in_rounds(contenders, args, peers)
    speeds = {name: [line["transitions_per_second"] for line in ran] for name, ran in lines.items()}
    found = {"rounds": rounds, "scale": args.scale, "ratios": ratios(speeds, contenders, wanted), "contenders": lines}
    write_result(args.out, {"machine": about} | found)
    tell(args.out, measured)


def in_rounds(contenders: list[Contender], args: argparse.Namespace, peers: list[str]) -> dict[str, list[dict]]:
    """Runs the contenders in rounds; the line of each run, by contender."""
    homes = {c.home for c in contenders}
    pythons = {"qtwin": sys.executable}
    pythons |= {home: interpreter(home, getattr(args, f"{home}_python")) for home in peers if home in homes}
    lines: dict[str, list[dict]] = {c.name: [] for c in contenders}
    for i in range(args.rounds):
        for c in contenders:
            line = run(c, pythons[c.home], args.scale)
            lines[c.name].append(line)
            speed = short(line["transitions_per_second"])
            print(f"round {i + 1}/{args.rounds}  {c.name}: {speed} a second", file=sys.stderr, flush=True)
    return lines


def tried_out(contenders: list[Contender]) -> dict[str, list[dict]]:
    """Every contender's options held against its script; one tiny run of the matrix products stands for all."""
    for home in sorted({c.home for c in contenders} - {"qtwin"}):
        skipped(f"the contenders of {PEERS[home]}, which run in an environment of their own")
    sys.path.insert(0, str(HERE / "contenders"))
    for c in contenders:
        runpy.run_path(str(HERE / "contenders" / c.script), run_name=c.name)["parser"]().parse_args(c.options)
    return {c.name: [tiny_line()] for c in contenders}


@functools.cache
def tiny_line() -> dict:
    """What the contender ``floor.py`` prints with ``--smoke``, run once in a process."""
    return run(Contender("the matrix products alone", "floor", "qtwin", "floor.py", ("--smoke",), 0), sys.executable, 1)


def tell(path: Path, measured: str) -> None:
    """Prints the tables of a file of results, or that there is none."""
    found = read(path)
    if found:
        about, rounds = found["machine"], found["rounds"]
        load = f", load {about['load_average_before']} before" if "load_average_before" in about else ""
        print(f"\n{about['cpu']}, {about['cores']} cores, {about['date']}, {rounds} rounds{load}\n")
        speeds = {n: [line["transitions_per_second"] for line in ran] for n, ran in found["contenders"].items()}
        rows = [(n, short(statistics.median(s)), short(min(s)), short(max(s))) for n, s in speeds.items()]
        print(table((measured, "median", "min", "max"), rows))
        rows = [
            (r["ratio"], *(short(r[k]) for k in ("median", "min", "max")), short(r["wanted"]) if r["wanted"] else "")
            for r in found["ratios"]
        ]
        if rows:
            print("\n" + table(("ratio (of a round: min, max)", "of medians", "min", "max", "wanted"), rows))
        print()
    print(where_from(path))
