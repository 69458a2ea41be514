"""What the machine has, and how seeds are spread over it. Must be asked before JAX starts its backend."""

from __future__ import annotations

import os
from pathlib import Path


def prepare(seeds: int) -> None:
    """Sets JAX up for ``seeds`` seeds side by side: a CPU device of one thread for each core, a compilation cache.

    One thread each, because it is as fast for networks of this size, leaves the other cores to other seeds, and gives
    the same bits in every run. Where JAX already runs, its devices are used as they are. The cache is
    kept in ``$QTWIN_CACHE``, else ``$XDG_CACHE_HOME/qtwin``, else ``~/.cache/qtwin``.
    """
    flag = "--xla_cpu_multi_thread_eigen"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}=false".strip()
    # The singular values of the diagnostics: its threads would wait for each other on cores that are taken.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import jax

    if not _started():
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", max(1, min(seeds, cores)))
    if jax.config.jax_compilation_cache_dir is None:
        home = os.environ.get("QTWIN_CACHE") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "qtwin"
        )
        try:
            home = str(Path(home).absolute())  # a relative one stays where it is when an environment changes directory
            Path(home).mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # a home that cannot be written costs the cache, not the run
        jax.config.update("jax_compilation_cache_dir", home)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def free_memory() -> int | None:
    """What is free where replays live: on the accelerator where there is one, else in the machine. [bytes]"""
    import jax

    from qtwin.storage.sizes import free_bytes

    device = jax.devices()[0]
    if device.platform == "cpu":
        return free_bytes()
    told = device.memory_stats() or {}
    return told["bytes_limit"] - told.get("bytes_in_use", 0) if "bytes_limit" in told else None


def _started() -> bool:
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()
