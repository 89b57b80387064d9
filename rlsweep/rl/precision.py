"""Which number format the torsos compute in: `network.precision` of a spec, and what the hardware has."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from rlsweep.spec.network import Precision

BF16_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls bfloat16 arithmetic of x86 (the first two) and Arm (the last)."""


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The format in which a torso computes on `device`; weights and gradients are always float32.

    bfloat16 has float32's range and 8 bits of precision (Kalamkar et al. 2019, "A Study of BFLOAT16 for
    Deep Learning Training"): no loss scaling is needed. Without hardware for it, it is slower than float32.
    """
    if precision == "auto":
        return torch.bfloat16 if has_bf16(device.type) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


@functools.cache
def has_bf16(device_type: str) -> bool:
    """Whether a device of that type ("cpu", "cuda") computes in bfloat16 in hardware."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and not BF16_CPU_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return set()
    described = (line.partition(":") for line in lines)
    lists = [flags.split() for name, _, flags in described if name.strip() in ("flags", "Features")]
    return set(lists[0]) if lists else set()
