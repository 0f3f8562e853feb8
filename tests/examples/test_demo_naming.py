"""Names are given by measurement: the best direction of each factor, flipped where needed, what leaks is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eigan.format import save_pack
from eigan.pack import DirectionPack
from examples.demo_generator import naming
from examples.demo_generator.naming import SLIDERS, Measured, best_of, curated_names, method_names, read_measured
from hub_export.metrics import METRICS, Curve, DirectionMetrics, write_metrics
from hub_export.naming import name_directions, read_names
from tests.toys import toy_direction, toy_generator, toy_pack
from tests.toys_metrics import toy_metrics


def metrics_of(name: str, effects: dict[str, float], *, monotone: bool = True) -> DirectionMetrics:
    sizes = sorted((abs(value) for value in effects.values()), reverse=True)
    return (
        toy_metrics(toy_pack())
        .directions[0]
        .model_copy(
            update={
                "name": name,
                "effects": effects,
                "main": max(effects, key=lambda a: abs(effects[a])),
                "leak": sizes[1] / sizes[0],
                "monotonicity": 0.8,  # of single pictures
                "response": Curve(amounts=[-2.0, 0.0, 1.0, 4.0], values=[-1.0, 0.0, 1.0, 2.0 if monotone else 0.5]),
                "range": (-2.0, 4.0),
            }
        )
    )


def measured_pack(name: str, effects: dict[str, dict[str, float]]) -> list[Measured]:
    """A pack called `name` whose directions have the given effects."""
    directions = tuple(toy_direction(d, (0, 4), seed=i) for i, d in enumerate(effects))
    pack = DirectionPack(name, toy_pack().made_for, directions, {"name": "pca"})
    return [Measured(pack, d, metrics_of(d.name, effects[d.name])) for d in directions]


@pytest.fixture
def pca() -> list[Measured]:
    return measured_pack(
        "heads-64-pca",
        {
            "pca-00": {"smile": -1.0, "age": 0.2},  # clean, the wrong way round
            "pca-01": {"smile": 1.0, "age": 0.9},
            "pca-02": {"age": 1.0, "smile": 0.5},
            "pca-03": {"yaw": 1.0, "age": 0.8},
        },
    )


def packed(text: str, tmp_path: Path, *packs: DirectionPack) -> DirectionPack:
    """The pack that hub-export name would make of a names file."""
    (tmp_path / "names.toml").write_text(text, "utf-8")
    return name_directions(packs, read_names(tmp_path / "names.toml"))


def test_the_best_direction_of_a_factor_leaks_least_and_is_monotone(pca: list[Measured]) -> None:
    best = best_of(pca, "smile")
    assert best is not None
    assert best.direction.name == "pca-00"
    assert best_of(pca, "beard") is None
    shaky = [
        Measured(m.pack, m.direction, metrics_of(m.direction.name, m.metrics.effects, monotone=False)) for m in pca
    ]
    assert best_of(shaky, "smile") is None


def test_a_methods_own_pack_keeps_all_its_directions(pca: list[Measured], tmp_path: Path) -> None:
    pack = packed(method_names("pca", pca), tmp_path, pca[0].pack)
    assert pack.name == "heads-pca"
    assert pack.version == "2.0.0"
    assert pack.names == ["smile", "age", "pca-01", "pca-03"]
    smile, age, plain, _ = pack
    assert smile.vector.tolist() == (-pca[0].direction.vector).tolist()
    assert (smile.amount_range, smile.poles) == ((-4.0, 2.0), ("serious", "smiling"))
    assert "Moves along" not in smile.description
    assert age.description.endswith("Moves along: smile.")
    assert (plain.poles, plain.description) == (("", ""), "")


def test_the_curated_pack_prefers_clean_directions_of_methods(
    pca: list[Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "PRESETS", tmp_path / "none.toml")
    isolated = measured_pack(
        "isolated",
        {"smile": {"smile": 1.0, "age": 0.26}, "age": {"age": 1.0, "red": 0.1}, "yaw": {"yaw": 1, "red": 0.7}},
    )
    text = curated_names({"pca": pca, "isolated": isolated})
    assert re.findall(r'^from = "(.*)"$', text, re.MULTILINE) == ["heads-64-pca/pca-00", "isolated/age"]
    pack = packed(text, tmp_path, pca[0].pack, isolated[0].pack)
    assert pack.names == ["smile", "age"]
    assert pack.license == "cc0-1.0"


def test_measured_packs_are_read(tmp_path: Path) -> None:
    pack = toy_pack(toy_generator())
    metrics = toy_metrics(pack)
    save_pack(pack, tmp_path / "pca", {METRICS: write_metrics(metrics)})
    assert [m.direction.name for m in read_measured(tmp_path / "pca")] == pack.names


def test_sliders_are_called_differently() -> None:
    for names in ([s.name for s in SLIDERS], [s.factor for s in SLIDERS]):
        assert len(set(names)) == len(names)
    assert all(all(slider.poles) and slider.description for slider in SLIDERS)
