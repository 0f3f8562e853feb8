"""Metrics in a few numbers."""

from __future__ import annotations

from typing import Any

import pytest

from hub_export.metrics import Curve, DirectionMetrics
from hub_export.summary import controlled, controls, others, per_sigma, summarize
from tests.toys import toy_pack
from tests.toys_metrics import toy_metrics


def entry(name: str = "d", **changes: Any) -> DirectionMetrics:
    plain = toy_metrics(toy_pack()).directions[1]
    return plain.model_copy(update={"name": name, **changes})


@pytest.mark.parametrize(
    ("amounts", "values", "expected"),
    [
        ([-2.0, -1.0, 0.0, 1.0, 2.0], [0.8, 0.4, 0.0, 0.2, 0.9], 0.3),
        ([-3.0, 0.0, 3.0], [0.9, 0.0, 0.3], 0.2),
        ([0.0, 0.5], [0.0, 0.1], 0.2),  # ends sooner: by its slope
        ([0.0], [0.0], None),
        ([], [], None),
    ],
)
def test_drift_at_one_sigma(amounts: list[float], values: list[float], expected: float | None) -> None:
    assert per_sigma(Curve(amounts=amounts, values=values)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"monotonicity": 0.95, "leak": 0.25}, True),
        ({"monotonicity": 0.94, "leak": 0.1}, False),
        ({"monotonicity": 1.0, "leak": 0.26}, False),
        ({"monotonicity": 1.0, "leak": None}, False),
        ({"monotonicity": 1.0, "leak": 0.0, "main": ""}, False),
    ],
)
def test_what_controls_an_attribute(changes: dict[str, Any], expected: bool) -> None:
    assert controls(entry(**changes)) is expected


def test_the_purest_direction_controls() -> None:
    good = {"monotonicity": 1.0, "leak": 0.1, "main": "smile"}
    entries = [entry("a", purity=0.5, **good), entry("b", purity=0.7, **good), entry("c", purity=0.6, **good)]
    assert controlled([*entries, entry("d", purity=0.9, monotonicity=0.5, leak=0.1, main="age")]) == {"smile": "b"}


def test_what_else_moves_is_told_from_a_share_of_the_main_effect_on() -> None:
    effects = {"smile": 1.0, "age": -0.4, "light": 0.14, "skin": 0.16, "beard": 0.3, "yaw": -0.2}
    found = others(entry(main="smile", effects=effects))
    assert found == [("age", -0.4), ("beard", 0.3), ("yaw", -0.2)]
    assert others(entry(main="smile", effects={"smile": 0.01, "age": 0.009})) == []


def test_means_are_over_what_was_measured() -> None:
    metrics = toy_metrics(toy_pack())
    directions = [entry("a", purity=0.4, leak=0.2, monotonicity=0.9), entry("b", purity=None, leak=0.4)]
    directions[1] = directions[1].model_copy(update={"monotonicity": 0.7, "explained_variance_ratio": 0.3})
    directions[0] = directions[0].model_copy(update={"explained_variance_ratio": 0.2})
    found = summarize(metrics.model_copy(update={"directions": directions}))
    assert (found.num_directions, found.purity) == (2, 0.4)
    assert (found.variance, found.leak, found.monotonicity) == pytest.approx((0.5, 0.3, 0.8))
    assert (found.frechet, found.floor) == ({"3": 14.2, "6": 61.5}, 4.1)
    assert found.class_independence is None
    nothing = summarize(metrics.model_copy(update={"directions": [], "random_variance_ratio": [], "frechet": None}))
    assert (nothing.variance, nothing.random_variance, nothing.drift, nothing.floor) == (None, None, None, None)
