"""Random directions: uniform, seeded, of the numbers that vary, sorted by what the codes do along them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from eigan.errors import FitError
from hub_export import Recipe, fit
from hub_export.methods.random import varying_size
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan


def vectors_of(recipe: Recipe) -> Tensor:
    return torch.stack([d.vector for d in fit(toy_generator(), recipe)]).double()


def test_seeds_decide() -> None:
    recipes = [Recipe("random", num_samples=100, num_directions=8, seed=seed) for seed in (0, 0, 1)]
    one, again, other = (vectors_of(recipe) for recipe in recipes)
    assert torch.equal(one, again)
    assert float((one @ other.t()).abs().max()) < 0.95


def test_the_greatest_spread_comes_first() -> None:
    sigmas = [d.sigma for d in fit(toy_generator(), Recipe("random", num_samples=1000))]
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] > 1.2 * sigmas[-1]


def test_they_are_as_likely_anywhere() -> None:
    """Over many seeds, E[v vᵀ] = I / D."""
    vectors = torch.cat([vectors_of(Recipe("random", num_samples=50, seed=seed)) for seed in range(100)])
    second = vectors.t() @ vectors / len(vectors)
    assert float((second - torch.eye(16) / 16).abs().max()) < 0.01


def test_orthogonal_only_when_asked() -> None:
    free = vectors_of(Recipe("random", num_samples=100))
    assert float((free @ free.t() - torch.eye(16)).abs().max()) > 0.3
    orthogonal = vectors_of(Recipe("random", num_samples=100, options={"orthogonal": True}))
    assert float((orthogonal @ orthogonal.t() - torch.eye(16)).abs().max()) < 1e-6


def test_a_z_generator_is_moved_in_its_latent_only() -> None:
    generator = toy_biggan()
    size = varying_size(generator)
    assert size == generator.z_dim < generator.code_dim
    pack = fit(generator, Recipe("random", num_samples=100, options={"orthogonal": True}))
    vectors = torch.stack([d.vector for d in pack])
    assert len(vectors) == size
    assert bool((vectors[:, size:] == 0).all())
    with pytest.raises(FitError, match=f"{size + 1} orthogonal directions asked for; .* {size} dimensions"):
        fit(generator, Recipe("random", num_directions=size + 1, num_samples=100, options={"orthogonal": True}))
    assert len(fit(generator, Recipe("random", num_directions=size + 1, num_samples=100))) == size + 1
