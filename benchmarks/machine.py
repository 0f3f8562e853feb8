"""What numbers were measured on, and how much memory a process took."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

MIB = 2**20


def machine(threads: int, *packages: ModuleType) -> dict[str, Any]:
    """What the numbers were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = list(os.getloadavg()) if hasattr(os, "getloadavg") else []
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_at_start": load,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        **{package.__name__: package.__version__ for package in packages},
    }


def reset_peak() -> None:
    """Forget this process's peak so far (Linux; elsewhere it stays, and may hide a smaller one)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Peak resident bytes of this process since `reset_peak`."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
