"""Starts Python programs that have a process of their own, but need not import JAX and its like once more each.

Importing what `qtwin train` needs takes longer than most of the runs that tests kill, stop and resume. A server imports
what is not qtwin's once and forks for each program; no thread and no backend of JAX has begun there. What is started is
a process like any other: it has its own environment variables, directory and streams, imports qtwin itself, can be
killed, and ends with the exit code that Python would give it.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

IMPORTED = (
    "jax", "jax.numpy", "flax.nnx", "optax", "chex", "gymnasium", "safetensors.numpy", "scipy.stats", "pandas",
    "matplotlib.pyplot", "seaborn", "rich.progress", "tensorboardX",
)  # fmt: skip  # not gymnax: it makes arrays when it is imported, which starts JAX's threads


class Forked:
    """A program that was started; its standard output and error are read when it has ended."""

    def __init__(self, server: Server, pid: int, streams: tuple[int, int]):
        self.pid, self.returncode = pid, None
        self._server, self._streams = server, streams

    def wait(self) -> int:
        """The exit code; the negative number of a signal that ended it."""
        if self.returncode is None:
            ended = self._server.ask(wait=self.pid)
            self.returncode = os.waitstatus_to_exitcode(ended["status"])
            spent.append(ended["seconds"])
        return self.returncode

    def read(self) -> tuple[str, str]:
        """What it wrote to standard output and error, once it has ended."""
        self.wait()
        told = []
        for stream in self._streams:
            with open(stream, "rb") as file:
                file.seek(0)
                told.append(file.read().decode(errors="replace"))
        return told[0], told[1]


class Server:
    """The process that forks; it ends with the one that has started it."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, **asked) -> dict:
        self._process.stdin.write(json.dumps(asked) + "\n")
        return json.loads(self._process.stdout.readline())

    def start(self, words: list[str], cwd: str | Path, env: dict[str, str]) -> Forked:
        """Starts ``python WORDS``, which are ``-c CODE ...`` or ``-m MODULE ...``."""
        streams = os.memfd_create("stdout"), os.memfd_create("stderr")
        files = [f"/proc/{os.getpid()}/fd/{stream}" for stream in streams]
        return Forked(self, self.ask(words=words, cwd=str(cwd), env=env, files=files)["pid"], streams)


_servers: list[Server] = []
spent: list[float] = []  # processor seconds of each program that has ended


def run(words: list[str], cwd: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """``subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True)``, but sooner."""
    if not sys.platform.startswith("linux"):
        return subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True)
    if not _servers:
        _servers.append(Server())
    program = _servers[0].start(words, cwd, dict(os.environ if env is None else env))
    told = program.read()
    return subprocess.CompletedProcess(words, program.returncode, *told)


def serve() -> dict:
    """Answers until the tests have ended; in a process that was forked, returns what it is to run."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status, took = os.wait4(asked["wait"], 0)
            answers.write(json.dumps({"status": status, "seconds": took.ru_utime + took.ru_stime}) + "\n")
            continue
        pid = os.fork()
        if not pid:
            return asked
        answers.write(json.dumps({"pid": pid}) + "\n")
    os._exit(0)


def become(asked: dict) -> None:
    """Makes this process one that has just been started as it was asked for."""
    for descriptor, file in enumerate(asked["files"], start=1):
        os.dup2(os.open(file, os.O_WRONLY), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    changed = {name for name in os.environ.keys() | asked["env"].keys() if name.startswith(("JAX_", "XLA_"))}
    changed = {name for name in changed if os.environ.get(name) != asked["env"].get(name)}
    assert changed <= {"JAX_DISABLE_MOST_OPTIMIZATIONS"}, f"JAX was imported with other values of {changed}"
    os.environ.clear()
    os.environ.update(asked["env"])
    unoptimised = asked["env"].get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "true"
    sys.modules["jax"].config.update("jax_disable_most_optimizations", unoptimised)
    os.chdir(asked["cwd"])
    given = [place for place in asked["env"].get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [asked["cwd"], *given, *sys.path]
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    import gc
    import importlib
    import warnings

    sys.path.remove(str(Path(__file__).resolve().parent))
    for place in os.environ.pop("PYTHONPATH", "").split(os.pathsep):
        if place in sys.path:
            sys.path.remove(place)
    for name in IMPORTED:
        importlib.import_module(name)
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")  # JAX's, which has no threads here yet
    gc.collect()
    gc.set_threshold(200_000, 50, 100)  # as tests/conftest.py does
    gc.freeze()  # else the first collection of each program would copy all of this
    assert not [name for name in sys.modules if name.partition(".")[0] == "qtwin"]
    job = serve()
    become(job)
    # Out here, not in a function: the program ends as Python ends, with its exit code, traceback and what is to be
    # done at exit.
    how, what, *words = job["words"]
    if how == "-m":
        sys.argv = [what, *words]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *words]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
