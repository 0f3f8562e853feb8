"""What the settings of every family promise: nothing that is not a setting is taken for one, and how that is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from eigan.errors import CheckpointError
from eigan.generators import ARCHITECTURES
from eigan.generators.config import (
    Config,
    Sizes,
    agreed,
    check_channels,
    check_lod,
    check_number,
    check_stated,
    count_indices,
    largest_resolution,
    resolutions_to,
)
from tests.generators.test_contract import TOYS

FAMILIES: dict[str, Config] = {
    name: next(make().settings for toy, make in TOYS.items() if toy.split("-")[0] == name)  # type: ignore[misc]
    for name in ARCHITECTURES
}
CASES = [(family, setting) for family, config in FAMILIES.items() for setting in type(config).model_fields]
NO_NUMBERS = [
    10**400,
    -(10**400),
    10**5000,
    float("nan"),
    float("inf"),
    "1",
    b"1",
    [],
    {},
    [[1]],
    {"4": 1},
]


def ids(value: object) -> str:
    return type(value).__name__ if not isinstance(value, (str, float)) else str(value)


@pytest.mark.parametrize(("family", "setting"), CASES)
def test_no_setting_takes_what_it_cannot_be(family: str, setting: str) -> None:
    config = FAMILIES[family]
    for value in NO_NUMBERS:
        with pytest.raises(CheckpointError, match=setting):
            type(config).from_json({**config.to_json(), setting: value})


@pytest.mark.parametrize(("family", "setting"), CASES)
def test_true_is_no_number_and_16_0_no_whole_one(family: str, setting: str) -> None:
    config = FAMILIES[family]
    value = getattr(config, setting)
    if type(value) is int:
        for other in (float(value), True, str(value)):
            with pytest.raises(CheckpointError, match=f"{setting} is {other!r}; in a .* it should be a valid integer"):
                type(config).from_json({**config.to_json(), setting: other})
    if type(value) is float:
        with pytest.raises(CheckpointError, match=f"{setting} is True"):
            type(config).from_json({**config.to_json(), setting: True})


@pytest.mark.parametrize("family", FAMILIES)
def test_json_gives_the_settings_back(family: str) -> None:
    config = FAMILIES[family]
    assert type(config).from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_and_missing_settings_are_told_by_name(family: str) -> None:
    config = FAMILIES[family]
    with pytest.raises(CheckpointError, match=f"shoe_size is no setting of a {config.family}"):
        type(config).from_json({**config.to_json(), "shoe_size": 47})
    rest = {name: value for name, value in config.to_json().items() if name != "z_dim"}
    with pytest.raises(CheckpointError, match=f"z_dim is missing from the settings of a {config.family}"):
        type(config).from_json(rest)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        FAMILIES["stylegan2"].z_dim = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", [name for name, config in FAMILIES.items() if "channels" in config.to_json()])
@pytest.mark.parametrize("width", [16.0, True, 0, 10**400, None, "16", [[]]], ids=repr)
def test_widths_are_whole_numbers(family: str, width: Any) -> None:
    values = FAMILIES[family].to_json()
    listed = values["channels"]
    channels = {**listed, "4": width} if isinstance(listed, dict) else [width, *listed[1:]]
    with pytest.raises(CheckpointError, match=r"channels\.[04] is "):
        type(FAMILIES[family]).from_json({**values, "channels": channels})


def test_channels_are_wanted_for_every_resolution() -> None:
    check_channels({8: 1, 4: 1}, resolutions_to(8))
    for given in ({4: 1}, {4: 1, 8: 1, 16: 1}, dict.fromkeys(range(5000), 1)):
        with pytest.raises(CheckpointError, match=r"channels given for .*; wanted for \[4, 8\]") as told:
            check_channels(given, resolutions_to(8))
        assert len(str(told.value)) < 200


def test_missing_and_misshapen_weights_are_told_by_name() -> None:
    sizes = Sizes({"a": torch.zeros(2, 3)}, "Toy")
    assert sizes.of("a", 2) == (2, 3)
    with pytest.raises(CheckpointError, match="do not fit a Toy: missing b; the checkpoint is incomplete"):
        sizes.of("b", 2)
    with pytest.raises(CheckpointError, match=r"a has shape \(2, 3\); a Toy has 4 dimensions there"):
        sizes.of("a", 4)


def test_counting_stops_at_a_limit() -> None:
    names = ["layer0.weight", "layer11.weight", "other99.weight"]
    assert count_indices(names, r"layer(\d+)\.", 12, "a layer") == 12
    assert count_indices(names, r"absent(\d+)\.", 12, "a layer") == 0
    with pytest.raises(CheckpointError, match="have a layer number 11; eigan knows at most 11"):
        count_indices(names, r"layer(\d+)\.", 11, "a layer")
    with pytest.raises(CheckpointError, match="at most"):
        count_indices([f"layer{'9' * 5000}.weight"], r"layer(\d+)\.", 11, "a layer")


def test_resolutions_are_powers_of_two_within_the_limits() -> None:
    assert largest_resolution(["b4.weight", "b32.weight", "c64.weight"], r"b(\d+)\.") == 32
    assert largest_resolution([], r"b(\d+)\.") == 4
    assert resolutions_to(32) == (4, 8, 16, 32)
    for name in ("b48.weight", "b8192.weight", f"b{'9' * 5000}.weight"):
        with pytest.raises(CheckpointError, match="wanted a power of two between 4 and 4096"):
            largest_resolution([name], r"b(\d+)\.")


def test_what_a_file_states_twice_it_states_alike() -> None:
    hints = {"a": 2, "b": 2, "c": 10**5000, "d": None}
    assert agreed(hints, ["a", "b", "x"], 1, "gain") == 2
    assert agreed(hints, ["x"], 1, "gain") == 1 and agreed(hints, ["d"], 1, "gain") is None
    with pytest.raises(CheckpointError, match="a is 2, c is a number of thousands of digits; eigan knows one gain"):
        agreed(hints, ["a", "c"], 1, "gain")


@pytest.mark.parametrize("stated", [2, 10**5000, 1.001, "1", float("nan"), (1,)], ids=ids)
def test_what_a_file_states_is_what_its_weights_say(stated: Any) -> None:
    for agrees in (1, 1.0, 1.0 + 1e-9, None):
        check_stated({"a": agrees}, "a", 1.0)
    with pytest.raises(CheckpointError, match=r"the file says a is .*; its weights say 1.0"):
        check_stated({"a": stated}, "a", 1.0)


@pytest.mark.parametrize("stated", [0, 11, 10**5000, float("nan"), "1", True, None], ids=ids)
def test_numbers_have_limits(stated: Any) -> None:
    assert check_number(10, "a", 1, 10) == 10
    with pytest.raises(CheckpointError, match="the file says a is .*; wanted a number from 1 to 10"):
        check_number(stated, "a", 1, 10)


def test_levels_of_detail() -> None:
    for passes in (None, torch.tensor(0.0), torch.tensor([2.0]), torch.empty((), device="meta"), torch.full((3,), 9.0)):
        check_lod(passes, 2, "Toy")
    for refused in (-1.0, 2.5, float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match="this Toy draws at 0 to 2"):
            check_lod(torch.tensor(refused), 2, "Toy")
