"""Runs scripts of benchmarks/ for `test_benchmarks.py`, which so share their imports: a line of JSON in, one out.

This process imports the libraries and never starts JAX's backend. What might disturb others (the contenders, which
choose JAX's devices) runs in a fork of its own; all other smoke tests run one after another in one fork, where a tiny
training is made once for all.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path

import flax.nnx
import gymnasium
import gymnax
import jax  # noqa: F401
import matplotlib.figure
import optax

import qtwin.engine.fleet
import qtwin.run.train  # noqa: F401

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
IMPORTED = (flax.nnx, gymnasium, gymnax, matplotlib.figure, optax)


def ran(script: str, flag: str) -> dict:
    """Runs ``python script flag`` in this process: its exit code, and what it printed to either stream."""
    kept = sys.argv, list(sys.path), dict(os.environ), os.dup(1), os.dup(2)
    sys.argv, code = [script, flag], 0
    sys.path.insert(0, str(Path(script).parent))
    with tempfile.TemporaryFile("w+") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            print("" if isinstance(ended.code, int | None) else ended.code)
        except BaseException:
            code = 1
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[3], 1)
        os.dup2(kept[4], 2)
        told.seek(0)
        printed = told.read()
    sys.argv, sys.path[:] = kept[:2]
    os.environ.clear()
    os.environ.update(kept[2])
    for name, module in list(sys.modules.items()):
        home = Path(getattr(module, "__file__", None) or "/").parent
        if BENCHMARKS in home.parents:  # two folders have modules of one name
            del sys.modules[name]
    return {"code": code, "printed": printed}


def forked(serve) -> tuple[int, object, object]:
    """A child that runs ``serve(lines in, lines out)``: its process id, and the parent's ends of the two pipes."""
    (there, ask), (hear, answer) = os.pipe(), os.pipe()
    if child := os.fork():
        os.close(there)
        os.close(answer)
        return child, os.fdopen(ask, "w", buffering=1), os.fdopen(hear)
    os.close(ask)
    os.close(hear)
    serve(os.fdopen(there), os.fdopen(answer, "w", buffering=1))
    sys.stdout.flush()
    sys.exit()  # so that what is to be removed at the end is removed


def serve(lines, out) -> None:
    for line in lines:
        out.write(json.dumps(ran(*json.loads(line))) + "\n")


def once(lines, out) -> None:
    serve([lines.readline()], out)


def main() -> None:
    together = None
    for line in sys.stdin:
        script, flag = json.loads(line)
        if flag == "--smoke" and Path(script).parent.name != "contenders":
            together = together or forked(serve)
            _, ask, hear = together
        else:
            child, ask, hear = forked(once)
        ask.write(line)
        print(hear.readline(), end="", flush=True)
        if not together or hear is not together[2]:
            ask.close()
            hear.close()
            os.waitpid(child, 0)
    if together:
        together[1].close()
        os.waitpid(together[0], 0)


if __name__ == "__main__":
    main()
