"""Damaged TensorFlow-era snapshots: they load, or they end in a CheckpointError; nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.stylegan2_exports import toy
from tests.parity.folders import folders
from tests.readers.tensorflow_makers import snapshot
from tests.readers.test_damage import DAMAGE, damaged, flips, try_to_load

SNAPSHOTS = {f"protocol {protocol}": snapshot(toy(resolution=8), protocol) for protocol in (0, 2, 4)}
SNAPSHOTS |= {folder.name: (folder / "network.pkl").read_bytes() for folder in folders("sg2adatf-*")}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshots(name: str, tmp_path: Path) -> None:
    data, path = SNAPSHOTS[name], tmp_path / "network.pkl"

    @DAMAGE
    @given(flips, st.none() | st.floats(0, 1))
    def check(places: list[tuple[float, int]], cut: float | None) -> None:
        path.write_bytes(damaged(data, places, cut))
        try_to_load(path)

    check()
