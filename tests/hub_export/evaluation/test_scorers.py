"""Scorers and feature networks that are not ours: adapted, checked, found by name; Inception by a stand-in."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from eigan.errors import FitError, UnknownName
from eigan.pack import DirectionPack
from hub_export.evaluation.agreement import cosines, match
from hub_export.evaluation.features import INCEPTION, find_features
from hub_export.evaluation.scorers import HEADS, as_scorer, find_scorer, score
from tests.toys import toy_direction, toy_generator, toy_pack

PICTURES = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)


class Named:
    names = ("mean", "top")

    def __call__(self, pictures: Any) -> Any:
        return torch.from_numpy(np.stack([pictures.mean((1, 2, 3)), pictures.max((1, 2, 3))], axis=1))


def function(pictures: Any) -> dict[str, Any]:
    return {"mean": pictures.mean((1, 2, 3)), "top": torch.from_numpy(pictures.max((1, 2, 3)))}


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An importable module `mine` with scorers in it."""
    module = ModuleType("mine")
    vars(module).update(Named=Named, function=function, number=3, inner=SimpleNamespace(score=function))
    monkeypatch.setitem(sys.modules, "mine", module)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("name", ["mine:Named", "mine:function", "mine:inner.score"])
def test_a_scorer_of_ones_own(name: str) -> None:
    scorer = find_scorer(name)
    assert list(scorer.names) == ["mean", "top"]
    found = score(scorer, PICTURES)
    assert found.dtype == np.float64
    assert found[:, 1].tolist() == PICTURES.max((1, 2, 3)).tolist()


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("fid", UnknownName, "known: heads-attributes, or package.module:function"),
        ("mine", UnknownName, "package.module:function"),
        ("os:system('x')", UnknownName, "package.module:function"),
        ("no_such_module:f", FitError, "PYTHONPATH"),
        ("mine:absent", FitError, "cannot be imported"),
        ("mine:number", FitError, "int cannot be called"),
    ],
)
def test_a_name_that_is_no_scorer(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")):
        find_scorer(name)


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "0 names"), (("a",) * 2, "twice"), (("a\x1b[2J",), "control"), (("",), "characters"), (("a",) * 600, "600")],
)
def test_names_are_checked(names: tuple[str, ...], message: str) -> None:
    scorer = Named()
    scorer.names = names  # type: ignore[assignment]
    with pytest.raises(FitError, match=message):
        as_scorer(scorer)


@pytest.mark.parametrize("given", [np.zeros((2, 3)), np.zeros(2), np.full((2, 2), np.nan), "much", {"a": 1}])
def test_numbers_are_checked(given: Any) -> None:
    class Giving(Named):
        def __call__(self, pictures: Any) -> Any:
            return given

    with pytest.raises(FitError, match="the scorer gave"):
        score(Giving(), PICTURES)


def test_functions_keep_their_names() -> None:
    calls: list[int] = []

    def fickle(pictures: Any) -> dict[str, Any]:
        calls.append(len(pictures))
        return {f"call {len(calls)}": pictures.mean((1, 2, 3))}

    scorer = as_scorer(fickle)
    with pytest.raises(FitError, match="named call 2 after call 1"):
        scorer(PICTURES)
    with pytest.raises(FitError, match="wanted a mapping"):
        as_scorer(lambda pictures: [1, 2])


class TorchFidelity(torch.nn.Module):
    """Stands in for torch_fidelity's network: it wants uint8, and gives a tuple."""

    def __init__(self, name: str, features_list: list[str]):
        super().__init__()
        assert features_list == ["2048"]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        assert images.dtype == torch.uint8
        return (images.float().mean((1, 2, 3))[:, None].expand(-1, 2048),)


class PytorchFid(torch.nn.Module):
    """Stands in for pytorch_fid's: it wants [0, 1], and gives a list of maps."""

    BLOCK_INDEX_BY_DIM: ClassVar = {2048: 3}

    def __init__(self, blocks: list[int]):
        super().__init__()
        assert blocks == [3]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        assert float(images.max()) <= 1
        return [images.mean((1, 2, 3))[:, None, None, None].expand(-1, 2048, 1, 1) * 255]


def stand_in(monkeypatch: pytest.MonkeyPatch, fidelity: Any = None, fid: Any = None) -> None:
    """The Inception packages that are installed; None: not."""
    packages = {"torch_fidelity": fidelity, "pytorch_fid": fid}
    for package, kind in packages.items():
        monkeypatch.setitem(sys.modules, package, ModuleType(package) if kind else None)
    inner = {
        "torch_fidelity.feature_extractor_inceptionv3": {"FeatureExtractorInceptionV3": fidelity},
        "pytorch_fid.inception": {"InceptionV3": fid},
    }
    for name, contents in inner.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("packages", "used"),
    [({"fidelity": TorchFidelity, "fid": PytorchFid}, "torch_fidelity"), ({"fid": PytorchFid}, "pytorch_fid")],
)
def test_inception(packages: dict[str, Any], used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, **packages)
    network: Any = find_features(INCEPTION)
    assert (network.name, network.package) == ("inception", used)
    found = network.features(PICTURES.repeat(20, axis=0))  # more than a batch
    assert found.shape == (40, 2048)
    assert found[:, 0] == pytest.approx(PICTURES.mean((1, 2, 3)).repeat(20), rel=1e-5)


def test_inception_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    with pytest.raises(FitError, match="pip install torch-fidelity.*not FID"):
        find_features(INCEPTION)

    class Offline(TorchFidelity):
        def __init__(self, name: str, features_list: list[str]):
            raise OSError("[Errno -2] Name or service not known\nmore")

    stand_in(monkeypatch, fidelity=Offline)
    with pytest.raises(FitError, match="Name or service not known.*Bring its weights"):
        find_features(INCEPTION)


def test_other_features_are_unknown() -> None:
    assert find_features(HEADS).name == HEADS
    with pytest.raises(UnknownName, match="known: heads-attributes, inception"):
        find_features("vgg")


def packs() -> tuple[DirectionPack, DirectionPack]:
    """Two packs: in the second the directions of the first are shuffled, one turned round, some on other layers."""
    generator = toy_generator()
    made_for = toy_pack(generator).made_for
    directions = [toy_direction(f"d{i}", (0, 8), seed=i) for i in range(4)]
    other = [toy_direction(f"e{i}", (0, 8), seed=i) for i in (2, 0, 3)]
    turned = type(other[0])("e1", -directions[1].vector, 1.0, directions[1].layers)
    extra = toy_direction("late", (6, 8), seed=9)
    return (
        DirectionPack("first", made_for, (*directions, toy_direction("early", (0, 2), seed=9)), {}),
        DirectionPack("second", made_for, (*other, turned, extra), {}),
    )


def test_matching_finds_the_shuffled_directions() -> None:
    (found,) = match(*packs())
    assert str(found.layers) == "0-7"
    assert {pair.first: pair.second for pair in found.pairs} == {f"d{i}": f"e{i}" for i in range(4)}
    assert found.mean == pytest.approx(1)
    first, second = packs()
    wanted = abs(float(first["d0"].vector @ second["e2"].vector))
    assert float(cosines([first["d0"]], [second["e2"]])[0, 0]) == pytest.approx(wanted, rel=1e-5)


def test_matching_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = packs()
    stranger = toy_pack(toy_generator(seed=5))
    with pytest.raises(ValueError, match="only packs of one generator"):
        match(first, stranger)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(FitError, match="eigan\\[evaluate\\]"):
        match(first, second)
