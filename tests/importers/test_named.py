"""The table of named edits, and what it makes of component files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from eigan import LayerRange, import_directions
from eigan.errors import PackFormatError, UnknownName
from eigan.importers import named
from eigan.importers.named import all_names
from tests.importers.makers import DIM, checkpoint, components, torch_saved, unit_rows
from tests.parity.directions import toy_of
from tests.toys_biggan import toy_biggan

FFHQ = "stylegan2-ffhq_style_ipca_c80_n1000000_w.npz"
GENERATOR = toy_of(DIM, 16)  # layers enough for nearly all rows


def eighty(folder: Path, name: str = FFHQ) -> Path:
    return components(folder, name, 80)


def test_the_table_holds_every_published_name() -> None:
    rows = [edit for names in all_names().values() for edit in names.edits]
    sources = Counter(row.source for row in rows)
    assert sources == {
        "edit-zoo": 105,
        "teaser": 58,
        "pca-cleanup": 14,
        "transferability": 7,
        "supervised-comparison": 15,
        "latentclr-demo": 27,
    }
    zoo = [row for row in rows if row.source == "edit-zoo"]
    assert sum(row.paper for row in zoo) == 26
    assert max(row.component for row in zoo) == 69 and max(abs(row.amount) for row in zoo) == 60
    assert sum(abs(row.amount) > 10 for row in zoo) == 65  # 62 %
    assert sum(row.layers[1] - row.layers[0] == 1 for row in zoo) == 27
    assert all(row.layers[0] < row.layers[1] <= 18 for row in rows)
    assert all(row.seeds for row in zoo)


def test_a_known_file_gets_its_names(tmp_path: Path) -> None:
    pack = import_directions(eighty(tmp_path), GENERATOR)
    assert pack.names[:2] == ["pc-00", "pc-01"] and pack.names[79] == "pc-79"
    assert {"Smile", "Smile (2)", "Makeup", "Happy frizzy hair (2)", "Disgusted", "White hair"} <= set(pack.names)
    assert len(pack.names) == len(set(pack.names))
    assert pack.method["names"] == "stylegan2-ffhq" and "checkpoints" in pack.description


def test_a_positive_amount_does_what_the_title_says(tmp_path: Path) -> None:
    pack = import_directions(eighty(tmp_path), GENERATOR)
    curly, plain = pack["Curly hair"], pack["pc-47"]  # the table says -60 on layers 3 to 5, at psi 0.7
    assert torch.equal(curly.vector, -plain.vector) and curly.sigma == plain.sigma
    assert curly.layers == LayerRange(3, 6) and curly.poles == ("", "Curly hair")
    assert curly.amount_range == (-42.0, 42.0)
    assert curly.metrics["flipped"] == 1 and curly.metrics["component"] == 47
    assert curly.metrics["scaled_by_psi"] == 0.7
    assert "1140578688" in curly.description and "Turned round" in curly.description
    assert torch.equal(pack["Big smile"].vector, pack["pc-19"].vector)  # the table says +10
    assert pack["Big smile"].amount_range == (-20.0, 20.0)


def test_one_edit_of_two_notebooks_is_one_direction(tmp_path: Path) -> None:
    hairline = import_directions(eighty(tmp_path), GENERATOR)["Hairline"]
    assert "figure_edit_zoo" in hairline.description and "figure_teaser" in hairline.description
    assert "Hairline (2)" not in import_directions(eighty(tmp_path), GENERATOR).names


def test_the_teaser_is_a_preset_scaled_by_psi(tmp_path: Path) -> None:
    (preset,) = import_directions(eighty(tmp_path), GENERATOR).presets
    assert preset.amounts == pytest.approx(
        {"Wrinkles": 18 * 0.7, "White hair": 24 * 0.7, "In awe": 15 * 0.7, "Overexposed": 15 * 0.7}
    )
    assert "absolute" in preset.description
    (car,) = import_directions(components(tmp_path, "car.npz", 80), GENERATOR, names="stylegan2-car").presets
    assert sorted(car.amounts.values()) == pytest.approx([2 * 0.6, 8 * 0.6, 18 * 0.6, 25 * 0.6])


def test_psi_may_be_overridden(tmp_path: Path) -> None:
    (preset,) = import_directions(eighty(tmp_path), GENERATOR, truncation_psi=1.0).presets
    assert preset.amounts["Wrinkles"] == pytest.approx(18)


def test_layers_that_do_not_exist_are_told(tmp_path: Path) -> None:
    small = toy_of(DIM, 8)
    pack = import_directions(eighty(tmp_path), small)
    assert "Lipstick" not in pack.names  # layers 10 to 10
    assert any(note.startswith("Lipstick: layers [10, 11) do not exist") for note in pack.method["notes"])
    assert not pack.presets and any("Teaser: faces" in note for note in pack.method["notes"])
    assert pack["Fearful eyes"].layers == LayerRange(4, 8) and "up to 9" in pack["Fearful eyes"].description


def test_fewer_components_have_fewer_names(tmp_path: Path) -> None:
    pack = import_directions(eighty(tmp_path), GENERATOR, num_directions=20)
    assert "pc-19" in pack.names and "pc-20" not in pack.names
    assert "Makeup" in pack.names and "Smile" not in pack.names


def test_names_are_left_out_when_asked_and_not_guessed(tmp_path: Path) -> None:
    assert len(import_directions(eighty(tmp_path), GENERATOR, names="none")) == 80
    assert len(import_directions(eighty(tmp_path, "mine_style_ipca_c80_n1000_w.npz"), GENERATOR)) == 80
    with pytest.raises(UnknownName, match="stylegan2-ffhq"):
        import_directions(eighty(tmp_path), GENERATOR, names="stylegan2-dogs")
    with pytest.raises(PackFormatError, match="directions in z"):
        import_directions(eighty(tmp_path), GENERATOR, names="biggan-512-husky")
    np.save(tmp_path / "one.npy", unit_rows(1))
    with pytest.raises(PackFormatError, match="means nothing"):
        import_directions(tmp_path / "one.npy", GENERATOR, names="stylegan2-ffhq")


def test_biggans_names_are_distances_in_z(tmp_path: Path) -> None:
    generator = toy_biggan()
    rows = np.tile(np.eye(12, dtype=np.float32), (7, 1))[:80]
    path = components(
        tmp_path,
        "biggan-512-husky_generator.gen_z_ipca_c80_n1000000.npz",
        80,
        act_comp=np.zeros((80, 1, 64), np.float32),
        lat_comp=rows[:, None],
        lat_mean=np.zeros((1, 12), np.float32),
        lat_stdev=np.ones(80, np.float32),
    )
    pack = import_directions(path, generator)
    (preset,) = pack.presets
    zoom = pack["Zoom out"]  # component 12, -4
    assert preset.amounts["Zoom out"] * zoom.sigma == pytest.approx(4.0, rel=1e-5)
    assert zoom.vector[0] == -1.0
    assert "irish setter" in zoom.description


def test_latentclrs_demo_models_are_named_on_demand(tmp_path: Path) -> None:
    path = torch_saved(tmp_path / "best_model.pt", checkpoint({"params": torch.from_numpy(3 * unit_rows(100))}))
    assert len(import_directions(path, GENERATOR)) == 100
    pack = import_directions(path, GENERATOR, names="latentclr-car")
    grass = pack["Add grass"]
    assert grass.layers == LayerRange(7, 16) and "up to 16" in grass.description  # inclusive, and one too many
    assert torch.equal(grass.vector, pack["latentclr-10"].vector)
    assert grass.metrics["scaled_by_psi"] == 0.7
    assert grass.amount_range[1] * grass.sigma >= 7 * 0.7
    with pytest.raises(UnknownName, match="latentclr-ffhq"):
        import_directions(path, GENERATOR, names="stylegan2-ffhq")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"component": 50', b'"component": -1', "component"),
        (b'"source": "teaser"', b'"source": "nowhere"', "unknown source"),
        (b'"steps": ["Wrinkles"', b'"steps": ["Winkles"', "no edit"),
        (b'"psi": 0.7', b'"psi": "0.7"', "psi"),
    ],
)
def test_a_damaged_table_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes, message: str
) -> None:
    table = tmp_path / "named_edits.json"
    text = named.TABLE.read_bytes()
    assert old in text
    table.write_bytes(text.replace(old, new, 1))
    monkeypatch.setattr(named, "TABLE", table)
    all_names.cache_clear()
    with pytest.raises(PackFormatError, match=message):
        all_names()
    monkeypatch.undo()
    all_names.cache_clear()
