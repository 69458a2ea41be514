"""Runs scripts of benchmarks/ for `test_benchmarks.py`, which so share their imports: a line of JSON in, one out.

They run one after another in this process, so that JAX is imported once and a tiny training is made once for all.
"""

import gc
import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def ran(script: str, flag: str) -> dict:
    """Runs ``python script flag`` in this process: its exit code, and what it printed to either stream."""
    kept = sys.argv, list(sys.path), dict(os.environ), os.dup(1), os.dup(2)
    sys.argv, code = [script, flag], 0
    sys.path.insert(0, str(Path(script).parent))
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
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


def main() -> None:
    gc.set_threshold(200_000, 50, 100)  # as tests/conftest.py does
    for line in sys.stdin:
        print(json.dumps(ran(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
