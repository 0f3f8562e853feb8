"""PCA of activations: against scikit-learn and least squares, its closed form, and what no interruption changes."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import Tensor
from typer.testing import CliRunner

import hub_export.range_finder as range_finder
from eigan.errors import FitError, FitInterrupted, UnknownName
from eigan.format import pack_files, read_pack
from eigan.generators.base import Generator
from eigan.generators.biggan import BigGAN
from eigan.pack import DirectionPack
from eigan.readers.safetensors import save_generator
from hub_export import Recipe, fit
from hub_export.activations import Activations
from hub_export.cli import app
from hub_export.fit import shelf_path
from hub_export.range_finder import orthonormal_rows
from hub_export.shelf import read_tensors, write_tensors
from tests.hub_export.worlds import fit_toy, run_world
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_fastgan import toy_fastgan
from tests.toys_pggan import toy_pggan

pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = 700
SMALL = Recipe("pca", num_samples=ROWS, num_directions=3, options={"stage": "layer1", "oversampling": 4})


def decaying_biggan() -> BigGAN:
    """A toy whose gen_z varies along directions of well separated strengths."""
    generator = toy_biggan()
    columns = generator.gen_z.weight[:, : generator.z_dim]
    left, _, right = torch.linalg.svd(columns, full_matrices=False)
    columns.copy_(left * 0.7 ** torch.arange(generator.z_dim) @ right)
    return generator


def cosines(one: DirectionPack, other: DirectionPack) -> Tensor:
    return torch.stack([(a.vector @ b.vector).abs() for a, b in zip(one, other, strict=True)])


def drawn(generator: Generator, recipe: Recipe, stage: str) -> tuple[np.ndarray, np.ndarray]:
    """All activations and latents that a fit of `recipe` sees, float64."""
    source = Activations.of(generator, recipe.resolve(generator), stage)
    pieces = list(source.over(lambda x, latents: (x, latents)))
    return tuple(torch.cat(column).double().numpy() for column in zip(*pieces, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("make", "stage", "values"),
    [
        (toy_pggan, "layer2", {}),
        (lambda: toy_pggan(c_dim=3), "layer1", {"class_index": 2}),
        (toy_biggan, "layers.1", {"class_index": 1}),
        (toy_generator, "b8", {}),
        (toy_fastgan, "feat_8", {}),
    ],
    ids=["pggan", "pggan of classes", "biggan", "stylegan2", "fastgan"],
)
def test_a_stage_agrees_with_scikit_learn_and_least_squares(make: Any, stage: str, values: dict[str, Any]) -> None:
    """GANSpace's recipe, exactly: PCA by full SVD, coordinates in sigmas, latents regressed on them."""
    generator, count = make(), 5
    options = {"stage": stage, "passes": 6}
    recipe = Recipe("pca", num_directions=count, num_samples=400, seed=3, options=options, **values)
    pack = fit(generator, recipe)
    x, latents = drawn(generator, recipe, stage)
    oracle = PCA(n_components=count, svd_solver="full").fit(x)
    coordinates = (x - oracle.mean_) @ oracle.components_.T / np.sqrt(oracle.explained_variance_)
    moves = np.linalg.lstsq(coordinates, latents - latents.mean(axis=0), rcond=None)[0]
    predicted = np.linalg.lstsq(latents - latents.mean(axis=0), coordinates, rcond=None)[0]
    unexplained = coordinates - (latents - latents.mean(axis=0)) @ predicted
    for k, direction in enumerate(pack):
        metrics, norm = direction.metrics, np.linalg.norm(moves[k])
        assert metrics["eigenvalue"] == pytest.approx(oracle.explained_variance_[k], rel=2e-4)
        assert metrics["activation_variance_ratio"] == pytest.approx(oracle.explained_variance_ratio_[k], rel=2e-4)
        assert metrics["linearity"] == pytest.approx(1 - unexplained[:, k].var() / coordinates[:, k].var(), abs=2e-3)
        assert metrics["displacement"] == pytest.approx(norm, rel=5e-3)
        moving = direction.vector.numpy()[: latents.shape[1]]
        assert abs(float(moving @ moves[k])) / norm > 0.999
        assert not direction.vector[latents.shape[1] :].any()
    assert pack.method["stage_size"] == x.shape[1]


def test_closed_form_is_the_singular_value_decomposition_of_the_weights() -> None:
    generator = toy_biggan()
    pack = fit(generator, Recipe("pca", num_samples=2000))
    weights = generator.gen_z.weight[:, : generator.z_dim].double().numpy()
    _, strengths, right = np.linalg.svd(weights, full_matrices=False)
    variance = 0.7737  # of a standard normal within ±2: 1 - 4 φ(2) / (2 Φ(2) - 1)
    for k, direction in enumerate(pack):
        assert abs(float(direction.vector.double().numpy()[: generator.z_dim] @ right[k])) > 1 - 1e-7
        assert direction.metrics["eigenvalue"] == pytest.approx(variance * strengths[k] ** 2, rel=0.02)
        assert direction.metrics["displacement"] == pytest.approx(direction.sigma, rel=0.03)
    ratios = [d.metrics["activation_variance_ratio"] for d in pack]
    assert ratios == pytest.approx(strengths**2 / (strengths**2).sum())
    assert len(pack) == generator.z_dim
    assert pack.method["solver"] == "closed form"


def test_the_sampled_way_agrees_with_the_closed_form() -> None:
    generator = decaying_biggan()
    closed = fit(generator, Recipe("pca", num_samples=20_000, num_directions=10))
    options = {"closed_form": False, "passes": 2}
    sampled = fit(generator, Recipe("pca", num_samples=20_000, num_directions=10, class_index=4, options=options))
    assert float(cosines(closed, sampled).min()) > 0.999
    for one, other in zip(closed, sampled, strict=True):
        assert other.metrics["linearity"] == pytest.approx(1, abs=1e-6)
        for name in ("eigenvalue", "activation_variance_ratio", "displacement"):
            assert one.metrics[name] == pytest.approx(other.metrics[name], rel=0.05)


def test_closed_form_is_that_of_every_class() -> None:
    generator = toy_biggan()
    packs = [fit(generator, Recipe("pca", num_samples=500, class_index=index)) for index in (None, 0, 3)]
    assert all(float(cosines(packs[0], pack).min()) > 1 - 1e-6 for pack in packs)


def test_only_z_moves() -> None:
    generator = toy_biggan()
    for recipe in (
        Recipe("pca", num_samples=500),
        Recipe("pca", num_samples=500, class_index=0, options={"stage": "layers.0"}),
    ):
        vectors = torch.stack([d.vector for d in fit(generator, recipe)])
        assert not vectors[:, generator.z_dim :].any()


def test_more_passes_come_nearer() -> None:
    generator, errors = decaying_biggan(), []
    values: dict[str, Any] = {"num_directions": 4, "num_samples": ROWS, "class_index": 0}
    x, _ = drawn(generator, Recipe("pca", **values), "gen_z")
    exact = np.linalg.eigvalsh(np.cov(x.T))[::-1][:4]
    for passes in (2, 3, 4):
        options = {"closed_form": False, "passes": passes, "oversampling": 0}
        found = np.array([d.metrics["eigenvalue"] for d in fit(generator, Recipe("pca", **values, options=options))])
        assert bool((found < exact * (1 + 1e-5)).all())  # Rayleigh-Ritz: never more than there is
        errors.append(float((1 - found / exact).max()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0


@given(rows=st.integers(1, 12), size=st.integers(12, 80), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_orthonormal_rows_span_those_given(rows: int, size: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    given = torch.randn(rows, size, generator=random) * torch.logspace(0, -3, rows)[:, None]
    basis = orthonormal_rows(given)
    assert torch.allclose(basis @ basis.t(), torch.eye(rows), atol=1e-5)
    assert torch.allclose(given @ basis.t() @ basis, given, atol=1e-5 * float(given.abs().max()))


def as_bytes(pack: DirectionPack) -> dict[str, bytes]:
    return pack_files(pack, {})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_number_of_threads_changes_a_byte(precision: str) -> None:
    options = {"stage": "layers.1", "oversampling": 4}
    recipe = Recipe("pca", 3, 1500, class_index=1, precision=precision, options=options)
    packs = []
    for num_threads in (1, 2, 3):  # the fixture sets it back
        torch.set_num_threads(num_threads)
        packs.append(as_bytes(fit(toy_biggan(), recipe)))
    assert packs[0] == packs[1] == packs[2]


@given(stops=st.lists(st.integers(0, 40), max_size=3), batch_size=st.integers(0, ROWS))
@settings(max_examples=12, deadline=None)
def test_interrupted_anywhere_and_resumed_is_uninterrupted(stops: list[int], batch_size: int) -> None:
    generator = toy_pggan()
    recipe = Recipe("pca", 3, ROWS, batch_size=batch_size, options={"stage": "layer1", "oversampling": 4})
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.safetensors"
        for stop in stops:
            with contextlib.suppress(FitInterrupted):
                fit(generator, recipe, progress=stop_at(stop), state_path=state, resume=state.exists())
        pack = fit(generator, recipe, state_path=state, resume=state.exists())
    assert as_bytes(pack) == as_bytes(fit(toy_pggan(), SMALL))


def stop_at(report: int) -> Any:
    """A progress that stops the fit at its report-th report."""
    seen: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        seen.append(done)
        if len(seen) > report:
            raise KeyboardInterrupt

    return progress


def test_a_signal_at_any_moment_loses_no_chunk(tmp_path: Path) -> None:
    generator, state = toy_pggan(), tmp_path / "state.safetensors"
    recipe = Recipe("pca", 3, 30_000, options={"stage": "layer1", "oversampling": 4})
    expected, reached = as_bytes(fit(generator, recipe)), []
    for delay in (0.15, 0.3, 0.25, 0.4):
        alarm = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        alarm.start()
        with contextlib.suppress(FitInterrupted, KeyboardInterrupt):
            fit(generator, recipe, state_path=state, resume=state.exists())
            alarm.join()  # too fast for it
        alarm.join()
        kept = shelf_path(state)
        if kept is not None and kept.exists():
            tensors, _ = read_tensors(kept)
            reached.append((int(tensors["done"]), int(tensors["rows"])))
    assert reached == sorted(reached)
    assert as_bytes(fit(generator, recipe, state_path=state, resume=state.exists())) == expected


@pytest.mark.parametrize("damage", ["missing", "shape", "nan", "beyond"])
def test_a_damaged_state_is_refused(tmp_path: Path, damage: str) -> None:
    generator, state = toy_pggan(), tmp_path / "state.safetensors"
    with pytest.raises(FitInterrupted):
        fit(generator, SMALL, progress=stop_at(6), state_path=state)
    kept = shelf_path(state)
    assert kept is not None
    tensors, notes = read_tensors(kept)
    if damage == "missing":
        del tensors["probe"]
    elif damage == "shape":
        tensors["outer"] = tensors["outer"][:, :-1]
    elif damage == "nan":
        tensors["total"][0] = float("nan")
    else:
        tensors["done"] = torch.tensor(9)
    write_tensors(kept, tensors, notes)
    with pytest.raises(FitError, match="holds no state of these passes; fit again without resuming"):
        fit(generator, SMALL, state_path=state, resume=True)


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    options = {"stage": "b8", "passes": 4}
    values = {"method": "pca", "num_directions": 3, "num_samples": 3000, "options": options}
    results = run_world(2, fit_toy, values, None, False)
    assert [kind for kind, _ in results] == ["returned", "returned"]
    files, its = (result["files"] for _, result in results)
    assert files == its
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    alone = fit(toy_generator(), Recipe("pca", 3, 3000, options=options))
    for one, other in zip(alone, read_pack(tmp_path), strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-4)
        assert float(one.vector @ other.vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("generator", "values", "error", "message"),
    [
        (
            toy_generator(),
            {"options": {"stage": "b7"}},
            UnknownName,
            "unknown stage 'b7'; stylegan2 .* has b4, b8, b16",
        ),
        (
            toy_biggan(),
            {"options": {"stage": "layers.0"}},
            FitError,
            "layers.0' differ between the 5 classes .*--class",
        ),
        (toy_biggan(), {"options": {"closed_form": False}}, FitError, "give --class"),
        (toy_biggan(), {"num_directions": 13}, FitError, "linear in z and varies along 12. Ask for at most 12"),
        (toy_pggan(), {"options": {"passes": 1}}, FitError, "passes is 1: .* greater than or equal to 2"),
    ],
)
def test_recipes_that_cannot_be_followed(generator: Any, values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recipe("pca", **values).resolve(generator)


def test_what_is_left_open_is_filled_in() -> None:
    resolved = {
        "w": Recipe("pca").resolve(toy_generator()),
        "stage of w": Recipe("pca", options={"stage": "b8"}).resolve(toy_generator()),
        "z": Recipe("pca").resolve(toy_pggan()),
        "linear": Recipe("pca").resolve(toy_biggan()),
    }
    found = {name: (r.describe()["stage"], r.num_samples, r.num_directions) for name, r in resolved.items()}
    assert found == {
        "w": ("", 1_000_000, 16),
        "stage of w": ("b8", 100_000, 16),
        "z": ("layer0", 100_000, 12),
        "linear": ("gen_z", 1_000_000, 12),
    }


def test_directions_without_variance_are_refused() -> None:
    generator = toy_biggan()
    generator.gen_z.weight[:, 4:12] = 0
    for class_index, closed_form in ((None, True), (0, False)):
        recipe = Recipe("pca", num_samples=400, class_index=class_index, options={"closed_form": closed_form})
        with pytest.raises(FitError, match="'gen_z' do not vary along 8 of 12 directions; ask for num_directions=4"):
            fit(generator, recipe)
    generator.gen_z.weight[:, :12] = 0
    with pytest.raises(FitError, match="the same for all latents"):
        fit(generator, Recipe("pca", num_samples=400))


def test_activations_that_are_not_finite_are_told() -> None:
    generator = toy_pggan()
    generator.weights()["layer1.weight"][0, 0, 0, 0] = float("inf")
    with pytest.raises(FitError, match="activations after row 0 are NaN or infinite"):
        fit(generator, SMALL)


def test_a_range_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_finder, "MAX_RANGE_BYTES", 2**13)
    with pytest.raises(FitError, match="7 directions of the 256 activations of 'layer1' take .* Ask for fewer"):
        fit(toy_pggan(), SMALL)


def test_the_command_line_takes_a_stage_and_a_class(tmp_path: Path) -> None:
    save_generator(toy_biggan(), tmp_path / "gan", dtype="fp32", license="cc0-1.0")
    options = ["fit", "--generator", tmp_path / "gan", "--out", tmp_path / "out", "--num-samples", 300, "--no-previews"]
    options += ["-o", "stage=layers.2", "--class", 3, "--num-directions", 4]
    result = CliRunner().invoke(app, list(map(str, options)))
    assert result.exit_code == 0, (result.output, result.exception)
    pack = read_pack(tmp_path / "out")
    assert (len(pack), pack.method["stage"], pack.method["class_index"]) == (4, "layers.2", 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gan", "out"]
