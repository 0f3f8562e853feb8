"""GANSpace's component files and exported edits, as its own code writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eigan import DirectionPack, LayerRange, import_directions
from eigan.errors import CheckpointError, EiganError, PackFormatError, PackMismatch, UnsafeCheckpoint
from tests.importers.makers import DIM, components, edit_fields, pickled, torch_saved, unit_rows
from tests.toys import toy_generator
from tests.toys_biggan import toy_biggan
from tests.toys_pggan import toy_pggan

GENERATOR = toy_generator()


def test_components_of_w_keep_their_vectors_and_the_files_sigma(tmp_path: Path) -> None:
    pack = import_directions(components(tmp_path), GENERATOR, license="mit")
    assert pack.names == ["pc-00", "pc-01", "pc-02", "pc-03"] and not pack.presets
    torch.testing.assert_close(torch.stack([d.vector for d in pack]), torch.from_numpy(unit_rows(4)), atol=1e-6, rtol=0)
    assert [round(d.sigma, 4) for d in pack] == [2.02, 1.6833, 1.3467, 1.01]
    assert all(d.layers == LayerRange(0, 8) and d.amount_range == (-3.0, 3.0) for d in pack)
    assert pack["pc-01"].metrics["explained_variance_ratio"] == pytest.approx(0.3667, abs=1e-4)
    assert pack.method["name"] == "import" and pack.method["format"] == "ganspace-npz"
    assert pack.method["space"] == "w" and pack.method["sigma_from"] == "the file"
    assert pack.method["decomposition"]["model"] == "stylegan2-toy"
    pack.check_fits(GENERATOR)


def test_an_imported_pack_is_saved_and_loaded(tmp_path: Path) -> None:
    pack = import_directions(components(tmp_path), GENERATOR)
    pack.save(tmp_path / "pack")
    again = DirectionPack.load(tmp_path / "pack")
    assert again.names == pack.names and again.method == pack.method
    assert all(torch.equal(a.vector, b.vector) and a.sigma == b.sigma for a, b in zip(pack, again, strict=True))


def test_old_files_without_standard_deviations_are_measured(tmp_path: Path) -> None:
    path = components(tmp_path, "old.npz", lat_stdev=None, random_stdevs=None)
    pack = import_directions(path, GENERATOR)
    assert pack.method["sigma_from"] == "codes of the generator" and pack.method["num_samples"] == 20_000
    assert pack.method["space"] == "w" and pack.method["space_from"] == "the file"
    codes = GENERATOR.map_to_w(torch.randn(4000, DIM, generator=torch.Generator().manual_seed(1)))
    for direction in pack:
        assert direction.sigma == pytest.approx(float((codes @ direction.vector).std()), rel=0.08)


def test_a_file_that_says_nothing_of_its_space_follows_the_caller(tmp_path: Path) -> None:
    path = components(tmp_path, "old.npz", lat_stdev=None, act_comp=np.zeros((4, 1, 2, 3, 3), np.float32))
    assert import_directions(path, GENERATOR).method["space_from"].startswith("the generator")
    assert import_directions(path, GENERATOR, space="w").method["space_from"] == "the caller"
    with pytest.raises(PackMismatch, match="the caller says so"):
        import_directions(path, GENERATOR, space="z")


def test_components_of_activations_move_z_by_length(tmp_path: Path) -> None:
    """BigGAN's gen_z: activations of any size, directions of z, all standard deviations 1; classes stay as they are."""
    generator = toy_biggan()
    rows = unit_rows(3, 12)
    path = components(
        tmp_path,
        "biggan-128-husky_generator.gen_z_ipca_c3_n1000.npz",
        3,
        act_comp=np.zeros((3, 1, 64), np.float32),
        act_mean=np.zeros((1, 64), np.float32),
        lat_comp=rows[:, None],
        lat_mean=np.zeros((1, 12), np.float32),
        lat_stdev=np.ones(3, np.float32),
    )
    pack = import_directions(path, generator)
    assert pack.method["space"] == "z" and pack.method["sigma_from"] == "codes of the generator"
    for direction, row in zip(pack, rows, strict=True):
        assert direction.code_dim == generator.code_dim > 12
        torch.testing.assert_close(direction.vector[:12], torch.from_numpy(row), atol=1e-6, rtol=0)
        assert not direction.vector[12:].any()
        assert 0.7 < direction.sigma < 1.1


def test_progan_directions_come_with_four_axes(tmp_path: Path) -> None:
    generator = toy_pggan()
    path = components(
        tmp_path,
        "progan.npz",
        2,
        act_comp=np.zeros((2, 1, 3, 4, 4), np.float32),
        lat_comp=unit_rows(2, 12).reshape(2, 1, 12, 1, 1),
        lat_mean=np.zeros((1, 12, 1, 1), np.float32),
        lat_stdev=np.ones(2, np.float32),
    )
    pack = import_directions(path, generator)
    assert pack["pc-00"].vector.shape == (12,) and pack["pc-00"].layers == LayerRange(0, 1)


def test_e4e_has_the_same_components_in_a_torch_file(tmp_path: Path) -> None:
    rows = torch.from_numpy(unit_rows(4))
    value = {"comp": rows[:, None], "mean": torch.zeros(1, DIM), "std": torch.tensor([2.0, 1.5, 1.2, 1.0])}
    for legacy in (False, True):
        pack = import_directions(torch_saved(tmp_path / "ffhq_pca.pt", value, legacy=legacy), GENERATOR)
        assert pack.method["format"] == "e4e-pca"
        torch.testing.assert_close(torch.stack([d.vector for d in pack]), rows)
        assert [d.sigma for d in pack] == pytest.approx([2.0, 1.5, 1.2, 1.0])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"lat_stdev": np.ones(4, np.float32)}, PackMismatch, "not linear"),
        ({"lat_comp": None}, PackFormatError, "no directions of codes"),
        ({"lat_stdev": np.full(3, 2, np.float32)}, PackFormatError, "lat_stdev has shape"),
        ({"lat_mean": np.zeros((1, 5), np.float32)}, PackFormatError, "lat_mean has shape"),
        ({"lat_stdev": np.full(4, -2, np.float32)}, PackFormatError, "negative"),
        ({"lat_stdev": np.array([2, 2, 0, 2], np.float32)}, PackFormatError, "sigma"),
        ({"lat_comp": np.zeros((4, 1, DIM), np.float32)}, PackFormatError, "length 0"),
        ({"lat_comp": np.full((4, 1, DIM), np.nan, np.float32)}, PackFormatError, "NaN"),
        ({"lat_comp": np.zeros((4, 3, DIM), np.float32)}, PackFormatError, "shape"),
        ({"lat_comp": unit_rows(4, 8)[:, None], "lat_mean": None}, PackMismatch, "8 numbers"),
    ],
)
def test_what_cannot_be_components_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[EiganError], message: str
) -> None:
    with pytest.raises(error, match=message):
        import_directions(components(tmp_path, **changes), GENERATOR)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_an_exported_edit_is_one_direction_and_its_preset(tmp_path: Path, protocol: int) -> None:
    pack = import_directions(pickled(tmp_path / "edit.pkl", edit_fields(), protocol), GENERATOR)
    direction, preset = pack.directions[0], pack.presets[0]
    assert direction.name == "Light direction"  # no trailing blank
    assert direction.layers == LayerRange(3, 5) and direction.sigma == pytest.approx(1.0335)
    torch.testing.assert_close(direction.vector, torch.from_numpy(unit_rows(1)[0]))
    assert preset.amounts == pytest.approx({"Light direction": 4 * 0.9})  # truncated after the edit, at psi 0.9
    assert pack.method["scaled_by_psi"] == [0.9] and pack.method["fields"]["example_seed"] == 1941578080


def test_the_caller_may_say_psi_and_layers(tmp_path: Path) -> None:
    path = pickled(tmp_path / "edit.pkl", edit_fields())
    pack = import_directions(path, GENERATOR, truncation_psi=0.5, layers=LayerRange(1, 2))
    assert pack.presets[0].amounts == pytest.approx({"Light direction": 2.0})
    assert pack.directions[0].layers == LayerRange(1, 2)


@pytest.mark.parametrize(
    ("model", "psi", "scale"), [("StyleGAN", 0.9, 1), ("StyleGAN2", 1.3, 1), ("StyleGAN2", 0.4, 0.4)]
)
def test_only_stylegan2_truncates_after_the_edit_and_only_below_one(
    tmp_path: Path, model: str, psi: float, scale: float
) -> None:
    path = pickled(tmp_path / "edit.pkl", edit_fields(model_name=model, truncation=psi))
    assert import_directions(path, GENERATOR).presets[0].amounts["Light direction"] == pytest.approx(4 * scale)


def test_a_slider_far_out_widens_the_range(tmp_path: Path) -> None:
    path = pickled(tmp_path / "edit.pkl", edit_fields(sigma_range=np.float64(-60.0), truncation=0.7))
    assert import_directions(path, GENERATOR).directions[0].amount_range == (-42.0, 42.0)


def test_edits_of_z_are_converted_to_sigmas(tmp_path: Path) -> None:
    generator = toy_biggan()
    fields = edit_fields(latent_space="Z", lat_comp=unit_rows(1, 12), lat_stdev=1.0, model_name="BigGAN-128")
    pack = import_directions(pickled(tmp_path / "edit.pkl", fields), generator)
    direction, preset = pack.directions[0], pack.presets[0]
    assert preset.amounts[direction.name] * direction.sigma == pytest.approx(4.0)  # the same distance in z


def test_layers_beyond_the_generator_are_clipped_and_noted(tmp_path: Path) -> None:
    pack = import_directions(pickled(tmp_path / "edit.pkl", edit_fields(edit_start=0, edit_end=18)), GENERATOR)
    assert pack.directions[0].layers == LayerRange(0, 8) and "up to 17" in pack.directions[0].description


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edit_start": 9, "edit_end": 18}, "do not exist"),
        ({"edit_start": 5, "edit_end": 5}, "empty"),
        ({"edit_start": "3"}, "edit_start"),
        ({"latent_space": "S"}, "neither"),
        ({"latent_space": 3}, "neither"),
        ({"sigma_range": float("nan")}, "sigma_range"),
        ({"sigma_range": "10"}, "sigma_range"),
        ({"edit_type": "activation"}, "activations"),
        ({"lat_comp": "none"}, "lat_comp"),
    ],
)
def test_fields_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PackFormatError, match=message):
        import_directions(pickled(tmp_path / "edit.pkl", edit_fields(**changes)), GENERATOR)


def test_names_from_a_file_never_steer_a_terminal(tmp_path: Path) -> None:
    fields = edit_fields(name="evil\x1b[31m\u202e\n name" + "x" * 300)
    name = import_directions(pickled(tmp_path / "edit.pkl", fields), GENERATOR).directions[0].name
    assert name.isprintable() and name.startswith("evil [31m name") and len(name) <= 80


def test_a_pickle_with_anything_but_arrays_is_refused(tmp_path: Path) -> None:
    path = pickled(tmp_path / "edit.pkl", edit_fields(decomposition=Path("x")))
    with pytest.raises(UnsafeCheckpoint, match=r"edit\.pkl: refused pathlib"):
        import_directions(path, GENERATOR)
    with pytest.raises(CheckpointError):
        import_directions(pickled(tmp_path / "object.pkl", edit_fields(lat_comp=np.array([None, 1]))), GENERATOR)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_steerability_walks_are_directions_of_z(tmp_path: Path, protocol: int) -> None:
    walks = {"w_zoom": 3 * unit_rows(1, 12)[None], "w_shift_x": unit_rows(1, 12, seed=1)[None]}
    pack = import_directions(pickled(tmp_path / "walks.pkl", walks, protocol), toy_biggan())
    assert pack.names == ["zoom", "shift x"] and pack.method["format"] == "steerability-pkl"
    assert not pack["zoom"].vector[12:].any()
    with pytest.raises(PackMismatch, match="in w"):
        import_directions(tmp_path / "walks.pkl", toy_generator())
