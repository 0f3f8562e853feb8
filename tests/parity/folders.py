"""Where the parity folders are: the project's own few, and the shared set when this machine has it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests/data/parity"
SHARED = Path(os.environ.get("EIGAN_PARITY", ROOT.parent / "shared/parity/public"))


def folders(*patterns: str) -> list[Path]:
    """Own and shared folders that match; a shared one stands in for the own of its name (it holds more)."""
    found = {
        p.name: p
        for root in (OWN, SHARED)
        for pattern in patterns
        for p in root.glob(pattern)
        if (p / "meta.json").is_file()
    }
    return [found[name] for name in sorted(found)]


def expected(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return load_file(folder / "expected.safetensors"), json.loads((folder / "meta.json").read_text())
