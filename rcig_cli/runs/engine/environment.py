"""Setting up JAX and its process (flags, memory, threads, compilation cache); processors and free memory.

`prepare_environment` must be called before JAX's first computation.  Its settings do not change results,
except that they prevent wrong ones:

* XLA's YNN fusion on the CPU is turned off.  It fuses a matrix product whose operand is zero at compile time
  with its neighbours and reads uninitialized memory: the numbers are silently wrong (JAX 0.10 to 0.12;
  ``tests/runs/engine/test_environment.py`` has the case).  XLA reads ``XLA_FLAGS`` when its first backend is
  made.  Functions compiled with `jit` are right in any case, since it passes the same flag itself.
* malloc keeps freed memory: XLA frees its buffers after every step, and by default each goes back to the
  operating system, to be mapped and zeroed page by page at the next step.
* OpenBLAS' threads, which factor A and solve with it, sleep as soon as they are done.  By default they spin
for
  some 25 ms and occupy a core that XLA needs: each solve would take ten times as long.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

YNN_OPTION = "xla_cpu_experimental_ynn_fusion_type"
YNN_FLAG = f"--{YNN_OPTION}="

_LARGEST_CACHE = 2 << 30  # bytes
_MEMINFO = Path("/proc/meminfo")

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def prepare_environment() -> None:
    """Set flags, threads and malloc; has no further effect when called again."""
    os.environ["XLA_FLAGS"] = xla_flags(os.environ.get("XLA_FLAGS", ""), jaxlib_version())
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles
    keep_freed_memory()


def silence_libraries() -> None:
    """Keep TensorFlow's, XLA's and gRPC's log messages off stderr; before they are imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def xla_flags(given: str, jaxlib: tuple[int, int]) -> str:
    """Return the user's XLA flags with `YNN_FLAG` added.

    If the user has set that flag, it is kept.  jaxlib before 0.10 does not know the flag, and an unknown flag
    would abort the process.
    """
    if jaxlib < (0, 10) or YNN_FLAG in given:
        return given
    return f"{given} {YNN_FLAG}".strip()


def jaxlib_version() -> tuple[int, int]:
    """Major and minor version of the installed jaxlib, (0, 0) where there is none."""
    try:
        major, minor = version("jaxlib").split(".")[:2]
    except PackageNotFoundError:
        return 0, 0
    return int(major), int(minor)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``jax.jit(function, **options)``, compiled without the YNN fusion on the CPU.

    Unlike ``XLA_FLAGS``, this also works if another library has used JAX before.  The result can't be called
    inside another compiled function.
    """
    import jax

    if jaxlib_version() >= (0, 10) and jax.default_backend() == "cpu":
        options["compiler_options"] = {YNN_OPTION: "", **options.get("compiler_options", {})}
    return jax.jit(function, **options)


def keep_freed_memory() -> None:
    """Let malloc keep what XLA frees, for the next step (glibc only)."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def processors() -> int:
    """Number of processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of memory that are free or that the system can free at once (caches)."""
    if _MEMINFO.exists():
        fields = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def prepare_jax() -> None:
    """Import JAX and give it a persistent compilation cache in the user's cache folder.

    ``RCIG_COMPILATION_CACHE`` names another folder; if it is empty, there is no cache.  A cache folder that
    the user has configured in JAX is kept.
    """
    import jax
    import platformdirs

    folder = os.environ.get("RCIG_COMPILATION_CACHE", platformdirs.user_cache_dir("rcig") + "/compiled")
    if folder and not jax.config.values.get("jax_compilation_cache_dir"):
        settings = {
            "jax_compilation_cache_dir": folder,
            "jax_compilation_cache_max_size": _LARGEST_CACHE,
            "jax_persistent_cache_min_compile_time_secs": 0.5,
        }
        for name, value in settings.items():
            jax.config.update(name, value)
