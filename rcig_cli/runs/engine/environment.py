"""Setting up JAX and its process (options, flags, memory, threads, compilation cache); devices; free memory.

Results depend on the seed and the settings only, not on JAX's environment variables.  Of JAX's options, those
that change results have fixed values: `PINNED`.  `pin` sets them for the whole process, and `pinned` in one
thread while a function of the library runs.  Variables that only XLA reads can't be set after the fact, so
`prepare_environment` refuses values that change results.

`prepare_environment` must be called before JAX's first computation.  Otherwise its settings do not change
results, except that they prevent wrong ones:

* XLA's YNN fusion on the CPU is turned off.  It fuses a matrix product whose operand is zero at compile time
  with its neighbours and reads uninitialized memory: the numbers are silently wrong (JAX 0.10 to 0.12;
  ``tests/runs/engine/test_environment.py`` has the case).  XLA reads ``XLA_FLAGS`` when its first backend is
  made.  Functions compiled with `jit` are right in any case, since it passes the same flag itself.
* malloc keeps freed memory: XLA frees its buffers after every step, and by default each goes back to the
  operating system, to be mapped and zeroed page by page at the next step.
* OpenBLAS' threads, which factor A and solve with it, sleep as soon as they are done.  By default they spin
  for some 25 ms and occupy a core that XLA needs: each solve would take ten times as long.
"""

import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError

# The options of JAX that change results or make rcig fail, and the values that rcig uses: JAX's defaults.
# All others concern only speed, logging, dumps, other kinds of programs, or debugging that is meant to fail.
# Some exist only in some versions of JAX.
PINNED: dict[str, Any] = {
    # The types of numbers, and which operations are allowed.
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_matmul_precision": None,
    # Random numbers.
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_enable_custom_prng": False,
    "jax_legacy_prng_key": "allow",
    "jax_high_dynamic_range_gumbel": False,
    "jax_accurate_erf_inv": False,
    # How programs are traced and differentiated: the order of their operations.
    "jax_disable_jit": False,
    "jax_use_direct_linearize": True,
    "jax_softmax_custom_jvp": False,
    "jax_scan3": False,
    "jax_remat3": False,
    "jax_custom_vjp3": False,
    "jax_custom_jvp3": False,
    "jax_use_simplified_jaxpr_constants": False,
    "jax_embedded_constants_max_bytes": 32,
    "eager_constant_folding": False,
    # How XLA optimizes them: the fusions, and the order of sums.
    "jax_disable_most_optimizations": False,
    "jax_optimization_level": "UNKNOWN",
    "jax_exec_time_optimization_effort": 0.0,
    "jax_memory_fitting_level": "O2",
    "jax_memory_fitting_effort": 0.0,
    "jax_compiler_enable_remat_pass": True,
    "jax_use_shardy_partitioner": True,
    # Where programs run that are given no device.
    "jax_default_device": None,
    # Checks that fail where nothing is wrong: the tuning of learning rates tries some that diverge (rcig
    # checks each step itself), an augmentation selects one of several results that are drawn with the same
    # key, and the last three do not support all of the operations that are used.
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_error_checking_behavior_nan": "ignore",
    "jax_error_checking_behavior_divide": "ignore",
    "jax_error_checking_behavior_oob": "ignore",
}

YNN_OPTION = "xla_cpu_experimental_ynn_fusion_type"
YNN_FLAG = f"--{YNN_OPTION}="

# Variables that let OpenBLAS (solves with A) and oneDNN (some of XLA's products on the CPU) compute as on a
# machine with fewer processors or other instructions.
_LIKE_ANOTHER_MACHINE = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
)

_LARGEST_CACHE = 2 << 30  # bytes
_MEMINFO, _CPUINFO = Path("/proc/meminfo"), Path("/proc/cpuinfo")
_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Flags that do not change results on the CPU, and those of GPUs, where the same bytes are not promised.
_ALLOWED_FLAGS = re.compile(r"--xla_(force_host_platform_device_count=|dump_|gpu_)|" + f"{YNN_FLAG}$")

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def prepare_environment() -> None:
    """Set flags, threads and malloc; has no further effect when called again.

    Raises
    ------
    ConfigError
        If an environment variable that XLA reads would change results.
    """
    for name in ("PJRT_NPROC", "NPROC"):
        if os.environ.get(name, "") not in ("", str(processors())):
            raise ConfigError(
                f"{name}={os.environ[name]} sets the number of XLA's threads, on which results depend. Unset "
                "it; to use fewer processors, run the command under taskset."
            )
    os.environ["XLA_FLAGS"] = xla_flags(os.environ.get("XLA_FLAGS", ""))
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles
    keep_freed_memory()


def silence_libraries() -> None:
    """Keep TensorFlow's, XLA's and gRPC's log messages off stderr; before they are imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def xla_flags(given: str) -> str:
    """Return the user's XLA flags with `YNN_FLAG` added.

    Raises
    ------
    ConfigError
        If a flag may change results.
    """
    for flag in given.split():
        if not _ALLOWED_FLAGS.match(flag):
            raise ConfigError(
                f"XLA_FLAGS contains {flag}, which may change results. Remove it; rcig accepts "
                "--xla_force_host_platform_device_count, --xla_dump_... and --xla_gpu_..."
            )
    return given if YNN_FLAG in given else f"{given} {YNN_FLAG}".strip()


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``jax.jit(function, **options)``, compiled without the YNN fusion on the CPU.

    Unlike ``XLA_FLAGS``, this also works if another library has used JAX before.  The result can't be called
    inside another compiled function.
    """
    import jax

    if jax.default_backend() == "cpu":
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
    """Bytes of memory that are free or that the system can free at once (caches), as far as they may be used.

    A container or a job of a cluster may have a limit.
    """
    if _MEMINFO.exists():
        fields = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return min([int(fields["MemAvailable"].split()[0]) * 1024, *_left_by_limits()])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_by_limits() -> Iterator[int]:
    """Yield the bytes that the memory limits of the process's control groups (Linux) leave."""
    for line in _OWN_CGROUPS.read_text().splitlines() if _OWN_CGROUPS.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, limit, used = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):  # version 1
            root, limit, used = _CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for each in (group, *group.parents):  # a group has the limits of those that it lies in
            with suppress(OSError, ValueError):  # there is none, or it is "max"
                most, now = int((each / limit).read_text()), int((each / used).read_text())
                stat = dict(row.split() for row in (each / "memory.stat").read_text().splitlines())
                total = "total_" if controllers else ""  # with the groups below it
                caches = sum(int(stat.get(f"{total}{kind}_file", 0)) for kind in ("active", "inactive"))
                yield max(0, most - now + caches)


def prepare_jax() -> None:
    """Import JAX and give it a persistent compilation cache in the user's cache folder.

    ``RCIG_COMPILATION_CACHE`` names another folder; if it is empty, there is no cache.  A cache folder that
    the user has configured in JAX is kept.

    Raises
    ------
    ConfigError
        If one of JAX's environment variables has a value that JAX does not accept.
    """
    try:
        import jax
    except ValueError as error:
        raise ConfigError(
            f"JAX does not accept one of its environment variables ({error}). Correct or unset it."
        ) from error
    import platformdirs

    folder = os.environ.get("RCIG_COMPILATION_CACHE", platformdirs.user_cache_dir("rcig") + "/compiled")
    if folder and not jax.config.values.get("jax_compilation_cache_dir"):
        settings = {
            "jax_compilation_cache_dir": folder,
            "jax_compilation_cache_max_size": _LARGEST_CACHE,
            "jax_persistent_cache_min_compile_time_secs": 0.1,
        }
        for name, value in settings.items():
            jax.config.update(name, value)


def pin() -> list[str]:
    """Give JAX's options their `PINNED` values in this process.

    Returns
    -------
    list
        The options that had other values, as ``name=value``.
    """
    import jax

    changed = _differing()
    for name in changed:
        jax.config.update(name, PINNED[name])
    return [f"{name}={value}" for name, value in changed.items()]


@contextmanager
def pinned() -> Iterator[None]:
    """Give JAX's options their `PINNED` values in this thread, for the length of a block.

    JAX keeps compiled functions for each set of options, so the user's own are not affected.

    Raises
    ------
    ConfigError
        If an option has another value that can be changed only for the whole process.
    """
    # jax.config can set options for all threads only, and the module jax has contexts for a few of them.
    from jax._src.config import config_states

    with ExitStack() as held:
        for name, value in _differing().items():
            if name not in config_states:
                raise ConfigError(
                    f"{name}={value} in JAX's configuration changes results. Call "
                    f'jax.config.update("{name}", {PINNED[name]}) first, or unset {name.upper()}.'
                )
            held.enter_context(config_states[name](PINNED[name]))
        yield


def _differing() -> dict[str, Any]:
    """The options that do not have their `PINNED` values in this thread, with their values."""
    import jax

    current = {
        name: value.value if isinstance(value, Enum) else value for name, value in jax.config.values.items()
    }
    return {name: current[name] for name in PINNED if name in current and current[name] != PINNED[name]}


def check_devices() -> None:
    """Let JAX find this machine's devices, before anything is written.

    Raises
    ------
    ConfigError
        If there is none of the platform that the user's environment asks for.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # without a message where JAX_PLATFORMS is "cuda"
        given = {name: jax.config.values.get(name) for name in ("jax_platforms", "jax_platform_name")}
        asked = " and ".join(f"{name.upper()}={value}" for name, value in given.items() if value)
        reason = str(error).partition(" (")[0].rstrip(".")  # without JAX's own advice
        reason = f" ({reason})" if reason else ""
        if not asked:
            raise ConfigError(f"JAX can't use the devices of this machine{reason}.") from error
        raise ConfigError(
            f"JAX finds no device for {asked}{reason}. Unset this variable to use the available devices; "
            "a GPU needs the extra: pip install 'rcig-cli[cuda]'"
        ) from error


def describe_devices() -> str:
    """Return on what JAX computes: ``"a CPU with 2 cores"``, ``"NVIDIA H200"``."""
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return str(device.device_kind)
    return f"a CPU with {processors()} core{'' if processors() == 1 else 's'}"


def machine() -> dict[str, str]:
    """Return what rounding depends on, besides the versions of libraries.

    Returns
    -------
    dict
        The kind of ``device``, the model of the ``processor`` where the system tells it, the number of
        ``processors``, and the `_LIKE_ANOTHER_MACHINE` that are set.
    """
    import jax

    model = _processor()
    return {
        "device": jax.devices()[0].device_kind,
        **({"processor": model} if model else {}),
        "processors": str(processors()),
        **{name: os.environ[name] for name in _LIKE_ANOTHER_MACHINE if os.environ.get(name)},
    }


@cache  # a sweep compares the machines of all runs in the store with this one
def _processor() -> str:
    """Return the model of the processor, or an empty text if it is unknown."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()
