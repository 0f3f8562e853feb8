"""What rosinality's training leaves out of its snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eigan.checkpoint import Checkpoint, recognize
from eigan.dialects.average import average_w
from eigan.errors import CheckpointError
from eigan.readers.base import RawCheckpoint
from tests.dialects.stylegan2_exports import Weights, to_rosinality, toy
from tests.parity.folders import folders


def opened(weights: Weights) -> Checkpoint:
    return recognize(RawCheckpoint(weights, {}, "torch", source={"file": "x.pt"}), "x")


def test_a_snapshot_of_training_has_no_average_w() -> None:
    generator = toy(resolution=8)
    weights = to_rosinality(generator)
    del weights["latent_avg"]
    checkpoint = opened(weights)
    assert torch.equal(checkpoint.build().w_avg, average_w(generator.weights()))  # type: ignore[attr-defined]
    assert checkpoint.origin == {"file": "x.pt", "w_avg": "not in the file; the mean of 4,096 w, of seeds 0 to 4,095"}
    assert checkpoint.build().fingerprint == opened(weights).build().fingerprint


def test_old_files_have_no_noise_maps() -> None:
    generator = toy(resolution=16)
    weights = {name: t for name, t in to_rosinality(generator).items() if not name.startswith("noises.")}
    checkpoint = opened(weights)
    twin = checkpoint.build()
    codes = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1))
    assert torch.equal(twin.synthesis(codes), generator.synthesis(codes, noise_mode="none"))
    kept = {n: t for n, t in generator.weights().items() if not n.endswith("noise_const")}
    assert all(torch.equal(t, twin.weights()[n]) for n, t in kept.items())  # how strong noise was is kept
    assert "noise" in checkpoint.origin


def test_noise_maps_that_are_there_in_part_are_damage() -> None:
    weights = to_rosinality(toy(resolution=8))
    del weights["noises.noise_1"]
    with pytest.raises(CheckpointError, match=r"missing noises\.noise_1"):
        opened(weights)


def test_a_convolution_without_its_second_is_named() -> None:
    weights = {n: t for n, t in to_rosinality(toy(resolution=8)).items() if not n.startswith("convs.1.")}
    with pytest.raises(CheckpointError, match=r"missing convs\.1;"):
        opened(weights)


def test_a_mapping_whose_layers_do_not_follow_on_each_other() -> None:
    weights = to_rosinality(toy(resolution=8, num_mapping_layers=3))
    del weights["latent_avg"]
    weights["style.2.weight"] = torch.zeros(5, 12)
    with pytest.raises(CheckpointError, match=r"mapping\.fc1\.weight is \(5, 12\); its mapping wants \(12, 12\)"):
        opened(weights)


@pytest.mark.parametrize("folder", folders("ros-*"), ids=lambda p: p.name)
def test_files_that_have_both_say_nothing_of_it(folder: Path) -> None:
    origin = Checkpoint.open(folder / "checkpoint.pt").origin
    assert "w_avg" not in origin and "noise" not in origin
