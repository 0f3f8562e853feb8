"""Directions, presets and packs are checked when they are made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from eigan.direction_model import DirectionModel
from eigan.errors import PackFormatError, PackMismatch, UnknownName
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, Preset
from tests.toys import toy_direction, toy_generator, toy_pack
from tests.toys_models import toy_model, varying_direction


def test_lookups_name_what_there_is() -> None:
    pack = toy_pack()
    assert pack["age"].name == "age"
    assert [d.name for d in pack] == pack.names == ["smile", "age", "light"]
    with pytest.raises(UnknownName, match="smile, age, light"):
        pack["beard"]
    with pytest.raises(UnknownName, match="older and happy"):
        pack.preset("younger")


def test_a_pack_fits_its_own_generator_alone() -> None:
    generator = toy_generator()
    pack = toy_pack(generator)
    pack.check_fits(generator)
    pack.check_fits(generator.half().float())  # the fp16 conversion is the same generator
    with pytest.raises(PackMismatch, match="was fitted on"):
        pack.check_fits(toy_generator(seed=9))


def test_an_edit_by_names() -> None:
    pack = toy_pack()
    assert pack.edit({"smile": 2, "age": -1}).amounts == {"smile": 2.0, "age": -1.0}
    assert pack.edit(pack.preset("older and happy").amounts).amounts == {"smile": 2.0, "age": 1.5}
    with pytest.raises(UnknownName):
        pack.edit({"beard": 1})


def test_vectors_are_taken_as_they_are_and_kept_apart() -> None:
    vector = torch.nn.functional.normalize(torch.randn(16), dim=0)
    direction = replace(toy_direction(), vector=vector)
    assert torch.equal(direction.vector, vector)
    assert not direction.vector.requires_grad


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vector": torch.ones(16)}, "norm 4"),
        ({"vector": torch.full((16,), float("inf"))}, "NaN or infinite"),
        ({"vector": torch.zeros(2, 2, 2)}, "shape"),
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": float("nan")}, "finite"),
        ({"amount_range": (1.0, 2.0)}, "holds 0"),
        ({"amount_range": (0.0, 0.0)}, "holds 0"),
        ({"amount_range": (-200.0, 2.0)}, "-100 to 100"),
        ({"name": " "}, "characters"),
        ({"name": "x" * 81}, "81 characters"),
        ({"name": "a\x1b[31m"}, r"U\+001B"),
        ({"poles": ("a\u200bb", "")}, r"U\+200B"),
        ({"metrics": {"r2": float("inf")}}, "finite"),
    ],
)
def test_bad_directions_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(PackFormatError, match=message):
        replace(toy_direction(), **changes)


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (lambda: Preset("empty", {}), "moves nothing"),
        (lambda: Preset("far", {"smile": 1e6}), "-100 to 100"),
        (lambda: Preset("", {"smile": 1}), "characters"),
        (lambda: Preset("odd", {"smile": True}), "finite number"),
    ],
)
def test_bad_presets_are_refused(preset: object, message: str) -> None:
    with pytest.raises(PackFormatError, match=message):
        preset()  # type: ignore[operator]


def test_a_pack_needs_directions_that_fit() -> None:
    pack = toy_pack()
    with pytest.raises(PackFormatError, match="there twice"):
        replace(pack, directions=(pack["age"], pack["age"]), presets=())
    with pytest.raises(PackFormatError, match="0 directions"):
        replace(pack, directions=(), presets=())
    with pytest.raises(PackFormatError, match="layers 0-9"):
        replace(pack, directions=(toy_direction("deep", (0, 10)),), presets=())
    with pytest.raises(PackFormatError, match="12 numbers"):
        replace(pack, directions=(toy_direction("thin", dim=12),), presets=())


def test_packs_load_by_folder(tmp_path: object) -> None:
    toy_pack().save(f"{tmp_path}/pack")
    pack = DirectionPack.load(f"{tmp_path}/pack")
    assert pack.source == f"{tmp_path}/pack"
    assert pack.names == ["smile", "age", "light"]


def test_a_model_is_of_one_direction_that_depends_on_the_code() -> None:
    direction = varying_direction(size=12)
    assert direction.code_dim == 16 and direction.model is not None and direction.model.size == 12
    vector = direction.vector
    for changes, message in (
        ({"model": toy_model(2, count=2)}, "2 directions of 16"),
        ({"model": toy_model(2, size=17)}, "1 directions of 17 numbers"),
        ({"model": DirectionModel(1, 16, vector[None])}, "global model"),
        ({"vector": vector.expand(8, 16)}, "vector for each layer"),
    ):
        with pytest.raises(PackFormatError, match=message):
            replace(direction, **changes)  # type: ignore[arg-type]


def test_a_models_weights_are_kept_apart_from_training() -> None:
    trained = toy_model(1).each(lambda t: t.requires_grad_())
    model = replace(varying_direction(), model=trained).model
    assert model is not None and not any(t.requires_grad for t in model.tensors().values())


def test_a_direction_on_other_layers_is_the_same_but_for_them() -> None:
    direction = toy_direction("smile", (2, 5))
    moved = direction.on(LayerRange(0, 8))
    assert moved.layers == LayerRange(0, 8) and torch.equal(moved.vector, direction.vector)
    assert (moved.name, moved.sigma, moved.poles) == (direction.name, direction.sigma, direction.poles)
    assert direction.on(LayerRange(2, 5)) is direction


def test_vectors_of_layers_stay_with_their_layers() -> None:
    rows = torch.nn.functional.normalize(torch.randn(3, 16), dim=1)
    direction = Direction("smile", rows, 0.5, LayerRange(2, 5))
    assert torch.equal(direction.on(LayerRange(3, 5)).vector, rows[1:])
    assert torch.equal(direction.on(LayerRange(2, 3)).vector, rows[:1])
    for layers in (LayerRange(1, 3), LayerRange(4, 6), LayerRange(6, 7)):
        with pytest.raises(PackFormatError, match=f"layers 2-4 and none for others; it cannot move layers {layers}"):
            direction.on(layers)
