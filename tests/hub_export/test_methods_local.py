"""Local directions: planted ones are found where principal components fail; any family; resumed to the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import FitError, FitInterrupted
from eigan.format import pack_files
from eigan.generators.base import Generator
from eigan.generators.layers import MappingNetwork
from hub_export import Recipe, fit
from hub_export.methods.local import OPPONENT, diagonalize, quadratic
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_pggan import toy_pggan

FEW = {"num_codes": 6, "cells": 4}


class MixedMapping(MappingNetwork):
    """w = M z: sources z that are independent, mixed by any matrix M."""

    matrix: Tensor

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        return z @ self.matrix.t()


def planted_generator() -> tuple[Generator, Tensor]:
    """A generator whose source k lights up place k of 4 x 4 alone; and the moves of the sources, unit rows (16, 16)."""
    generator = toy_generator()
    mixing = torch.randn(16, 16, generator=torch.Generator().manual_seed(3))
    generator.mapper.__class__ = MixedMapping
    generator.mapper.matrix = mixing
    inverse = torch.linalg.inv(mixing)

    def synthesis(codes: Tensor, **options: Any) -> Tensor:
        sources = codes.mean(dim=1) @ inverse.t()
        places = (sources * torch.linspace(0.2, 0.1, 16)).view(-1, 1, 4, 4)
        return places.repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)

    generator.synthesis = synthesis  # type: ignore[method-assign]
    return generator, torch.nn.functional.normalize(mixing.t(), dim=1)


def test_planted_moves_are_found_where_pca_fails() -> None:
    generator, planted = planted_generator()
    local = fit(generator, Recipe("local", num_samples=200_000, options=FEW))
    pca = fit(generator, Recipe("pca", num_samples=20_000))
    best = [
        (torch.stack([d.vector for d in pack]) @ planted.t()).abs().max(dim=0).values.min() for pack in (local, pca)
    ]
    assert best[0] > 0.99
    assert best[1] < 0.9
    assert all(d.metrics["locality"] > 0.9 for d in local)


def test_colours_count_as_places() -> None:
    opponent = torch.tensor(OPPONENT)
    assert torch.allclose(opponent @ opponent.t(), torch.eye(3), atol=1e-6)


@pytest.mark.parametrize("k", [2, 5, 9])
def test_a_joint_diagonal_is_found(k: int) -> None:
    random = torch.Generator().manual_seed(k)
    planted = torch.linalg.qr(torch.randn(k, k, generator=random).double())[0]
    spectra = torch.rand(40, k, generator=random).double() ** 4
    metrics = planted * spectra[:, None, :] @ planted.t()
    rotation, _ = diagonalize(metrics)
    matched = (rotation.t() @ planted).abs()
    assert torch.allclose(matched.max(dim=0).values, torch.ones(k).double(), atol=1e-6)
    assert torch.allclose(rotation.t() @ rotation, torch.eye(k).double(), atol=1e-10)
    assert torch.allclose(quadratic(metrics, rotation).sum(dim=1), spectra.sum(dim=1))


@pytest.mark.parametrize("make", [toy_biggan, toy_pggan])
def test_z_generators_move_z_alone(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_export.methods.local.Z_CODES", 1)
    generator = make()
    class_index, few = 1 if generator.c_dim else None, {"num_codes": 2, "cells": 4}
    pack = fit(generator, Recipe("local", num_directions=4, num_samples=500, class_index=class_index, options=few))
    for direction in pack:
        assert not direction.vector[generator.z_dim :].any()


def test_layers_not_named_are_left_alone() -> None:
    """Directions of different layers differ: changes are drawn with those layers moved alone."""
    generator = toy_generator()
    early, late = (
        fit(generator, Recipe("local", 4, 500, layers=layers, options={"num_codes": 2, "cells": 4}))
        for layers in ("0-1", "6-7")
    )
    assert not torch.allclose(early["local-00"].vector, late["local-00"].vector, atol=1e-3)


@pytest.mark.parametrize("stop", [1, 4])
def test_interrupted_and_resumed_is_uninterrupted(stop: int, tmp_path: Path) -> None:
    generator, recipe, state = toy_generator(), Recipe("local", 5, 500, options=FEW), tmp_path / "state.safetensors"

    def progress(done: int, total: int, what: str) -> None:
        if what == "local changes" and done == stop:
            raise KeyboardInterrupt

    with pytest.raises(FitInterrupted):
        fit(generator, recipe, progress=progress, state_path=state)
    seen: list[int] = []

    def watch(done: int, total: int, what: str) -> None:
        if what == "local changes":
            seen.append(done)

    resumed = fit(generator, recipe, progress=watch, state_path=state, resume=True)
    assert seen[0] == stop + 1
    assert pack_files(resumed, {}) == pack_files(fit(generator, recipe), {})


def test_too_large_a_problem_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_export.methods.local.MAX_BYTES", 10_000)
    with pytest.raises(FitError, match="fewer num_directions or cells"):
        fit(toy_generator(), Recipe("local", 16, 500, options=FEW))
