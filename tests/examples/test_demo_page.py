"""The page about the bundled heads: its numbers are those that were measured, its pictures are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from examples.demo_generator.factors import sample
from examples.demo_generator.page import MARK, README, is_page, make_page, read_bundled, sliders

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "heads"


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    """Held-out pictures and a quality report; the report is the committed one."""
    names = list(sample(np.random.default_rng(0)))
    np.save(tmp_path / "held_out.npy", np.zeros((48, 64, 64, 3), np.uint8))
    np.savez(tmp_path / "held_out_labels.npz", names=np.array(names), values=np.zeros((48, len(names)), np.float32))
    return tmp_path, PAGE


def test_the_committed_page_is_what_the_bundle_says(inputs: tuple[Path, Path]) -> None:
    files = make_page(*inputs)
    assert files[README].decode() == (PAGE / README).read_text("utf-8")
    assert set(files) == {path.name for path in PAGE.iterdir()}


def test_every_link_of_the_page_leads_somewhere() -> None:
    text = (PAGE / README).read_text("utf-8")
    assert text.startswith(MARK)
    assert is_page(PAGE)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 30
    assert all((PAGE / target).exists() for target in targets)


def test_a_row_says_what_was_measured() -> None:
    pack, metrics = read_bundled("heads")
    rows = sliders(pack, metrics)
    assert [row["name"] for row in rows] == pack.names
    for row, direction, entry in zip(rows, pack, metrics.directions, strict=True):
        assert float(row["leak"]) == pytest.approx(entry.leak, abs=0.005)
        assert row["range"] == f"{direction.amount_range[0]:g} to {direction.amount_range[1]:g}"
        assert row["is_clean"] == (entry.leak <= 0.25)  # type: ignore[operator]
        assert row["along"].replace("\\", "") != entry.main


def test_the_generator_came_closer_to_its_renders() -> None:
    """Recorded at each release: this one has to be closer than the first (12.9 at psi 1, with a floor of 4.0)."""
    report = json.loads((PAGE / "quality.json").read_text())
    assert report["frechet"]["drawn at psi 1"] - report["frechet"]["held-out against held-out"] < 12.9 - 4.0
    assert len(report["main_factors_within_10_percent"]) >= 15
    for kind, share in report["rates"]["held-out"].items():
        assert report["rates"]["drawn"][kind] > share / 2, kind
