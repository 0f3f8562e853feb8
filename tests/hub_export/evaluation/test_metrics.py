"""metrics.json: what is written is read back; what a stranger wrote is bounded and refused with a place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from eigan.errors import PackFormatError
from hub_export.metrics import MAX_METRICS_BYTES, read_metrics, write_metrics
from tests.toys import toy_pack
from tests.toys_metrics import toy_metrics


def test_round_trip_gives_the_same_bytes() -> None:
    metrics = toy_metrics(toy_pack())
    data = write_metrics(metrics)
    assert read_metrics(data) == metrics
    assert write_metrics(read_metrics(data)) == data
    assert metrics["smile"] is metrics.directions[0]
    assert metrics["nobody"] is None


def test_fields_that_only_add_may_be_missing() -> None:
    values = json.loads(write_metrics(toy_metrics(toy_pack())))
    for name in ("num_pictures", "num_codes", "classes"):
        del values[name]
    for name in ("strangeness", "response", "class_independence"):
        del values["directions"][0][name]
    del values["frechet"]["published"]
    found = read_metrics(json.dumps(values).encode())
    assert (found.num_pictures, found.classes, found.directions[0].response) == (0, [], None)
    assert found.frechet is not None
    assert found.frechet.published is None


def set_in(*path: str | int) -> Callable[[dict[str, Any], Any], None]:
    def change(values: dict[str, Any], value: Any) -> None:
        place: Any = values
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "eigan-directions", "format"),
        (("format_version",), 2, "format_version"),
        (("generator",), "../x", "generator"),
        (("seed",), -1, "seed"),
        (("seed",), 2**32, "seed"),
        (("num_seeds",), True, "num_seeds"),
        (("directions", 0, "name"), "a\x1b[31m", "control character"),
        (("directions", 0, "name"), "x" * 81, "name"),
        (("directions", 0, "range"), [1, 2], "does not hold 0"),
        (("directions", 0, "main"), "absent", "none of the effects"),
        (("directions", 0, "effects"), {f"a{i}": 0.0 for i in range(600)}, "effects"),
        (("directions", 0, "purity"), 1e300, "purity"),
        (("directions", 0, "drift"), {"amounts": [0, 1], "values": [0]}, "one value for each"),
        (("directions", 0, "drift"), {"amounts": [1, 0], "values": [0, 0]}, "ascending"),
        (("directions", 0, "drift"), {"amounts": [1e9], "values": [0]}, "amounts"),
        (("directions", 0, "coordinates", "low"), 9.0, "below high"),
        (("directions", 0, "coordinates", "counts"), [-1], "counts"),
        (("frechet", "edited"), {str(i): 1.0 for i in range(200)}, "edited"),
        (("classes",), [0] * 100, "classes"),
        (("surprise",), 1, "surprise"),
    ],
)
def test_hostile_metrics_are_refused(path: tuple[str | int, ...], value: Any, message: str) -> None:
    values = json.loads(write_metrics(toy_metrics(toy_pack())))
    set_in(*path)(values, value)
    with pytest.raises(PackFormatError, match=f"metrics.json.*{message}"):
        read_metrics(json.dumps(values).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"seed": NaN}', b"[" * 100, b" " * (MAX_METRICS_BYTES + 1)])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(PackFormatError, match="metrics.json"):
        read_metrics(data)
