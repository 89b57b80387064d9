"""The GPUs of this machine, what is left of their memory, and whether torch can use them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import pynvml

from rlsweep.run.doctor_finding import Finding, Level, size_text

SUBJECT = "gpu"
VISIBLE = "CUDA_VISIBLE_DEVICES"

MUCH_USED_SHARE = 0.1
"""Of a GPU's memory; drivers and displays take less."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        index, name: as nvidia-smi has them.
        total_bytes, used_bytes: of its memory.
        users: `python (pid 12)`, the processes that compute on it.
    """

    index: int
    name: str
    total_bytes: int
    used_bytes: int
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class Torch:
    """What torch makes of them.

    Attributes:
        version: `2.13.0+cpu`.
        cuda: version of CUDA that it was built for; empty for none.
        devices: how many it can use.
    """

    version: str
    cuda: str
    devices: int


def gpu_findings() -> list[Finding]:
    """Ask NVIDIA's driver, and torch where there is a GPU to use.

    Raises:
        pynvml.NVMLError: a driver is there and does not answer as it should.
    """
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return [Finding(Level.OK, SUBJECT, "no NVIDIA driver; trials train on the CPU")]
    try:
        gpus = [_read_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
        driver = str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()
    return judge_gpus(driver, gpus, _read_torch() if gpus else None, os.environ.get(VISIBLE))


def judge_gpus(driver: str, gpus: Sequence[Gpu], torch: Torch | None, visible: str | None) -> list[Finding]:
    """One finding for each GPU, and one where torch cannot use all of them.

    Args:
        driver: its version.
        gpus: all of the machine.
        torch: what torch says; needed where there is a GPU.
        visible: CUDA_VISIBLE_DEVICES; None where it is not set.
    """
    if not gpus or torch is None:
        return [Finding(Level.OK, SUBJECT, f"NVIDIA driver {driver}, no GPU; trials train on the CPU")]
    return [*(_judge_gpu(driver, gpu) for gpu in gpus), *_judge_torch(driver, len(gpus), torch, visible)]


def _judge_gpu(driver: str, gpu: Gpu) -> Finding:
    text = (
        f"GPU {gpu.index}: {gpu.name}, driver {driver}, {size_text(gpu.total_bytes - gpu.used_bytes)} free "
        f"of {size_text(gpu.total_bytes)}"
    )
    if gpu.used_bytes <= MUCH_USED_SHARE * gpu.total_bytes:
        return Finding(Level.OK, SUBJECT, text)
    users = ", ".join(gpu.users) or "processes that cannot be seen from here"
    remedy = f"wait for them, or take other GPUs: {VISIBLE}=… rlsweep run …"
    return Finding(Level.NOTE, SUBJECT, f"{text}; used by {users}", remedy)


def _judge_torch(driver: str, count: int, torch: Torch, visible: str | None) -> list[Finding]:
    text = f"torch {torch.version} can use {torch.devices} of {count} GPUs"
    if torch.devices >= count:
        return [Finding(Level.OK, SUBJECT, text)]
    if visible is not None and torch.cuda:
        remedy = f"nothing, if that is meant; otherwise: unset {VISIBLE}"
        return [Finding(Level.NOTE, SUBJECT, f"{text}: {VISIBLE}={visible!r}", remedy)]
    if not torch.cuda:
        remedy = (
            "install torch as built for CUDA (https://pytorch.org/get-started/locally), or run with --cpu"
        )
        return [Finding(Level.PROBLEM, SUBJECT, f"{text}: it was built without CUDA", remedy)]
    remedy = "install a newer NVIDIA driver, or a torch for an older CUDA, or run with --cpu"
    return [Finding(Level.PROBLEM, SUBJECT, f"{text}: it wants CUDA {torch.cuda}, driver {driver}", remedy)]


def _read_gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        users = [one.pid for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except pynvml.NVMLError:  # not told on every kind of GPU, nor in every container
        users = []
    name = str(pynvml.nvmlDeviceGetName(handle))
    return Gpu(index, name, int(memory.total), int(memory.used), tuple(map(_user, users)))


def _read_torch() -> Torch:
    import torch  # seconds, and only where there is a GPU

    return Torch(str(torch.__version__), torch.version.cuda or "", torch.cuda.device_count())


def _user(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
