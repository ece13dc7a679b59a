"""What rcig doctor says about GPUs, on machines that are described by their tools."""

import pytest

from rcig_cli.runs.housekeeping import doctor, nvidia
from rcig_cli.runs.housekeeping.nvidia import Gpu


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without GPUs; call it with what nvidia-smi prints, or the kernel's files, to add one."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(nvidia, "_DRIVER", tmp_path / "driver")
    monkeypatch.setattr(doctor, "installed_plugin", lambda: None)
    for variable in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)

    def add(printed="", code=0, files=()):
        if printed or code:
            (tmp_path / "bin").mkdir()
            tool = tmp_path / "bin" / "nvidia-smi"
            tool.write_text(f"#!/bin/sh\nprintf '{printed}'\nexit {code}\n")
            tool.chmod(0o755)
        for name, content in dict(files).items():
            (tmp_path / "driver" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "driver" / name).write_text(content)

    return add


KERNEL = {
    "version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n",
    "gpus/0000:01:00.0/information": "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 42\n",
}


def test_without_a_gpu_nothing_is_wrong(machine):
    machine()
    assert nvidia.find_gpus() == []
    check = doctor._of_gpus([], ["cpu"])
    assert (check.text, check.advice) == ("There is no NVIDIA GPU.", "")


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("NVIDIA H200, 580.65.06, 9.0", "cuda13"),
        ("NVIDIA A100, 535.129.03, 8.0", "cuda12"),
        ("Tesla V100, 580.65.06, 7.0", "cuda12"),
        ("Tesla V100, 470.256.02, 7.0", None),
        ("NVIDIA GPU, [N/A], [N/A]", None),
    ],
)
def test_the_driver_decides_which_extra_is_named(machine, line, extra):
    machine(line + r"\n" + line + r"\n")
    gpus = nvidia.find_gpus()
    assert len(gpus) == 2
    check = doctor._of_gpus(gpus, ["cpu"])
    assert check.text.startswith(f"There is an NVIDIA GPU ({gpus[0].name}, driver ")
    assert check.text.endswith("but JAX does not use it.")
    advice = f"To use it: pip install -U 'rcig-cli[{extra}]'" if extra else "Its driver is too old"
    assert check.advice.startswith(advice)
    assert doctor._of_gpus(gpus, ["gpu", "gpu"]).advice == ""


def test_a_gpu_that_is_too_old_is_no_fault_of_its_driver(machine):
    machine(r"Tesla K80, 470.256.02, 3.7\n")
    check = doctor._of_gpus(nvidia.find_gpus(), ["cpu"])
    assert "it has the compute capability 3.7, and JAX needs 5.2 or more." in check.text
    assert check.advice == ""


@pytest.mark.parametrize("tool", [{}, {"printed": "No devices were found", "code": 6}])
def test_the_kernel_is_asked_where_the_tool_is_missing_or_fails(machine, tool):
    machine(**tool, files=KERNEL)
    (gpu,) = nvidia.find_gpus()
    assert gpu == Gpu("NVIDIA A100-SXM4-40GB", "535.129.03")
    assert gpu.extra == "cuda12"


def test_a_gpu_that_the_user_hides_is_not_a_problem(machine, monkeypatch):
    machine()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check = doctor._of_gpus([Gpu("NVIDIA H200", "580.1", 9.0)], ["cpu"])
    assert check.text.endswith("but JAX does not use it, because JAX_PLATFORMS is cpu.")
    assert check.advice == ""


def test_a_plugin_that_does_not_load_is_named_with_the_reason(machine, monkeypatch):
    machine()
    monkeypatch.setattr(doctor, "installed_plugin", lambda: "jax-cuda12-plugin")
    check = doctor._of_gpus([Gpu("NVIDIA H200", "580.1", 9.0)], ["cpu"])
    assert "although jax-cuda12-plugin is installed" in check.text
    assert check.advice == "To update it: pip install -U 'rcig-cli[cuda13]'"


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert doctor._of_cache(str(tmp_path / "new" / "cache")).advice == ""
    check = doctor._of_cache(str(tmp_path / "file" / "cache"))
    assert f"{tmp_path / 'file'} can't be written" in check.text
