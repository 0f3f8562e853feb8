"""Moments are those of float64, whatever the pieces, and survive a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from eigan.errors import FitError
from hub_export.moments import Moments


def sample_rows(count: int, dim: int = 12, seed: int = 0) -> Tensor:
    """Correlated rows far from the origin: means 50 times their spread."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=random) @ torch.randn(dim, dim, generator=random) + 50


def gathered(rows: Tensor, step: int) -> Moments:
    moments = Moments(rows.shape[1])
    for start in range(0, len(rows), step):
        moments.update(rows[start : start + step])
    return moments


@given(count=st.integers(2, 3000), step=st.integers(1, 1500))
@settings(max_examples=30, deadline=None)
def test_moments_are_those_of_float64(count: int, step: int) -> None:
    step = max(step, count // 50)
    rows = sample_rows(count)
    moments = gathered(rows, step)
    covariance = rows.double().t().cov()
    scale = float(covariance.abs().max())
    assert moments.count == count
    assert torch.allclose(moments.mean, rows.double().mean(dim=0), rtol=1e-6)
    assert torch.allclose(moments.covariance, covariance, rtol=0, atol=1e-5 * scale)
    assert torch.equal(moments.covariance, moments.covariance.t())


def test_variances_of_a_long_stream_agree_to_a_millionth() -> None:
    rows = sample_rows(200_000, dim=32)
    ours = torch.linalg.eigvalsh(gathered(rows, 1024).covariance)
    exact = torch.linalg.eigvalsh(rows.double().t().cov())
    assert float((ours / exact - 1).abs().max()) < 1e-4
    assert float((ours / exact - 1).abs()[-16:].max()) < 1e-6


@given(cut=st.integers(0, 2000), step=st.integers(100, 900))
@settings(max_examples=20, deadline=None)
def test_merged_parts_are_the_whole(cut: int, step: int) -> None:
    rows = sample_rows(2000)
    left, right, whole = gathered(rows[:cut], step), gathered(rows[cut:] + 0, step), gathered(rows, step)
    left.merge(right)
    assert left.count == 2000
    assert torch.allclose(left.mean, whole.mean)
    assert torch.allclose(left.covariance, whole.covariance, rtol=1e-4, atol=1e-4)
    left.update(rows[:5])  # a merged set goes on like any other
    assert left.count == 2005
    assert right.count == 2000 - cut


def test_a_piece_that_is_not_finite_is_refused_and_not_taken_in() -> None:
    moments = gathered(sample_rows(100), 50)
    before = moments.covariance
    bad = sample_rows(10)
    bad[3, 4] = float("nan")
    with pytest.raises(FitError, match="between rows 100 and 110"):
        moments.update(bad)
    assert moments.count == 100
    assert torch.equal(moments.covariance, before)


def test_too_few_rows() -> None:
    moments = Moments(3)
    with pytest.raises(FitError, match="0 samples"):
        _ = moments.mean
    moments.update(torch.ones(1, 3))
    with pytest.raises(FitError, match="1 samples"):
        _ = moments.covariance
    moments.update(torch.ones(0, 3))
    assert moments.count == 1


def test_an_update_that_is_stopped_midway_leaves_the_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    import hub_export.moments as module

    rows = sample_rows(300)
    moments, whole = gathered(rows[:200], 100), gathered(rows, 100)
    real, calls = module.np.add, []

    def add(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        result = real(*arguments, **keywords)
        if len(calls) == 2:  # both sums written, not yet swapped in
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module.np, "add", add)
        with pytest.raises(KeyboardInterrupt):
            moments.update(rows[200:])
    assert moments.count == 200
    moments.update(rows[200:])
    assert torch.equal(moments.covariance, whole.covariance)


def test_a_file_keeps_every_bit(tmp_path: Path) -> None:
    rows = sample_rows(700)
    moments = gathered(rows[:300], 100)
    moments.save(tmp_path / "deep" / "state.safetensors", {"seed": "3"})
    loaded, notes = Moments.load(tmp_path / "deep" / "state.safetensors")
    assert notes == {"seed": "3"}
    for start in range(300, 700, 100):
        loaded.update(rows[start : start + 100])
    assert torch.equal(loaded.covariance, gathered(rows, 100).covariance)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "shape", "dtype", "count", "nan", "flat", "folder"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.safetensors"
    gathered(sample_rows(10), 5).save(path, {})
    tensors = {"shift": torch.zeros(3), "total": torch.zeros(3).double(), "outer": torch.zeros(3, 3).double()}
    count = "4"
    if damage in ("missing", "folder"):
        path.unlink()
        if damage == "folder":
            path.mkdir()
    elif damage == "text":
        path.write_text("no tensors here")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        if damage == "shape":
            tensors["outer"] = torch.zeros(3, 4).double()
        elif damage == "dtype":
            tensors["total"] = torch.zeros(3)
        elif damage == "nan":
            tensors["outer"][0, 0] = float("nan")
        elif damage == "flat":
            tensors["total"] = torch.tensor(0.0).double()
        else:
            count = "many"
        save_file(tensors, path, {"count": count})
    with pytest.raises(FitError, match="fit again without resuming"):
        Moments.load(path)
