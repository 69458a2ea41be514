"""Every test runs with implicit broadcasting between ranks forbidden, on two CPU devices of one thread each."""

import os
import tempfile

# Compiling is most of what the tests take: at LLVM's first level and with XLA's older emitter of loops it takes less.
# What is compiled so is slower. What a test compares is compiled alike on both sides.
FLAGS = "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false "
os.environ["XLA_FLAGS"] = FLAGS + os.environ.get("XLA_FLAGS", "")
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
