"""Where the suite's time goes: ``python -m pytest --where-time-goes`` prints it by file and by test.

For each test: seconds in all, processor seconds of its own process and of the processes that it started, and of the
former what JAX took to trace and lower, what XLA took to compile, and what programs took to come back from the cache.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict

import fork_server
import pytest

EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "trace",
    "/jax/core/compile/backend_compile_duration": "compile",
    "/jax/compilation_cache/cache_retrieval_time_sec": "cached",
}
COLUMNS = ("wall", "own", "trace", "compile", "cached", "children")
_spent: defaultdict[str, float] = defaultdict(float)


def pytest_configure(config):
    from jax import monitoring

    monitoring.register_event_duration_secs_listener(_note)


def _note(event: str, seconds: float, **_) -> None:
    if event in EVENTS:
        _spent[EVENTS[event]] += seconds


def _now() -> dict[str, float]:
    took = os.times()
    own, children = took.user + took.system, took.children_user + took.children_system + sum(fork_server.spent)
    return {"wall": time.perf_counter(), "own": own, "children": children, **_spent}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.where_time_goes = _now()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "teardown":
        now, before = _now(), item.where_time_goes
        report.user_properties.append(("where", {c: now.get(c, 0.0) - before.get(c, 0.0) for c in COLUMNS}))
    return report


def pytest_terminal_summary(terminalreporter):
    tests = {}
    for reports in terminalreporter.stats.values():
        for r in reports:
            if getattr(r, "when", "") == "teardown":
                tests |= {r.nodeid: dict(r.user_properties)["where"]} if dict(r.user_properties).get("where") else {}
    files: defaultdict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys((*COLUMNS, "tests"), 0.0))
    for nodeid, spent in tests.items():
        for name in (nodeid.partition("::")[0], "all"):
            files[name]["tests"] += 1
            for column in COLUMNS:
                files[name][column] += spent[column]
    write = terminalreporter.write_line
    terminalreporter.section("where the time goes, in seconds")
    write("".join(f"{c:>10}" for c in COLUMNS) + "     tests  file")
    for name, spent in sorted(files.items(), key=lambda kv: -kv[1]["wall"]):
        write("".join(f"{spent[c]:10.1f}" for c in COLUMNS) + f"{spent['tests']:10.0f}  {name}")
    write("".join(f"{c:>10}" for c in COLUMNS) + "  the slowest tests")
    for nodeid, spent in sorted(tests.items(), key=lambda kv: -kv[1]["wall"])[:40]:
        write("".join(f"{spent[c]:10.1f}" for c in COLUMNS) + f"  {nodeid}")
