"""Bare arrays and tables: InterFaceGAN's boundaries, Colab exports, e4e's tensors, W+ directions, matrices, CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eigan import LayerRange, import_directions
from eigan.errors import PackFormatError, PackMismatch
from eigan.importers.vectors import parse_row, read_name
from tests.importers.makers import DIM, saved, torch_saved, unit_rows
from tests.toys import toy_generator
from tests.toys_pggan import toy_pggan

GENERATOR = toy_generator()
LAYERS = 8


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(1, DIM), (DIM,)])
def test_a_single_direction(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    row = unit_rows(1)[0]
    pack = import_directions(saved(tmp_path / "big_grin.npy", row.reshape(shape).astype(dtype)), GENERATOR)
    (direction,) = pack
    assert direction.name == "big grin" and direction.layers == LayerRange(0, 8)
    torch.testing.assert_close(direction.vector, torch.from_numpy(row))
    assert pack.method["unit"] == "length of the vector" and pack.method["space_from"].startswith("the generator")


def test_sigma_is_that_of_the_codes_whatever_the_length(tmp_path: Path) -> None:
    row = unit_rows(1)
    one, five = (import_directions(saved(tmp_path / "a.npy", n * row), GENERATOR).directions[0] for n in (1, 5))
    assert one.sigma == pytest.approx(five.sigma, rel=1e-6) and torch.allclose(one.vector, five.vector)


@pytest.mark.parametrize(
    ("stem", "title", "space"),
    [
        ("stylegan_ffhq_smile_w_boundary", "smile", "w"),
        ("stylegan_celebahq_age_boundary", "age", "z"),
        ("pggan_celebahq_eyeglasses_boundary", "eyeglasses", "z"),
        ("pggan_celebahq_age_c_gender_eyeglasses_boundary", "age, keeping gender, eyeglasses", "z"),
        ("stylegan_ffhq_age_c_gender_boundary", "age, keeping gender", "z"),
        ("my_direction", "my direction", ""),
        ("\x1b[1m", "[1m", ""),
    ],
)
def test_what_the_name_of_a_file_says(stem: str, title: str, space: str) -> None:
    name = read_name(stem)
    assert (name.title, name.space) == (title, space)


def test_boundaries_of_z_do_not_fit_w_unless_the_caller_knows_better(tmp_path: Path) -> None:
    path = saved(tmp_path / "stylegan_ffhq_smile_boundary.npy", unit_rows(1).astype(np.float64))
    with pytest.raises(PackMismatch, match=r"not linear.*_w_boundary.*space='w'"):
        import_directions(path, GENERATOR)
    assert import_directions(path, GENERATOR, space="w").names == ["smile"]
    boundary = saved(tmp_path / "pggan_celebahq_smile_boundary.npy", unit_rows(1, 12))
    pack = import_directions(boundary, toy_pggan())
    assert pack.method["space"] == "z" and pack.method["space_from"] == "the file name"
    with pytest.raises(PackMismatch, match="has no w"):
        import_directions(saved(tmp_path / "stylegan_ffhq_smile_w_boundary.npy", unit_rows(1, 12)), toy_pggan())


def test_classes_beside_z_stay_as_they_are(tmp_path: Path) -> None:
    generator = toy_pggan(c_dim=3)
    (direction,) = import_directions(saved(tmp_path / "pose.npy", unit_rows(1, 12)), generator)
    assert direction.code_dim == generator.code_dim == 15 and not direction.vector[12:].any()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bare_tensor_of_e4e(tmp_path: Path, legacy: bool) -> None:
    row = torch.from_numpy(unit_rows(1))
    pack = import_directions(torch_saved(tmp_path / "age.pt", row, legacy=legacy), GENERATOR)
    assert pack.names == ["age"] and torch.allclose(pack["age"].vector, row[0])


def test_a_matrix_is_as_many_directions(tmp_path: Path) -> None:
    pack = import_directions(saved(tmp_path / "ica.npy", unit_rows(5)), GENERATOR, layers=LayerRange(2, 4))
    assert pack.names[-1] == "direction-04" and all(d.layers == LayerRange(2, 4) for d in pack)
    assert all(d.amount_range == (-20.0, 20.0) for d in pack)
    assert len(import_directions(tmp_path / "ica.npy", GENERATOR, num_directions=2)) == 2
    with pytest.raises(PackFormatError, match="num_directions"):
        import_directions(tmp_path / "ica.npy", GENERATOR, num_directions=6)


def test_as_many_rows_as_layers_are_one_direction_and_say_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "smile.npy", unit_rows(LAYERS))
    pack = import_directions(path, GENERATOR)
    assert pack["smile"].vector.shape == (LAYERS, DIM) and "one a layer" in pack.description
    assert "one a layer" not in import_directions(path, GENERATOR, per_layer=True).description
    assert len(import_directions(path, GENERATOR, per_layer=False)) == LAYERS
    with pytest.raises(PackFormatError, match="not one for each"):
        import_directions(saved(tmp_path / "x.npy", unit_rows(3)), GENERATOR, per_layer=True)


def test_equal_rows_are_one_vector_and_batches_of_one_are_unpacked(tmp_path: Path) -> None:
    rows = np.repeat(unit_rows(1), LAYERS, axis=0)[None]
    pack = import_directions(saved(tmp_path / "smile.npy", rows), GENERATOR)
    assert pack["smile"].vector.shape == (DIM,)


def test_rows_of_different_lengths_become_a_preset_that_moves_as_the_file_does(tmp_path: Path) -> None:
    rows = unit_rows(LAYERS) * np.linspace(1, 3, LAYERS, dtype=np.float32)[:, None]
    rows[[0, 4]] = 0
    pack = import_directions(saved(tmp_path / "rgb.npy", rows), GENERATOR)
    assert pack.names == [f"rgb, layer {i}" for i in (1, 2, 3, 5, 6, 7)]
    codes = torch.zeros(1, LAYERS, DIM)
    moved = pack.edit(pack.preset("rgb").amounts).apply(codes)
    torch.testing.assert_close(moved[0], torch.from_numpy(rows), atol=1e-5, rtol=1e-5)


def test_rows_beyond_the_layers_asked_for_are_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "smile.npy", unit_rows(LAYERS))
    (direction,) = import_directions(path, GENERATOR, layers=LayerRange(2, 5))
    assert direction.layers == LayerRange(2, 5)
    torch.testing.assert_close(direction.vector, torch.from_numpy(unit_rows(LAYERS)[2:5]))


@pytest.mark.parametrize("delimiter", [" ", ",", ";", "\t"])
def test_tables_of_savetxt(tmp_path: Path, delimiter: str) -> None:
    rows = unit_rows(4) * 7  # lengths do not matter
    np.savetxt(tmp_path / "ica.csv", rows, delimiter=delimiter)
    pack = import_directions(tmp_path / "ica.csv", GENERATOR)
    assert pack.method["format"] == "table" and len(pack) == 4
    torch.testing.assert_close(torch.stack([d.vector for d in pack]), torch.from_numpy(unit_rows(4)), atol=1e-6, rtol=0)


def test_a_table_of_one_row_is_named_by_its_file(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "smile.csv", unit_rows(1), header="a comment")
    assert import_directions(tmp_path / "smile.csv", GENERATOR).names == ["smile"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5\n", "line 2 has 2 numbers"),
        ("1 2\n3 nan\n", "line 2 holds NaN"),
        ("1 2\n3 4_0\n", "line 2 holds something"),
        ("1 2\n3 x\n", "line 2 holds something"),
        ("1 2\n3 1e999\n", "NaN or infinite"),
        ("0 0\n1 1\n", "numbers; the codes"),
        ("1\n2\n", "no rows"),
        ("\n\n", "What eigan reads"),
        ("name,age\n", "What eigan reads"),
        ("1 2\n" * 5000, "rows"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises((PackFormatError, PackMismatch), match=message):
        import_directions(tmp_path / "x.csv", GENERATOR)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20), st.sampled_from([" ", ",", ";", "\t", ", "]))
def test_a_line_gives_back_its_numbers(numbers: list[float], separator: str) -> None:
    row = parse_row((separator.join(map(repr, numbers)) + "\r\n").encode(), 1)
    assert row is not None and row.tolist() == numbers


@pytest.mark.parametrize("shape", [(6048, 512), (4928, 512)])
def test_style_space_is_refused_with_the_reason(tmp_path: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(PackFormatError, match="StyleCLIP.*no counterpart"):
        import_directions(saved(tmp_path / "fs3.npy", np.zeros(shape, np.float32)), GENERATOR)


def test_style_space_statistics_are_refused_too(tmp_path: Path) -> None:
    from tests.importers.makers import pickled

    layers = [np.zeros((1, 512), np.float32), np.zeros((1, 256), np.float32)]
    with pytest.raises(PackFormatError, match="StyleCLIP"):
        import_directions(pickled(tmp_path / "S_mean_std", [layers, layers]), GENERATOR)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, DIM)), "shape"),
        (np.zeros(DIM), "length 0"),
        (np.full(DIM, np.inf), "infinite"),
        (np.zeros((5000, DIM)), "5000 directions"),
        (np.array(3.0), "shape"),
        (np.zeros(0), "shape"),
        (np.ones((1, DIM), bool), "dtype"),
        (np.ones((1, DIM), complex), "dtype"),
        (np.array(["a"]), "dtype"),
        (np.ones((1, DIM + 1)), "17 numbers"),
    ],
)
def test_arrays_that_are_no_directions(tmp_path: Path, array: object, message: str) -> None:
    with pytest.raises((PackFormatError, PackMismatch), match=message):
        import_directions(saved(tmp_path / "x.npy", array), GENERATOR)


def test_whole_numbers_are_directions_too(tmp_path: Path) -> None:
    (direction,) = import_directions(saved(tmp_path / "x.npy", np.arange(DIM)), GENERATOR)
    assert direction.vector[0] == 0 and direction.vector.norm() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "x"}, "space is"),
        ({"truncation_psi": 0.0}, "truncation_psi"),
        ({"truncation_psi": float("nan")}, "truncation_psi"),
        ({"name": "x" * 100}, "pack name"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(PackFormatError, match=message):
        import_directions(saved(tmp_path / "x.npy", unit_rows(1)), GENERATOR, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", " ", "/no/such/file.npy", "a\0b", "."])
def test_paths_without_a_file(path: str) -> None:
    with pytest.raises(PackFormatError):
        import_directions(path, GENERATOR)
