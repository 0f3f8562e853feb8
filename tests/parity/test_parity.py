"""Every folder of official outputs, one test: each checkpoint opened in its native format, each tensor compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.parity import stylegan2
from tests.parity.check import Expected
from tests.parity.folders import folders

CHECKS: dict[str, Callable[[Expected], None]] = {  # how a folder's name begins -> its check
    "sg2ada-": stylegan2.check,
    "sg3repo-sg2-": stylegan2.check,
}


@pytest.mark.parametrize("folder", folders(*(f"{start}*" for start in CHECKS)), ids=lambda p: p.name)
def test_official_outputs(folder: Path) -> None:
    check = next((check for start, check in CHECKS.items() if folder.name.startswith(start)), None)
    assert check is not None, f"no check for {folder.name}"
    case = Expected(folder)
    with torch.inference_mode():
        check(case)
    assert not case.left_over
