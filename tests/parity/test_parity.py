"""Every folder of official outputs, one test: each checkpoint opened in its native format, each tensor compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.parity import biggan, directions, fastgan, pggan, stylegan, stylegan2, stylegan2_foreign, stylegan3
from tests.parity.check import Expected
from tests.parity.folders import folders

CHECKS: dict[str, Callable[[Expected], None]] = {  # how a folder's name begins -> its check
    "sg2ada-": stylegan2.check,
    "sg3repo-sg2-": stylegan2.check,
    "sg2tf-": stylegan2.check,
    "sg3t-": stylegan3.check,
    "sg3r-": stylegan3.check,
    "sg2adatf-": stylegan2.check,
    "ros-": stylegan2_foreign.check_rosinality,
    "gf-sg2-": stylegan2_foreign.check_genforce,
    "gf-pggan-": pggan.check,
    "zoo-pgan-": pggan.check,
    "gf-sg1-": stylegan.check,
    "ganspace-": directions.check_ganspace,
    "interfacegan-": directions.check_interfacegan,
    "latentclr-": directions.check_latentclr,
    "biggan-": biggan.check,
    "fastgan-": fastgan.check,
    "projgan-": fastgan.check,
}


@pytest.mark.parametrize("folder", folders("*"), ids=lambda p: p.name)
def test_official_outputs(folder: Path) -> None:
    check = next((check for start, check in CHECKS.items() if folder.name.startswith(start)), None)
    assert check is not None, f"no check for {folder.name}"
    case = Expected(folder)
    with torch.inference_mode():
        check(case)
    assert not case.left_over
