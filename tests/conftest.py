"""Every test runs with implicit broadcasting between ranks forbidden, on two CPU devices of one thread each."""

import gc
import os
import sys
import tempfile

import pytest
import where_time_goes

# Compiling is most of what the tests take, so it is done with as little optimisation as there is, by XLA's older
# emitter of loops, in one part, and without notes of which line of Python an operation comes from. What is compiled so
# takes up to five times as long, and rounds tanh and its like differently: a test that trains for long, or is about
# such a rounding, is marked `optimised` and has LLVM's first level. What a test compares is compiled alike on both
# sides.
FLAGS = (
    "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1 "
)
os.environ["XLA_FLAGS"] = FLAGS + os.environ.get("XLA_FLAGS", "")
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
# There is a worker for each core: threads of BLAS and of scikit-learn's t-SNE would wait for one another.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

# What one test compiled, another need not: many tests build the same engine. The workers share the controller's
# folder, which goes with the session. QTWIN_TESTS_CACHE names one that several sessions share.
if "QTWIN_TESTS_CACHE" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["QTWIN_CACHE"] = os.environ["QTWIN_TESTS_CACHE"]
elif "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="qtwin-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["QTWIN_CACHE"] = _cache.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0" if "QTWIN_TESTS_CACHE" in os.environ else "0.1"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Tracing makes many small objects, and looking for garbage among them at every thousandth takes a tenth of the time.
gc.set_threshold(200_000, 50, 100)

# What a run skips is kept in pytest's cache. With --only-skipped, and the extras installed, these tests alone run,
# and none of them may be skipped again: so a test behind an import cannot rot.
SKIPPED = "qtwin/skipped"
_skipped = set()


def pytest_configure(config):
    if config.getoption("--where-time-goes"):
        config.pluginmanager.register(where_time_goes)


def pytest_addoption(parser):
    parser.addoption("--where-time-goes", action="store_true", help="print what each file and the slowest tests take")
    parser.addoption("--only-skipped", action="store_true", help="run what the last run skipped; none may be skipped")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Says how what the test compiles is optimised, here and in the processes that it starts."""
    unoptimised = item.get_closest_marker("optimised") is None
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(unoptimised).lower()
    jax, name = sys.modules.get("jax"), "jax_disable_most_optimizations"
    if jax is not None and jax.config.read(name) != unoptimised:
        jax.config.update(name, unoptimised)
        jax.clear_caches()  # else a test would be given what was compiled for another in the other way


def pytest_runtest_logreport(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.add(report.nodeid)


def pytest_collectreport(report):
    if report.skipped:
        _skipped.add(report.nodeid)


def pytest_sessionfinish(session):
    config = session.config
    keeps = hasattr(config, "cache") and not hasattr(config, "workerinput")  # without -p no:cacheprovider
    if keeps and not config.getoption("--only-skipped"):
        config.cache.set(SKIPPED, sorted(_skipped))


def pytest_collection_modifyitems(config, items):
    if config.getoption("--only-skipped"):
        before = config.cache.get(SKIPPED, [])
        named = {name: [i for i in items if name in (i.nodeid, i.nodeid.partition("::")[0])] for name in before}
        if not all(named.values()) or not named:
            gone = [name for name, found in named.items() if not found]
            raise pytest.UsageError(f"skipped as a whole, or gone: {gone}" if gone else "the last run skipped nothing")
        chosen = [item for item in items if any(item in found for found in named.values())]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.config.getoption("--only-skipped") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"still skipped: {report.longrepr[2]}"
    return report


@pytest.fixture
def nothing_registered_stays(monkeypatch):
    """What a test registers (`qtwin.register`) is gone after it, and so are the modules that it imported by name."""
    from qtwin.records import catalogue, imported

    catalogues = [imported(reference) for reference in catalogue.CATALOGUES.values()]
    before = [dict(each._records) for each in catalogues]
    monkeypatch.setattr(catalogue, "_origins", {})
    monkeypatch.setattr(catalogue, "_installed", set())
    monkeypatch.setattr(catalogue, "_read", True)
    modules, path = set(sys.modules), list(sys.path)
    yield
    for each, records in zip(catalogues, before, strict=True):
        each._records = records
    own = ("outside", "mine", "mypackage", "installed", "broken")
    for name in {name for name in sys.modules if name.partition(".")[0] in own} - modules:
        del sys.modules[name]
    sys.path[:] = path
