"""ICA: planted sources, scikit-learn, honest convergence, and the same bytes whatever the threads or interruptions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from eigan.errors import FitError, FitInterrupted, NotConverged
from eigan.format import pack_files
from eigan.generators.layers import MappingNetwork
from eigan.generators.stylegan2 import StyleGAN2
from eigan.pack import DirectionPack
from hub_export import Recipe, fit
from hub_export.fast_ica import (
    MAX_BATCHED,
    MAX_CHUNK_ROWS,
    PATIENCE,
    SETTLING,
    Rows,
    Search,
    chunk_for,
    leads_nowhere,
    polar,
)
from hub_export.fit import shelf_path
from hub_export.sampling import stream_w
from hub_export.workers import single_threaded_workers
from tests.toys import toy_generator

SIZE = 16


class SourceMapping(MappingNetwork):
    """w = mixing (warp(z)): sources that are independent, not Gaussian, mixed by a matrix."""

    matrix: Tensor
    warp: Callable[[Tensor], Tensor]

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        w: Tensor = self.warp(z) @ self.matrix.t() + 1.5
        return w


def laplace(z: Tensor) -> Tensor:
    p = torch.special.ndtr(z.double()) - 0.5
    heavy: Tensor = -p.sign() * torch.log1p(-2 * p.abs())
    return heavy.float()


def mixed(z: Tensor) -> Tensor:
    """Long-tailed, flat and skewed sources in turn."""
    p = torch.special.ndtr(z.double()).clamp(1e-12, 1 - 1e-12)
    skewed = -torch.log1p(-p)
    kinds = [laplace(z).double(), p - 0.5, skewed]
    return torch.stack([kinds[k % 3][:, k] for k in range(z.shape[1])], dim=1).float()


def cubed(z: Tensor) -> Tensor:
    """Sources that depend on each other: what is nearly independent is decided by little."""
    return z + 0.3 * z.roll(1, dims=1) * z.roll(2, dims=1)


def source_generator(warp: Callable[[Tensor], Tensor], seed: int = 3) -> tuple[StyleGAN2, Tensor]:
    """A generator whose w mixes 16 sources, and the mixing matrix (16, 16)."""
    generator = toy_generator()
    mixing = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    generator.mapper.__class__ = SourceMapping
    generator.mapper.matrix = mixing
    vars(generator.mapper)["warp"] = warp
    return generator, mixing


def vectors_of(pack: DirectionPack) -> Tensor:
    return torch.stack([d.vector for d in pack]).double()


def matched(mine: Tensor, theirs: Tensor) -> Tensor:
    """|cos| of the best one-to-one match between rows."""
    cosines = (torch.nn.functional.normalize(mine, dim=1) @ torch.nn.functional.normalize(theirs, dim=1).t()).abs()
    rows, columns = linear_sum_assignment(-cosines.numpy())
    return cosines[rows, columns]


def as_bytes(pack: DirectionPack) -> dict[str, bytes]:
    return pack_files(pack, {})


@pytest.mark.parametrize("matrix", ["unmixing", "mixing"])
@pytest.mark.parametrize("warp", [laplace, mixed])
def test_planted_sources_are_found(warp: Callable[[Tensor], Tensor], matrix: str) -> None:
    generator, mixing = source_generator(warp)
    pack = fit(generator, Recipe("ica", num_samples=60_000, num_directions=SIZE, options={"matrix": matrix}))
    planted = torch.linalg.inv(mixing) if matrix == "unmixing" else mixing.t()
    assert float(matched(vectors_of(pack), planted.double()).min()) > 0.995
    sigmas = [d.sigma for d in pack]
    assert sigmas == sorted(sigmas, reverse=True)
    assert pack.method["converged"] is True
    assert pack.method["limit"] < 1e-4
    assert pack.method["history"]["limit"][-1] == pack.method["limit"]
    assert len(pack.method["history"]["limit"]) == len(pack.method["history"]["iteration"]) <= 200


def test_a_mixing_direction_moves_one_source_only() -> None:
    generator, mixing = source_generator(mixed)
    unmixing = torch.linalg.inv(mixing).double()
    for matrix, others in (("mixing", 0.1), ("unmixing", 0.1)):
        pack = fit(generator, Recipe("ica", num_samples=60_000, num_directions=SIZE, options={"matrix": matrix}))
        moved = (unmixing @ vectors_of(pack).t()).abs()  # (sources, directions)
        share = moved.sort(dim=0, descending=True).values
        worst = float((share[1] / share[0]).max())
        assert (worst < others) == (matrix == "mixing"), (matrix, worst)


def test_sign_and_metrics_are_those_of_the_source() -> None:
    generator, _ = source_generator(mixed)
    recipe = Recipe("ica", num_samples=20_000, num_directions=SIZE)
    pack = fit(generator, recipe)
    w = torch.cat(list(stream_w(generator, recipe.resolve(generator)))).double()
    sources = (w - w.mean(dim=0)) @ vectors_of(pack).t()  # an unmixing direction is its source, up to scale
    sources = sources / sources.square().mean(dim=0).sqrt()
    log_cosh = torch.log(torch.cosh(sources)).mean(dim=0)
    v = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    gaussian = torch.trapezoid(torch.log(torch.cosh(v)) * torch.exp(-v * v / 2), v) / (2 * torch.pi) ** 0.5
    expected = {
        "skewness": sources.pow(3).mean(dim=0),
        "excess_kurtosis": sources.pow(4).mean(dim=0) - 3,
        "negentropy": (log_cosh - gaussian).square(),
    }
    for name, values in expected.items():
        found = torch.tensor([d.metrics[name] for d in pack], dtype=torch.float64)
        assert torch.allclose(found, values, rtol=1e-3, atol=1e-4), name
    assert all(d.metrics["skewness"] >= 0 for d in pack)


@pytest.mark.parametrize(("warp", "agreement"), [(mixed, 0.9999), (laplace, 0.9995)])
def test_agrees_with_scikit_learn(warp: Callable[[Tensor], Tensor], agreement: float) -> None:
    """The same samples, tolerance and number of sources: fewer than the codes have dimensions."""
    generator, _ = source_generator(warp)
    recipe = Recipe("ica", num_samples=30_000, num_directions=10).resolve(generator)
    w = torch.cat(list(stream_w(generator, recipe)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        oracle = FastICA(10, whiten="unit-variance", tol=1e-4, max_iter=1000, random_state=0).fit(w.double().numpy())
    found = matched(vectors_of(fit(generator, recipe)), torch.from_numpy(oracle.components_))
    assert float(found.median()) > agreement
    assert float(found.min()) > 0.99


def search_to(rows: Rows, start: Search, limit: float, most: int = 1000) -> Search:
    search = start
    while search.limit >= limit and len(search.limits) < most:
        search = search.advance(rows.sums(search.rotation))
    return search


def whitened(warp: Callable[[Tensor], Tensor], count: int, size: int = SIZE) -> Tensor:
    x = warp(torch.randn(count, size, generator=torch.Generator().manual_seed(1))).double()
    x = x - x.mean(dim=0)
    values, columns = torch.linalg.eigh(x.t() @ x / count)
    white: Tensor = (x @ columns / values.sqrt()).float()
    return white


def test_quick_steps_end_where_fastica_would_stay() -> None:
    """Of a fixed point FastICA's own step moves nothing, whichever way it was reached; and it is no worse a one."""
    x = whitened(cubed, 20_000)
    with single_threaded_workers(1) as pool:
        rows = Rows(x, len(x), pool)
        start = Search.start(torch.Generator().manual_seed(0), SIZE)
        search = search_to(rows, start, 1e-10)
        assert search.quick
        rotation = search.best
        for _ in range(3):
            sums = rows.sums(rotation)
            moved = polar(sums.cross - sums.slopes[:, None] * rotation)
            assert float(((moved * rotation).sum(dim=1).abs() - 1).abs().max()) < 1e-9
            rotation = moved
        plain = start.rotation
        for _ in range(len(search.limits)):
            sums = rows.sums(plain)
            plain = polar(sums.cross - sums.slopes[:, None] * plain)
        contrast = [rows.shape(r)[2].sqrt().sum() for r in (search.best, plain)]
    assert float(contrast[0]) > 0.999 * float(contrast[1])


def test_its_own_steps_are_fastica_to_the_letter() -> None:
    """W <- polar(E[g(Wx) xᵀ] - diag(E[g'(Wx)]) W), in float64, from the definition."""
    x = whitened(laplace, 5000, 5)
    with single_threaded_workers(1) as pool:
        rows = Rows(x, len(x), pool)
        search = Search.start(torch.Generator().manual_seed(2), 5)
        for _ in range(4):
            w, data = search.rotation.numpy(), x.double().numpy()
            g = np.tanh(data @ w.T)
            step = g.T @ data / len(data) - np.diag((1 - g**2).mean(axis=0)) @ w
            values, columns = np.linalg.eigh(step @ step.T)
            expected = columns @ np.diag(values**-0.5) @ columns.T @ step
            limit = np.abs(np.abs(np.sum(expected * w, axis=1)) - 1).max()
            search = search.advance(rows.sums(search.rotation))
            signs = np.sign(np.sum(expected * w, axis=1))[:, None]
            assert np.allclose(search.rotation.numpy(), signs * expected, atol=1e-5)
            assert search.limits[-1] == pytest.approx(limit, rel=1e-3, abs=1e-8)
    assert not search.quick


@pytest.mark.parametrize("size", [7, MAX_BATCHED + 8])
@given(chunk_blocks=st.integers(1, 12))
@settings(max_examples=6, deadline=None)
def test_chunks_do_not_matter(size: int, chunk_blocks: int) -> None:
    x = whitened(laplace, 9 * 1024 + 100, size)
    rotation = Search.start(torch.Generator().manual_seed(0), size).rotation
    with single_threaded_workers(2) as pool:
        plain = Rows(x, len(x), pool).sums(rotation)
        other = Rows(x, len(x), pool, chunk_rows=chunk_blocks * 1024).sums(rotation)
    assert float((plain.cross - other.cross).abs().max()) < 1e-7
    assert float((plain.slopes - other.slopes).abs().max()) < 1e-14


def test_sums_are_exact() -> None:
    for size in (7, MAX_BATCHED + 8):
        x = whitened(laplace, 9 * 1024 + 100, size)
        rotation = Search.start(torch.Generator().manual_seed(0), size).rotation
        with single_threaded_workers(2) as pool:
            found = Rows(x, len(x), pool).sums(rotation)
        y = torch.tanh(x.double() @ rotation.t())
        assert float((found.cross - y.t() @ x.double() / len(x)).abs().max()) < 2e-7
        assert float((found.slopes - (1 - y.square().mean(dim=0))).abs().max()) < 2e-7


def test_chunks_are_whole_blocks() -> None:
    assert [chunk_for(size) for size in (1, 20, 100, 512, 4096)] == [MAX_CHUNK_ROWS, MAX_CHUNK_ROWS, 5120, 1024, 1024]


def test_when_fastica_leads_nowhere() -> None:
    assert not leads_nowhere(tuple(0.5 for _ in range(SETTLING - 1)))
    assert leads_nowhere(tuple(0.5 for _ in range(SETTLING)))
    assert not leads_nowhere(tuple(0.05 * 0.9**i for i in range(40)))  # halves within 7
    assert leads_nowhere(tuple(0.05 * 0.99**i for i in range(PATIENCE + 1)))
    assert not leads_nowhere(tuple(0.05 * 0.99**i for i in range(PATIENCE)))


def test_no_number_of_threads_changes_a_byte() -> None:
    generator, before = source_generator(cubed)[0], torch.get_num_threads()
    packs = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            packs.append(as_bytes(fit(generator, Recipe("ica", num_samples=50_000, num_directions=12))))
    finally:
        torch.set_num_threads(before)
    assert packs[0] == packs[1] == packs[2]


@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_resumed_is_uninterrupted_to_the_byte(stop_at: int, tmp_path: Path) -> None:
    generator = source_generator(cubed)[0]
    recipe = Recipe("ica", num_samples=9000, num_directions=8, options={"tolerance": 1e-8})
    expected = fit(generator, recipe)
    assert expected.method["iterations"] > 11

    def stop(done: int, total: int, what: str) -> None:
        if what == "separating" and done == stop_at:
            raise KeyboardInterrupt

    state = tmp_path / "state.safetensors"
    with pytest.raises(FitInterrupted):
        fit(generator, recipe, progress=stop, state_path=state)
    assert shelf_path(state).is_file()  # type: ignore[union-attr]
    seen: list[int] = []

    def watch(done: int, total: int, what: str) -> None:
        if what == "separating":
            seen.append(done)

    resumed = fit(generator, recipe, progress=watch, state_path=state, resume=True)
    assert seen[0] == stop_at + 1
    assert as_bytes(resumed) == as_bytes(expected)


def test_interrupted_before_the_search_begins_again(tmp_path: Path) -> None:
    generator, recipe = source_generator(laplace)[0], Recipe("ica", num_samples=9000, num_directions=4)

    def stop(done: int, total: int, what: str) -> None:
        if what == "projecting":
            raise KeyboardInterrupt

    state = tmp_path / "state.safetensors"
    with pytest.raises(FitInterrupted):
        fit(generator, recipe, progress=stop, state_path=state)
    assert as_bytes(fit(generator, recipe, state_path=state, resume=True)) == as_bytes(fit(generator, recipe))


@pytest.mark.parametrize("name", ["rotation", "steps", "limits"])
def test_a_search_of_other_shapes_is_refused(name: str) -> None:
    start = Search.start(torch.Generator(), 4)
    assert torch.equal(Search.restore(start.tensors(), 4).rotation, start.rotation)
    with pytest.raises(FitError, match="cannot be used"):
        Search.restore(start.tensors(), 5)
    with pytest.raises(FitError, match="cannot be used"):
        Search.restore({key: value for key, value in start.tensors().items() if key != name}, 4)


def options_of(**options: Any) -> Recipe:
    return Recipe("ica", num_samples=9000, num_directions=8, options={"max_iterations": 3, **options})


def test_convergence_is_told_honestly() -> None:
    generator = source_generator(cubed)[0]
    with pytest.raises(
        NotConverged, match=r"ICA of 8 sources reached a limit of \S+ in 3 iterations; wanted less than"
    ):
        fit(generator, options_of())
    pack = fit(generator, options_of(allow_unconverged=True))
    assert pack.method["converged"] is False
    assert pack.method["iterations"] == 3
    assert pack.method["limit"] == min(pack.method["history"]["limit"]) >= 1e-4


def test_the_best_iterate_is_the_one_kept() -> None:
    x = whitened(cubed, 4000)
    with single_threaded_workers(1) as pool:
        rows = Rows(x, len(x), pool)
        search = Search.start(torch.Generator().manual_seed(0), SIZE)
        found = []
        for _ in range(30):
            search = search.advance(rows.sums(search.rotation))
            found.append(search)
    best = min(range(30), key=lambda i: found[i].limits[i])
    assert best < 29 or search.limits[-1] == search.limit
    assert torch.equal(search.best, found[best].best)
    assert torch.allclose(search.best @ search.best.t(), torch.eye(SIZE).double(), atol=1e-12)


def test_fewer_dimensions_than_sources_are_refused() -> None:
    generator, mixing = source_generator(laplace)
    mixing[:, 12:] = 0
    with pytest.raises(FitError, match="codes vary in 12 dimensions only; 14 sources .* num_directions=12"):
        fit(generator, Recipe("ica", num_samples=5000, num_directions=14))


def test_defaults_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = toy_generator()
    assert Recipe("ica").resolve(generator).num_directions == 16  # of 20, as many as w has numbers
    assert Recipe("ica", num_directions=3).resolve(generator).num_directions == 3
    monkeypatch.setattr(generator, "code_space", "z")
    with pytest.raises(FitError, match="ica finds nothing in the z"):
        Recipe("ica").resolve(generator)


@pytest.mark.parametrize(
    "options", [{"tolerance": 0}, {"tolerance": 1}, {"max_iterations": 0}, {"matrix": "inverse"}, {"alpha": 1}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(FitError):
        Recipe("ica", options=options)
