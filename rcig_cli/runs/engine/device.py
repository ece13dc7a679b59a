"""Getting JAX, and the machine under it, ready: called before JAX is imported.

Four things have to be set right for a CPU, none of which changes a result:

* ``--xla_cpu_experimental_ynn_fusion_type=`` (nothing): with that fusion on, XLA on the CPU fuses matrix
  products whose operand is a broadcast scalar with their neighbours and reads memory that nobody wrote:
  silent garbage, seen on JAX 0.10 to 0.12.  ``tests/jobs/test_device.py`` keeps the case.
* malloc keeps freed memory: XLA frees its buffers after every step, and by default each one of them goes
  back to the operating system, to be mapped and zeroed page by page at the next step.
* OpenBLAS' threads, which factor and solve with A, sleep as soon as they are done.  By default they spin for
  some 25 ms, waiting for more, and take a core from XLA meanwhile: each solve would cost ten times itself.
* Logs of the libraries stay off stderr: what a user reads there is ours.
"""

import ctypes
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

YNN_FLAG = "--xla_cpu_experimental_ynn_fusion_type="

_LARGEST_CACHE = 2 << 30  # bytes
_MEMINFO = Path("/proc/meminfo")

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def prepare_environment() -> None:
    """Set what has to be set before JAX is imported; harmless when called again."""
    os.environ["XLA_FLAGS"] = xla_flags(os.environ.get("XLA_FLAGS", ""), jaxlib_version())
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    keep_freed_memory()


def xla_flags(given: str, jaxlib: tuple[int, int]) -> str:
    """The user's own XLA flags, with ours added where this version of jaxlib knows them.

    An unknown flag aborts the process, so an older jaxlib gets none.  A user's own setting stands.
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
    """Bytes of the machine's memory that are free, or taken only by what the system can do without."""
    if _MEMINFO.exists():
        fields = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def prepare_jax() -> None:
    """Import JAX and give it a persistent compilation cache in the user's cache folder.

    ``RCIG_COMPILATION_CACHE`` names another folder, or none if it is empty.
    """
    import jax
    import platformdirs

    folder = os.environ.get("RCIG_COMPILATION_CACHE", platformdirs.user_cache_dir("rcig") + "/compiled")
    if folder:
        settings = {
            "jax_compilation_cache_dir": folder,
            "jax_compilation_cache_max_size": _LARGEST_CACHE,
            "jax_persistent_cache_min_compile_time_secs": 0.5,
        }
        for name, value in settings.items():
            jax.config.update(name, value)
