"""The contract of every method, and each against its oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from eigan.errors import FitError, UnknownName
from eigan.generators.layers import MappingNetwork
from eigan.generators.stylegan2 import StyleGAN2
from eigan.layers import LayerRange
from hub_export import Recipe, fit
from hub_export.methods import METHODS, Basis, Problem
from hub_export.methods.base import orient, top_eigenvectors
from hub_export.methods.sefa import BLOCK_COLUMNS, factorize
from hub_export.moments import Moments
from hub_export.sampling import stream_w
from tests.toys import toy_generator

QUICK = {"latentclr": {"iterations": 3, "batch": 2}, "local": {"num_codes": 4}}
STRENGTHS = {"latentclr": "positive_similarity", "local": "strength"}  # what a method sorts by, if not "eigenvalue"
BY_SPREAD = ("ica", "random")  # sorted by the variance of the codes along them


class LinearMapping(MappingNetwork):
    """w = z Aᵀ + b: codes whose covariance A Aᵀ is known."""

    matrix: Tensor

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        return z @ self.matrix.t() + 3.0


def linear_generator(scales: Tensor) -> tuple[StyleGAN2, Tensor]:
    """A generator with standard deviations `scales` (16,) along planted directions, and these, as rows (16, 16)."""
    generator = toy_generator()
    planted = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(3)))[0]
    generator.mapper.__class__ = LinearMapping
    generator.mapper.matrix = planted * scales
    return generator, orient(planted.t())


def solve(generator: StyleGAN2, recipe: Recipe) -> Basis:
    recipe = recipe.resolve(generator)
    moments = Moments(generator.code_dim)
    for rows in stream_w(generator, recipe):
        moments.update(rows)
    return METHODS[recipe.method].solve(Problem(generator, recipe, recipe.layer_range(generator), moments))


def spreads(generator: StyleGAN2, recipe: Recipe, basis: Basis) -> Tensor:
    """Variances of the codes along the directions, (K,)."""
    w = torch.cat(list(stream_w(generator, recipe.resolve(generator)))).double()
    return (w @ basis.vectors.double().t()).var(dim=0)


@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("name", METHODS)
def test_contract(name: str, c_dim: int) -> None:
    generator = toy_generator(c_dim=c_dim)
    options = QUICK.get(name)
    recipe = Recipe(name, num_directions=10, num_samples=5000, seed=2, layers="2-6", options=options)
    basis, again = solve(generator, recipe), solve(generator, recipe)
    assert basis.vectors.shape == (10, 16)
    assert basis.vectors.dtype == torch.float32
    assert bool(basis.vectors.isfinite().all())
    assert torch.allclose(basis.vectors.norm(dim=1), torch.ones(10), atol=1e-6)
    assert torch.equal(basis.vectors, again.vectors)
    if name == "ica":  # signed by its sources: the long tail is the positive side
        assert bool((basis.metrics["skewness"] >= 0).all())
    else:
        assert torch.equal(basis.vectors, orient(basis.vectors))
    for values in basis.metrics.values():
        assert values.shape == (10,)
    strengths = (
        spreads(generator, recipe, basis) if name in BY_SPREAD else basis.metrics[STRENGTHS.get(name, "eigenvalue")]
    )
    assert bool((strengths[:-1] >= strengths[1:]).all())


@pytest.mark.parametrize("name", METHODS)
def test_sigma_is_the_spread_of_the_codes(name: str) -> None:
    generator = toy_generator()
    recipe = Recipe(name, num_samples=5000, options=QUICK.get(name)).resolve(generator)
    w = torch.cat(list(stream_w(generator, recipe))).double()
    for direction in fit(generator, recipe):
        spread = float((w @ direction.vector.double()).std())
        assert direction.sigma == pytest.approx(spread, rel=1e-5)
        total = float(w.var(dim=0).sum())
        assert direction.metrics["explained_variance_ratio"] == pytest.approx(spread**2 / total, rel=1e-5)


def test_pca_recovers_planted_directions() -> None:
    scales = torch.linspace(4.0, 0.5, 16)
    generator, planted = linear_generator(scales)
    basis = solve(generator, Recipe("pca", num_samples=150_000))
    cosines = (basis.vectors * planted).sum(dim=1)
    assert float(cosines.min()) > 0.999
    assert torch.allclose(basis.metrics["eigenvalue"].sqrt().float(), scales, rtol=0.01)


@pytest.mark.parametrize("num_samples", [900, 12_345])
def test_pca_agrees_with_scikit_learn(num_samples: int) -> None:
    generator = toy_generator()
    recipe = Recipe("pca", num_samples=num_samples).resolve(generator)
    w = torch.cat(list(stream_w(generator, recipe))).numpy()
    oracle = PCA(n_components=16, svd_solver="full").fit(w.astype(np.float64))
    pack = fit(generator, recipe)
    for i, direction in enumerate(pack):
        assert direction.metrics["eigenvalue"] == pytest.approx(oracle.explained_variance_[i], rel=1e-4)
        assert direction.metrics["explained_variance_ratio"] == pytest.approx(
            oracle.explained_variance_ratio_[i], rel=1e-4
        )
        gaps = np.abs(np.delete(oracle.explained_variance_, i) / oracle.explained_variance_[i] - 1)
        if gaps.min() > 0.01:
            assert abs(float(direction.vector.numpy() @ oracle.components_[i])) > 0.9999


@pytest.mark.parametrize("layers", [LayerRange(0, 8), LayerRange(3, 5)])
@pytest.mark.parametrize("normalize", ["column", "none"])
def test_sefa_agrees_with_numpy(normalize: str, layers: LayerRange) -> None:
    generator = toy_generator()
    a = generator.style_weights(layers).numpy().astype(np.float64)
    if normalize == "column":
        a = a / np.linalg.norm(a, axis=0, keepdims=True)
    values, columns = np.linalg.eigh(a @ a.T)
    basis = solve(generator, Recipe("sefa", num_samples=100, layers=str(layers), options={"normalize": normalize}))
    assert np.allclose(basis.metrics["eigenvalue"], values[::-1], rtol=0, atol=1e-6 * values.max())
    assert np.allclose(np.abs((basis.vectors.numpy() * columns.T[::-1]).sum(axis=1)), 1, atol=1e-5)


def test_sefa_finds_what_the_weights_amplify() -> None:
    direction = torch.nn.functional.normalize(torch.arange(1.0, 9.0), dim=0)
    weights = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    weights = weights + 20 * torch.outer(direction, torch.linspace(0.5, 1, 30))
    for normalize in ("column", "none"):
        found, _ = factorize(weights, 1, normalize)
        assert abs(float(found[0].float() @ direction)) > 0.999


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_sefa_bears_weights_whose_squares_are_beyond_float32(scale: float) -> None:
    weights = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    for normalize, power in (("column", 0), ("none", 2)):
        vectors, values = factorize(weights, 8, normalize)
        found, scaled = factorize(weights * scale, 8, normalize)
        assert torch.allclose(found, vectors, atol=1e-5)
        assert torch.allclose(scaled / scale**power, values, rtol=1e-5)


@pytest.mark.parametrize("width", [BLOCK_COLUMNS - 1, 2 * BLOCK_COLUMNS + 7])
def test_sefa_of_many_columns_is_that_of_float64(width: int) -> None:
    weights = torch.randn(96, width, generator=torch.Generator().manual_seed(0)) * torch.linspace(2, 0.5, 96)[:, None]
    a = weights.double() / weights.double().norm(dim=0)
    expected, eigenvalues = top_eigenvectors(a @ a.t(), 20)
    found, values = factorize(weights, 20)
    assert float((found * expected).sum(dim=1).min()) > 1 - 1e-8
    assert torch.allclose(values, eigenvalues, rtol=1e-6)


def test_sefa_bears_columns_of_zeros() -> None:
    found, values = factorize(torch.cat([torch.eye(4), torch.zeros(4, 2)], dim=1), 4)
    assert bool(found.isfinite().all())
    assert torch.allclose(values, torch.ones(4).double())


def test_signs_follow_the_rule() -> None:
    vectors = torch.tensor([[0.1, -0.9, 0.2], [0.5, 0.5, -0.5], [-0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.1, 0.9, -0.2], [0.5, 0.5, -0.5], [0.5, -0.5, -0.5], [0.0, 0.0, 0.0]])
    assert torch.equal(orient(vectors), expected)
    found, values = top_eigenvectors(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2)
    assert torch.equal(values, torch.tensor([3.0, 2.0]).double())
    assert torch.equal(found, torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).double())


def test_unknown_methods_are_named_with_the_known() -> None:
    with pytest.raises(UnknownName, match="unknown method 'pcaa'; known: .*pca, ica, sefa"):
        Recipe("pcaa")


def test_directions_without_variance_are_refused() -> None:
    generator, _ = linear_generator(torch.tensor([1.0] * 12 + [0.0] * 4))
    with pytest.raises(FitError, match="num_directions=12"):
        fit(generator, Recipe("pca", num_samples=5000))
    assert len(fit(generator, Recipe("pca", num_samples=5000, num_directions=12))) == 12


def test_pca_of_isotropic_codes_is_that_of_the_first_stage() -> None:
    generator = toy_generator()
    generator.code_space = "z"
    assert fit(generator, Recipe("pca", num_samples=500, num_directions=2)).method["stage"] == "b4"
    assert len(fit(generator, Recipe("sefa", num_samples=500))) == 16
