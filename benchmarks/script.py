"""What every script here shares: ``--smoke``, ``--show``, ``--out``, files of results and where a result comes from.

Standard library only: the contenders read it too, with interpreters that have nothing else.
"""

from __future__ import annotations

import argparse
import atexit
import datetime
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
# In a file of results, beside what was measured: the commit, and how it is known where the script did not write it.
ORIGIN = ("commit", "commit_is")
PACKAGES = ("qtwin", "jax", "jaxlib", "flax", "optax", "gymnax", "gymnasium", "numpy")


def options(description: str, out: Path | None = None) -> argparse.ArgumentParser:
    """The options that every script has; each adds its own.

    Args:
      description: what ``--help`` says; its first line counts.
      out: the file of results, unless ``--out`` says otherwise; None where there is none.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="try the script out in seconds; nothing is written")
    parser.add_argument("--show", action="store_true", help="print the committed result; nothing is run")
    if out is not None:
        parser.add_argument("--out", "--results", type=Path, default=out, help="the file of results")
    return parser


def parse(parser: argparse.ArgumentParser, argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the options. With ``--smoke`` the results go to a folder that is removed when the process ends."""
    args = parser.parse_args(argv)
    if args.smoke and args.show:
        parser.error("--smoke tries the script out and --show prints what is there: write one of them")
    if args.smoke and hasattr(args, "out"):
        args.out = scratch() / args.out.name
    return args


def scratch() -> Path:
    """A new folder, removed when the process ends."""
    return Path(tempfile.mkdtemp(dir=_scratch()))


@functools.cache
def _scratch() -> str:
    folder = tempfile.TemporaryDirectory(prefix="qtwin-smoke-")
    atexit.register(folder.cleanup)
    return folder.name


def absent(*modules: str) -> list[str]:
    """Those of the modules that cannot be imported here."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def skipped(why: str) -> None:
    """Says what ``--smoke`` leaves out."""
    print(f"skipped: {why}", flush=True)


def commit() -> str | None:
    """The commit that is measured, "-dirty" behind it if anything but results has changed; None outside a checkout."""

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        return None if done.returncode else done.stdout.strip()

    try:
        top, head = git("rev-parse", "--show-toplevel"), git("rev-parse", "--short=12", "HEAD")
        if top is None or head is None or Path(top).resolve() != ROOT:
            return None  # no checkout, or that of another project around this one
        return head + ("-dirty" if git("status", "--porcelain", "--", ".", ":(exclude)benchmarks/results") else "")
    except FileNotFoundError:  # there is no git
        return None


def machine() -> dict:
    """What the numbers were measured on, and when."""
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
    }


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The releases that are installed, of Python and of the packages."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def origin() -> dict:
    """Where a number comes from: the commit, the machine and the versions."""
    return {"commit": commit(), "machine": machine(), "versions": versions()}


def write_result(path: Path, result: dict) -> None:
    """Writes one result, with the commit before it and the machine and the versions behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(origin() | result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def keep_row(path: Path, name: str, row: dict) -> dict:
    """Writes a row beside those that are there, each with its own origin; the file's commit is the last row's.

    Returns:
      all rows, by name.
    """
    rows = read_rows(path)
    rows[name] = row | origin()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"commit": rows[name]["commit"], **rows}, indent=1) + "\n", encoding="utf-8")
    return rows


def read(path: Path) -> dict:
    """A file of results, {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_rows(path: Path) -> dict:
    """The rows of a file of results, without what is said of the file."""
    return {name: row for name, row in read(path).items() if name not in ORIGIN}


def where_from(path: Path) -> str:
    """One line on a file of results: which commit and, where it is known, which machine; or that there is none."""
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    found = read(path)
    if not found:
        return f"{name}: no result has been committed"
    how = f" ({found['commit_is']})" if "commit_is" in found else ""
    on = found.get("machine", {})
    where = f", {on['cpu']}, {on['cores']} cores, {on['date']}" if on else ""
    return f"{name}: commit {found.get('commit')}{how}{where}"


def show(path: Path) -> None:
    """Prints a file of results as it stands; a line where there is none."""
    print(where_from(path))
    found = {name: part for name, part in read(path).items() if name not in (*ORIGIN, "machine", "versions")}
    if found:
        print(json.dumps(found, indent=1))
