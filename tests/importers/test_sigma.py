"""Sigma measured on the generator's own codes."""

from __future__ import annotations

import pytest
import torch

from eigan.errors import PackFormatError
from eigan.importers.sigma import measure_sigma, stream_codes
from eigan.layers import LayerRange
from hub_export.recipe import Recipe
from hub_export.sampling import stream_w
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_pggan import toy_pggan

GENERATOR = toy_generator()


def vectors(count: int, dim: int) -> torch.Tensor:
    rows = torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
    return rows / rows.norm(dim=1, keepdim=True)


def test_it_is_the_standard_deviation_of_the_projections() -> None:
    codes = torch.cat(list(stream_codes(GENERATOR, 3000, 7)))
    assert codes.shape == (3000, 8, 16)
    wanted = (codes[:, 0].double() @ vectors(3, 16).double().T).std(dim=0)
    torch.testing.assert_close(measure_sigma(GENERATOR, vectors(3, 16), num_samples=3000, seed=7), wanted)


def test_the_codes_are_those_that_a_fit_draws() -> None:
    recipe = Recipe("pca", num_samples=1500, seed=3)
    fitted = torch.cat(list(stream_w(GENERATOR, recipe)))
    torch.testing.assert_close(torch.cat(list(stream_codes(GENERATOR, 1500, 3)))[:, 0], fitted, atol=1e-5, rtol=1e-5)


def test_rows_of_layers_are_averaged_in_the_square() -> None:
    rows = vectors(3, 16)
    each = measure_sigma(GENERATOR, rows, num_samples=2000)
    together = measure_sigma(GENERATOR, rows[None], LayerRange(2, 5), num_samples=2000)
    torch.testing.assert_close(together[0], each.square().mean().sqrt())


def test_classes_are_drawn_uniformly_and_z_has_its_own_spread() -> None:
    conditional = toy_generator(c_dim=3)
    assert bool((measure_sigma(conditional, vectors(2, 16), num_samples=500) > 0).all())
    generator = toy_biggan()
    rows = torch.cat([vectors(2, 12), torch.zeros(2, 13)], dim=1)
    sigma = measure_sigma(generator, rows, num_samples=4000)
    assert bool(((sigma > 0.7) & (sigma < 1.1)).all())
    assert bool((measure_sigma(toy_pggan(), vectors(2, 12), num_samples=4000) > 0.9).all())


def test_a_direction_that_nothing_varies_along_is_refused() -> None:
    generator = toy_biggan()
    still = torch.zeros(1, generator.code_dim)
    still[0, -1] = 1  # the truncation, which all codes share
    with pytest.raises(PackFormatError, match="do not vary"):
        measure_sigma(generator, still, num_samples=100)
