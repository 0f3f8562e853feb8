"""The official FastGAN's files: folded weights draw what torch's own spectral norm draws, at every size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.checkpoint import Checkpoint
from eigan.dialects.fastgan_terra import DIALECT
from eigan.errors import CheckpointError
from eigan.generators.fastgan import FastGAN
from eigan.readers.base import RawCheckpoint
from tests.official_fastgan import FastganSynthesis, trained


def opened(saved: Any, tmp_path: Path) -> FastGAN:
    torch.save(saved, tmp_path / "50000.pth")
    generator = Checkpoint.open(tmp_path / "50000.pth").build()
    assert isinstance(generator, FastGAN)
    return generator


def drawn(generator: FastGAN, z: Tensor) -> Tensor:
    return generator.synthesis(generator.mapping(z), noise_mode="none")


@pytest.mark.parametrize("resolution", [64, 128, 256, 512, 1024])
def test_every_size_draws_what_the_official_modules_draw(resolution: int, tmp_path: Path) -> None:
    network, z = trained(FastganSynthesis(resolution, official=True)), torch.randn(1, 12)
    generator = opened({"g": network.state_dict(), "d": {}}, tmp_path)
    assert (generator.resolution, generator.z_dim) == (resolution, 12)
    torch.testing.assert_close(drawn(generator, z), network(z), atol=2e-5, rtol=2e-5)


def test_training_snapshots_give_the_averaged_weights(tmp_path: Path) -> None:
    network = trained(FastganSynthesis(128, official=True))
    averaged, z = [parameter.clone() for parameter in network.parameters()], torch.randn(2, 12)
    wanted = network(z)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    raw = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    generator = opened({"g": raw, "d": {}, "g_ema": averaged, "opt_g": {}, "opt_d": {}}, tmp_path)
    torch.testing.assert_close(drawn(generator, z), wanted, atol=2e-5, rtol=2e-5)


def test_a_square_transposed_convolution_is_folded_along_its_outputs(tmp_path: Path) -> None:
    network, z = trained(FastganSynthesis(128, ngf=1, z_dim=32, official=True), 32), torch.randn(2, 32)
    assert network.state_dict()["init.init.0.weight_orig"].shape == (32, 32, 4, 4)
    generator = opened({"g": network.state_dict(), "d": {}}, tmp_path)
    torch.testing.assert_close(drawn(generator, z), network(z), atol=2e-5, rtol=2e-5)


def translated(weights: dict[str, Tensor]) -> dict[str, Tensor] | None:
    raw = DIALECT.translate(RawCheckpoint(weights, {"entry": "g"}, "torch"))
    return None if raw is None else raw.weights


def test_weights_of_others_are_not_this_dialects() -> None:
    assert translated({"init.init.0.weight": torch.zeros(1)}) is None
    assert translated({"synthesis.init.init.0.weight_orig": torch.zeros(1)}) is None


def test_counters_are_dropped_and_the_given_weights_kept() -> None:
    given = trained(FastganSynthesis(64, official=True)).state_dict()
    before = {name: tensor.clone() for name, tensor in given.items()}
    found = translated(given)
    assert found is not None and not any("tracked" in name or "_orig" in name for name in found)
    assert all(torch.equal(given[name], tensor) for name, tensor in before.items())


def test_a_weight_without_its_singular_vectors_is_refused() -> None:
    weights = dict(trained(FastganSynthesis(64, official=True)).state_dict())
    del weights["feat_16.1.weight_u"]
    with pytest.raises(CheckpointError, match=r"feat_16\.1\.weight_u"):
        translated(weights)
