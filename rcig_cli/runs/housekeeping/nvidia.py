"""NVIDIA GPUs of this machine, found without JAX, and which extra makes JAX use them."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia")
_SECONDS = 10.0  # for nvidia-smi, which wakes up GPUs that sleep

# The extra, the oldest driver that its CUDA libraries work with, and the oldest compute capability.
_EXTRAS = (("cuda13", 580, 7.5), ("cuda12", 525, 5.2))
OLDEST_CAPABILITY = min(capability for _, _, capability in _EXTRAS)


@dataclass(frozen=True)
class Gpu:
    """A GPU, as its driver describes it.

    Attributes
    ----------
    name
        Such as ``"NVIDIA H200"``.
    driver
        The version of the driver; empty if unknown.
    capability
        The compute capability; None if unknown.
    """

    name: str
    driver: str = ""
    capability: float | None = None

    @property
    def is_too_old(self) -> bool:
        """Whether no CUDA libraries that JAX uses support it."""
        return self.capability is not None and self.capability < OLDEST_CAPABILITY

    @property
    def extra(self) -> str | None:
        """The extra of this package that makes JAX use the GPU; None if the driver or the GPU is too old."""
        for extra, driver, capability in _EXTRAS:
            # Of an unknown driver the older libraries are the safer choice.
            recent = _major(self.driver) >= driver if self.driver else extra == "cuda12"
            if recent and (self.capability is None or self.capability >= capability):
                return extra
        return None


def find_gpus() -> list[Gpu]:
    """Return the NVIDIA GPUs, as ``nvidia-smi`` lists them, or else as the kernel does."""
    return _listed_by_tool() or _listed_by_kernel()


def installed_plugin() -> str | None:
    """Return JAX's package for NVIDIA GPUs that is installed, such as ``jax-cuda12-plugin``."""
    for extra, _, _ in _EXTRAS:
        try:
            metadata.version(f"jax-{extra}-plugin")
        except metadata.PackageNotFoundError:
            continue
        return f"jax-{extra}-plugin"
    return None


def _listed_by_tool() -> list[Gpu]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [Gpu(row[0], row[1], _number(row[2])) for row in rows if len(row) == 3]


def _listed_by_kernel() -> list[Gpu]:
    try:
        version = re.search(r"\s(\d+\.\d[\d.]*)\s", (_DRIVER / "version").read_text())
        described = [path.read_text() for path in sorted(_DRIVER.glob("gpus/*/information"))]
    except (OSError, ValueError):
        return []
    models = [re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE) for text in described]
    return [Gpu(model[1] if model else "NVIDIA GPU", version[1] if version else "") for model in models]


def _major(version: str) -> int:
    digits = re.match(r"\d+", version)
    return int(digits[0]) if digits else 0


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
