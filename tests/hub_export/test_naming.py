"""Naming: a TOML file turns fitted directions into a pack for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eigan.edit import unit_move
from eigan.errors import EiganError, PackFormatError, UnknownName
from hub_export.naming import dump_names, name_directions, read_names
from tests.toys import NAMES, toy_generator, toy_pack
from tests.toys_models import varying_direction


def names_file(tmp_path: Path, text: str = NAMES) -> Path:
    path = tmp_path / "names.toml"
    path.write_text(text)
    return path


def test_directions_are_picked_named_and_composed(tmp_path: Path) -> None:
    source = toy_pack()
    pack = name_directions([source], read_names(names_file(tmp_path)))
    assert pack.names == ["youth", "joy"]
    youth = pack["youth"]
    assert torch.equal(youth.vector, -source["age"].vector)
    assert (str(youth.layers), youth.amount_range, youth.poles) == ("2-3", (-4.0, 2.0), ("old", "young"))
    assert youth.sigma == source["age"].sigma
    assert pack["joy"].layers == source["smile"].layers
    assert pack.preset("young and happy").amounts == {"youth": 1.0, "joy": 1.5}
    assert pack.method["sources"]["toy"] == source.method
    assert pack.license == "mit"
    assert pack.made_for == source.made_for


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('"toy/age"', '"toy/wisdom"', UnknownName, "wisdom"),
        ('"toy/age"', '"other/age"', UnknownName, "known: toy"),
        ('"toy/age"', '"age"', UnknownName, "pack/direction"),
        ('layers = "2-3"', 'layers = "7-8"', PackFormatError, "layers 0-7"),
        ('name = "joy"', 'name = "youth"', PackFormatError, "there twice"),
        ("joy = 1.5", "sorrow = 1.5", PackFormatError, "sorrow"),
        ("flip = true", "flop = true", PackFormatError, "direction.0.flop"),
        ('license = "mit"', 'version = "two"', PackFormatError, "version"),
        ('name = "people"', "name = ", PackFormatError, "TOML"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, old: str, new: str, error: type[EiganError], message: str) -> None:
    with pytest.raises(error, match=message):
        name_directions([toy_pack()], read_names(names_file(tmp_path, NAMES.replace(old, new))))


def test_a_version_may_be_stated_and_only_used_packs_are_sources(tmp_path: Path) -> None:
    unused = replace(toy_pack(), name="unused")
    versioned = names_file(tmp_path, NAMES.replace('license = "mit"', 'version = "2.0.0"'))
    pack = name_directions([toy_pack(), unused], read_names(versioned))
    assert pack.version == "2.0.0"
    assert list(pack.method["sources"]) == ["toy"]


def test_packs_of_two_generators_do_not_mix(tmp_path: Path) -> None:
    other = replace(toy_pack(toy_generator(seed=5)), name="other")
    with pytest.raises(PackFormatError, match="2 generators"):
        name_directions([toy_pack(), other], read_names(names_file(tmp_path)))


def test_vectors_per_layer_keep_their_rows(tmp_path: Path) -> None:
    source = toy_pack()
    rows = torch.nn.functional.normalize(torch.randn(8, 16), dim=1)
    source = replace(source, directions=(replace(source["age"], vector=rows), source["smile"]), presets=())
    pack = name_directions([source], read_names(names_file(tmp_path)))
    assert torch.equal(pack["youth"].vector, -rows[2:4])


def test_a_model_is_turned_round_with_its_direction_and_serves_any_layer(tmp_path: Path) -> None:
    source = toy_pack()
    source = replace(source, directions=(varying_direction("age"), varying_direction("smile", (2, 5))), presets=())
    pack = name_directions([source], read_names(names_file(tmp_path)))
    codes = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    own = unit_move(codes, source["age"])[:, 2:4]
    torch.testing.assert_close(unit_move(codes, pack["youth"]), -own)  # flip, layers 2-3
    assert torch.equal(pack["youth"].vector, -source["age"].vector)
    assert pack["joy"].model is source["smile"].model


def test_a_names_file_that_is_written_reads_back_as_it_was(tmp_path: Path) -> None:
    names = read_names(names_file(tmp_path))
    hostile = names.model_copy(update={"description": 'a "quoted"\nline \\ é', "license": ""})
    for each in (names, hostile):
        path = tmp_path / "again.toml"
        path.write_text(dump_names(each))
        assert read_names(path) == each
